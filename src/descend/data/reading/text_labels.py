"""Count the cells of text columns by what they look like.

Each cell has a label (`number_text.LABELS`); cells with a unit have that of their number too, and
`settle_unit` says whether the unit is one of the column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from descend.data.reading.durations import TIME_UNITS
from descend.data.reading.expressions import text_sql
from descend.data.reading.lettered_numbers import (
    ANGLE,
    AXES,
    LATITUDE,
    LETTERED,
    LONGITUDE,
    SCALES,
    find_letters,
)
from descend.data.reading.measured_text import find_unit, measured_sql
from descend.data.reading.missing import NULLS, missing_sql
from descend.data.reading.notations import usual_notation_sql
from descend.data.reading.number_text import label_sql, latin_digits_sql, undecorated_sql, unit_sql
from descend.data.reading.sql import quote_text, text_list, with_value
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn, groups_of
from descend.data.reading.time_text import LOCAL, ZONED, clock_zone_sql
from descend.errors import quoted_cell

POINTED = ("point", "groups", "fortran")
COMMAS = ("comma", "comma groups")
NUMBERS = (
    "bit",
    "short",
    "whole",
    "long",
    "power",
    "point3",
    "comma3",
    "infinite",
    *POINTED,
    *COMMAS,
)
DIGITS = (*NUMBERS, "zeros", "exponent")
_WITH_DECIMALS = {*POINTED, *COMMAS, "point3", "comma3"}
DURATIONS = ("duration", "iso duration", "worded duration")
DEGREES = {"latitude": LATITUDE, "longitude": LONGITUDE, "angle": ANGLE}


@dataclass(frozen=True)
class Cells:
    """A group of cells of a column that look alike.

    Attributes:
        count: how many.
        first: the data row of the first one, from 0.
        example: the first one.
    """

    count: int
    first: int
    example: str

    def __str__(self) -> str:
        return f"{self.shown}, first in data row {self.first + 1:,}"

    @property
    def shown(self) -> str:
        """The example in quotes, cut where it is long."""
        return quoted_cell(self.example)


@dataclass
class Seen:
    """Cells of a column by label, and counts by currency or per cent sign, and by other unit.

    Labels of numbers with a unit have `_SPACED` or `_GLUED` before them, until `settle_unit` says
    whether they are numbers of the column. `texts` is the number of different texts, or of cells
    where nobody has looked which are the same.
    """

    labels: dict[str, Cells] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    measures: dict[str, int] = field(default_factory=dict)
    measure: str = ""
    reason: str = ""
    few: bool = False
    plain: bool = True
    texts: int = 0

    def count(self, *labels: str) -> int:
        """How many cells have one of these labels."""
        return sum(self.labels[label].count for label in labels if label in self.labels)

    def all_cells(self) -> int:
        """Cells that are neither empty nor texts for missing."""
        return sum(
            cells.count for label, cells in self.labels.items() if label not in ("null", "mark")
        )

    @property
    def repeats(self) -> bool:
        """Whether each text stands in several cells, so that it is faster to look at each once."""
        cells = sum(one.count for one in self.labels.values())
        return self.texts * _REPEATED <= cells

    @property
    def zoned(self) -> bool | None:
        """Whether times have an offset from UTC; None for no times, or some of either kind."""
        zoned, local = self.units.get(ZONED, 0), self.units.get(LOCAL, 0)
        return None if (zoned > 0) == (local > 0) else zoned > 0

    def joined(self, labels: Sequence[str]) -> Cells | None:
        """The cells of several labels together."""
        found = [self.labels[label] for label in labels if label in self.labels]
        if not found:
            return None
        first = min(found, key=lambda cells: cells.first)
        return replace(first, count=sum(cells.count for cells in found))


def survey_labels(
    table: Table,
    columns: Sequence[TableColumn],
    where: str,
    before: Mapping[str, Seen] = MappingProxyType({}),
) -> dict[str, Seen]:
    """The labels of the cells of each column.

    Args:
        table: to read.
        columns: of text.
        where: an SQL condition on its rows.
        before: what the first rows have shown: units that are not among theirs are not told apart.
    """
    found = {column.name: Seen() for column in columns}
    # Of the first rows, which are few, it is not known yet.
    repeated = [one for one in columns if one.name not in before or before[one.name].repeats]
    names = {one.name for one in repeated}
    others = [one for one in columns if one.name not in names]
    groups = [(group, True) for group in groups_of(repeated, _COLUMNS_AT_ONCE)]
    groups += [(group, False) for group in groups_of(others, _COLUMNS_AT_ONCE)]
    for group, grouped in groups:
        units = {unit for one in group if one.name in before for unit in before[one.name].measures}
        units |= {other for alike in _FAMILIES if not units.isdisjoint(alike) for other in alike}
        listed = _labels_sql(table, group, where, sorted(units) if before else None, grouped)
        for row in table.merged(listed, _MERGED_LABELS).to_pylist():
            seen = found[group[int(row["place"])].name]
            cells = Cells(row["n"], row["first"], row["example"])
            label = row["label"]
            seen.texts += row["texts"]
            measured = label.startswith((_SPACED, _GLUED))
            seen.plain &= not row["decorated"] or measured or label == ODD
            seen.labels[label] = seen.joined([label]) or cells
            if seen.labels[label] is not cells:
                earlier = min(seen.labels[label], cells, key=lambda one: one.first)
                seen.labels[label] = replace(earlier, count=seen.labels[label].count + cells.count)
            counts = seen.measures if measured else seen.units
            counts[row["unit"]] = counts.get(row["unit"], 0) + cells.count
    return found


_COLUMNS_AT_ONCE = 256
_REPEATED = 8
"""With as many cells of each text, it pays to look at each text once."""
_SPACED, _GLUED = "spaced ", "glued "
"""What stands before the label of a number with a unit, which has a space before it or none."""
ODD = "odd"
"""The label of text with digits that is no number."""
_OTHER_UNIT = "others"
_FAMILIES = (*({*letters} for letters in AXES.values()), {*SCALES}, {*TIME_UNITS})
"""Units that one column may mix: where the first rows have one of them, others may follow."""


def _labels_sql(
    table: Table,
    columns: Sequence[TableColumn],
    where: str,
    units: Sequence[str] | None,
    grouped: bool,
) -> str:
    values = ", ".join(f'{text_sql(column)} AS "{place}"' for place, column in enumerate(columns))
    usual = with_value(with_value("written", latin_digits_sql), usual_notation_sql)
    nulls = " ".join(
        f"WHEN place = '{place}' AND {missing_sql('written', one.nulls, marks=False)} THEN 'null'"
        for place, one in enumerate(columns)
        if one.nulls != NULLS
    )
    measure = "part.unit"
    if units is not None:
        known = f"list_position({text_list(units)}, part.unit) IS NOT NULL" if units else "false"
        measure = f"CASE WHEN {known} THEN part.unit ELSE {quote_text(_OTHER_UNIT)} END"
    cells = f"""
        FROM (UNPIVOT (
            SELECT {ROW} AS row, {values} FROM {table.rows} WHERE {where}
        ) ON COLUMNS(* EXCLUDE (row)) INTO NAME place VALUE written)
    """
    if grouped:
        cells = f"SELECT place, written, min(row) AS row, count(*) AS cells {cells} GROUP BY ALL"
    else:
        cells = f"SELECT place, written, row, 1 AS cells {cells}"
    cells = f"SELECT *, {usual} AS value FROM ({cells})"
    gap = f"CASE WHEN part.gap = '' THEN {quote_text(_GLUED)} ELSE {quote_text(_SPACED)} END"
    return f"""
        SELECT place, label, decorated,
            CASE WHEN label IN ('other', {quote_text(ODD)}) THEN {clock_zone_sql("value")}
                WHEN part.unit <> '' THEN {measure}
                WHEN decorated THEN {unit_sql("value")} ELSE '' END AS unit,
            count(*)::BIGINT AS texts, sum(cells)::BIGINT AS n, min(row)::BIGINT AS first,
            arg_min(written, row) AS example
        FROM (
            SELECT place, written, value, row, cells, own = '' AS decorated, part,
                CASE WHEN own <> '' THEN own WHEN part.unit <> ''
                THEN concat({gap}, CASE WHEN regexp_matches(part.number, '[eE]')
                    THEN {label_sql("part.number")} ELSE {label_sql("inner_bare")} END)
                WHEN bare = '' THEN {quote_text(ODD)} ELSE {label_sql("bare")} END AS label
            FROM (
                SELECT place, written, value, row, cells, own, bare, part,
                    CASE WHEN part.unit <> '' THEN {undecorated_sql("part.number")} ELSE '' END
                        AS inner_bare
                FROM (
                    SELECT place, written, value, row, cells, own, bare,
                        CASE WHEN own = '' AND bare = '' THEN {measured_sql("value")} END AS part
                    FROM (
                        SELECT place, written, value, row, cells, own,
                            CASE WHEN own = '' THEN {undecorated_sql("value")} ELSE '' END AS bare
                        FROM (
                            SELECT place, written, value, row, cells,
                                CASE {nulls}
                                WHEN {missing_sql("value", NULLS, marks=False)} THEN 'null'
                                WHEN {missing_sql("value", (), marks=True)} THEN 'mark'
                                ELSE {label_sql("value")} END AS own
                            FROM ({cells})
                        )
                    )
                )
            )
        )
        GROUP BY ALL
    """


_MERGED_LABELS = """
    SELECT place, label, decorated, unit, sum(texts)::BIGINT AS texts, sum(n)::BIGINT AS n,
        min(first) AS first,
        arg_min(example, first) AS example
    FROM parts GROUP BY place, label, decorated, unit
