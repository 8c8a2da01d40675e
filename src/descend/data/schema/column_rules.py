"""The rules that leave a column out: identifiers, constants, free text."""

from __future__ import annotations

import re

from descend.data.reading.formats import MOST_EXACT
from descend.data.schema.surveys import LEAST_COUNT, MOST_VALUES, NumberSurvey, ValueSurvey
from descend.io.units import count_text

_IDENTIFIER_NAME = re.compile(
    r"(^|[^a-z])(id|ids|key|uuid|guid|index|instant|rownum|row.?(no|nr|number)|unnamed: ?\d+"
    r"|column\d+)$",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(r"[a-z](Id|ID)$")
_COUNTING_NAME = re.compile(
    r"(^|[^a-z])(t|time|year|month|week|day|hour|minute|second|step|period|quarter|epoch|age|rank"
    r"|ranking|position|place|dose|level|distance|size)s?$",
    re.IGNORECASE,
)
"""Names of columns that may rise with the rows from 0 or 1 and still be a measurement."""
_OVERRIDE = " (the option numeric keeps it)"
_LARGEST = 1e150
"""A column with numbers beyond is left out: sums of their squares may leave float64."""
_LEAST_IDENTIFIED = 20
"""Values from which on a column may be an identifier: fewer may all differ by chance."""
_FIRST_COUNTS = 20
"""The smallest number of a column that counts rows: some first rows are held out."""


def left_out_number(name: str, survey: NumberSurvey, *, asked: bool = False) -> str:
    """Why a column of numbers is left out; empty if it is used.

    Whole numbers, a different one in each row, are an identifier if the name says so or if they
    number the rows: from 0 or 1 upwards, in order. Years, ranks and other whole numbers are
    measurements.

    Args:
        name: of the column.
        survey: of the numbers.
        asked: whether the option `numeric` names it; then it is no identifier.
    """
    if survey.seen == 0:
        return "no value in the training rows"
    if survey.minimum == survey.maximum:
        return "constant"
    largest = max(abs(survey.minimum), abs(survey.maximum))
    if largest > _LARGEST:
        return f"values beyond {_LARGEST:g}"
    # Whole numbers that float64 holds exactly are not rounded: codes of 13 digits may be close.
    exact = survey.whole and largest <= MOST_EXACT
    if not exact and not survey.deviation > 1e-12 * largest:
        return "constant to rounding"
    if asked or not may_identify(survey):
        return ""
    if has_identifier_name(name):
        return f"identifier: by its name, and nearly every row has another value{_OVERRIDE}"
    if survey.counting and not _COUNTING_NAME.search(name):
        return f"identifier: it numbers the rows{_OVERRIDE}"
    return ""


def has_identifier_name(name: str) -> bool:
    """Whether the name of a column says that it identifies something: id, customerId, key."""
    return bool(_IDENTIFIER_NAME.search(name) or _CAMEL_ID.search(name))


def may_identify(survey: NumberSurvey) -> bool:
    """Whether a column holds whole numbers that are nearly all different."""
    enough = survey.seen >= _LEAST_IDENTIFIED
    return survey.whole and enough and survey.distinct > 0.9 * survey.seen


def depends_on_distinct(name: str, survey: NumberSurvey, training: int) -> bool:
    """Whether a column is an identifier or not by how many of its values differ.

    Args:
        name: of the column.
        survey: of the numbers, whose `distinct` may be a rough estimate.
        training: rows.
    """
    hardly_repeat = survey.whole and survey.distinct > 0.7 * survey.seen
    return hardly_repeat and (has_identifier_name(name) or _counts_up(survey, training))


def may_count(survey: NumberSurvey, training: int) -> bool:
    """Whether such a column may number the rows: from 0 or 1, nearly without gaps."""
    return (
        may_identify(survey) and _counts_up(survey, training) and survey.distinct > 0.9 * training
    )


def _counts_up(survey: NumberSurvey, training: int) -> bool:
    """Whether the numbers begin and end where those of the rows do."""
    return 0 <= survey.minimum < _FIRST_COUNTS and survey.maximum < 1.5 * training + 10


def left_out_values(survey: ValueSurvey, training: int, *, declared: bool) -> str:
    """Why a column of text or categories is left out; empty if it is used.

    Args:
        survey: of the values.
        training: rows.
        declared: whether the option `categorical` names it; then it is left out only if it is
            empty, constant, or its values hardly repeat.
    """
    if survey.seen == 0:
        return "no value in the training rows"
    if survey.distinct == 1 and survey.seen == training:
        return "constant"
    covered = sum(count for _, count in survey.values)
    if not survey.values and survey.distinct > 1:
        return _describe_unrepeated(survey)
    if declared:
        return ""
    if survey.distinct > 0.9 * survey.seen or covered < 0.5 * survey.seen:
        return _describe_unrepeated(survey)
    return ""


def _describe_unrepeated(survey: ValueSurvey) -> str:
    counts = f"{count_text(survey.distinct, 'distinct value')} in {count_text(survey.seen, 'row')}"
    if len(survey.values) == MOST_VALUES:
        return f"too many values ({counts})"
    if survey.length > 40 or survey.longest > 200:
        return f"free text ({counts})"
    if survey.distinct > 0.9 * survey.seen:
        return f"identifier or free text ({counts})"
    return f"free text (few values occur {LEAST_COUNT} times: {counts})"
