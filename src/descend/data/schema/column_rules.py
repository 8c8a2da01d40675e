"""The rules that say what a column is, from what was seen in it."""

from __future__ import annotations

import re

from descend.data.reading.expressions import TIME
from descend.data.reading.table_column import TableColumn
from descend.data.schema.surveys import LEAST_COUNT, MOST_VALUES, NumberSurvey, ValueSurvey

_IDENTIFIER_NAME = re.compile(
    r"(^|[^a-z])(id|ids|key|uuid|guid|index|instant|rownum)$", re.IGNORECASE
)
_CAMEL_ID = re.compile(r"[a-z](Id|ID)$")
_LARGEST = 1e150
_LEAST_IDENTIFIED = 20


def left_out_number(name: str, survey: NumberSurvey, training: int) -> str:
    """Why a column of numbers is left out, or an empty text.

    Whole numbers with a value of its own for every row are an identifier where they number the
    rows (hardly a gap between them) or where the name says so; else they may be a measurement.
    """
    if survey.seen == 0:
        return "no value in the training rows"
    if survey.minimum == survey.maximum:
        return "constant"
    if max(abs(survey.minimum), abs(survey.maximum)) > _LARGEST:
        return f"values beyond {_LARGEST:g}"
    if not survey.deviation > 1e-12 * max(abs(survey.minimum), abs(survey.maximum)):
        return "constant to rounding"
    # The number of distinct values is an estimate, good to a few per cent.
    if survey.whole and survey.seen >= _LEAST_IDENTIFIED and survey.distinct > 0.9 * survey.seen:
        named = _IDENTIFIER_NAME.search(name) or _CAMEL_ID.search(name)
        numbering = survey.maximum - survey.minimum < 1.5 * training + 10
        if named or (numbering and survey.distinct > 0.9 * training):
            return "identifier (a value of its own in nearly every row)"
    return ""


def left_out_values(survey: ValueSurvey, training: int, *, declared: bool) -> str:
    """Why a column of values is left out, or an empty text.

    Args:
        survey: of the values.
        training: rows.
        declared: the user named it with --categorical; then only an empty or constant column
            is left out, and one whose values hardly repeat.
    """
    if survey.seen == 0:
        return "no value in the training rows"
    if survey.distinct == 1 and survey.seen == training:
        return "constant"
    covered = sum(count for _, count in survey.values)
    if not survey.values and survey.distinct > 1:
        return _unrepeated(survey)
    if declared:
        return ""
    if survey.distinct > 0.9 * survey.seen or covered < 0.5 * survey.seen:
        return _unrepeated(survey)
    return ""


def _unrepeated(survey: ValueSurvey) -> str:
    counts = f"{survey.distinct:,} distinct values in {survey.seen:,} rows"
    if len(survey.values) == MOST_VALUES:
        return f"too many values ({counts})"
    if survey.length > 40 or survey.longest > 200:
        return f"free text ({counts})"
    if survey.distinct > 0.9 * survey.seen:
        return f"identifier or free text ({counts})"
    return f"free text (few values occur {LEAST_COUNT} times: {counts})"


def time_pattern(column: TableColumn, survey: ValueSurvey) -> tuple[bool, str | None]:
    """Whether a column holds dates or times, and how its text is written.

    Text that more than one pattern fits (01/02/2020) is left as it is: which number is the
    month cannot be known.
    """
    if column.type in ("date", "datetime"):
        return True, None
    if column.type == "time":
        return True, TIME
    if column.type != "text" or survey.seen == 0:
        return False, None
    if survey.iso:
        return True, None
    if survey.clock:
        return True, TIME
    if len(survey.patterns) == 1:
        return True, survey.patterns[0]
    return False, None