"""


def settle_unit(seen: Seen, *, asked: bool = False) -> Seen:
    """The cells with a unit as numbers, where it is the unit of the column; else as other text.

    Args:
        seen: as counted.
        asked: whether the column is to be one of numbers.
    """
    measured = {
        label: label.removeprefix(_SPACED).removeprefix(_GLUED)
        for label in seen.labels
        if label.startswith((_SPACED, _GLUED))
    }
    degrees = {label: "point" for label in seen.labels if label in DEGREES}
    if not measured and not degrees:
        return seen
    spaced = {label.startswith(_SPACED) for label in measured}
    if _are_durations(seen, glued=False in spaced):
        return _relabelled(seen, dict.fromkeys(measured, "worded duration"))
    decimals = not _WITH_DECIMALS.isdisjoint(measured.values())
    unit, reason = find_letters(
        seen.measures,
        glued=False in spaced,
        spaced=True in spaced,
        decimals=decimals,
        degrees={DEGREES[label] for label in degrees},
        asked=asked,
    )
    if not unit and not reason:
        unit, reason = find_unit(
            seen.measures, seen.all_cells(), spaced=False not in spaced, decimals=decimals
        )
    inner = measured | degrees
    unlike = [
        label
        for label in seen.labels
        if inner.get(label, label) not in (*DIGITS, "null", "mark", "other")
        or (label in measured and measured[label] == "other")
        or (label in degrees and unit not in AXES)
    ]
    odd = seen.joined(unlike)
    if unit and odd is not None:
        what = "no such numbers" if unit in LETTERED else f"no numbers with the unit {unit}"
        reason = f"{odd.count:,} cells are {what}, {odd}"
    if odd is not None or set(seen.units) - {"", ZONED, LOCAL}:
        unit = ""
    found = _relabelled(seen, inner if unit else dict.fromkeys(inner, ODD))
    return replace(found, measure=unit, reason=reason, plain=seen.plain and not unit)


def _are_durations(seen: Seen, *, glued: bool) -> bool:
    """Whether the units of a column are those of durations: 45m beside 1h30m, or 5 min and 2 h."""
    units = set(seen.measures)
    if not units <= set(TIME_UNITS):
        return False
    # 5s and 2h may be codes, and S and H are the sides of an account in German.
    short = {unit for unit in units if len(unit) == 1}
    clear = short <= {"d", "h", "s"} and not (glued and short)
    different = len({TIME_UNITS[unit] for unit in units}) > 1
    return seen.count("worded duration") > 0 or (different and clear)


def _relabelled(seen: Seen, new: Mapping[str, str]) -> Seen:
    """With other labels for some cells."""
    labels: dict[str, Cells] = {}
    for label, cells in seen.labels.items():
        own = new.get(label, label)
        before = labels.get(own, replace(cells, count=0))
        first = min(before, cells, key=lambda one: one.first)
        labels[own] = replace(first, count=before.count + cells.count)
    return replace(seen, labels=labels)
