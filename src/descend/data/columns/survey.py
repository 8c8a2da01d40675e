"""Look at the rows of a table: what is in each column, in as few readings as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from descend.data.columns.split import is_validation_sql
from descend.data.reading.csv_files import quote_text
from descend.data.reading.expressions import category_sql, iso_sql, number_sql, present_sql
from descend.data.reading.table import ROW, Table, TableColumn
from descend.errors import DataError

MOST_VALUES = 10_000
"""A category column has at most so many values with a code of their own."""

LEAST_COUNT = 3
"""A value seen less often has no code of its own: from one or two rows nothing is learned about
it, and code 0, which values never seen before share with it, learns from such rows."""

PATTERNS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y"),
    *("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
)
"""Ways to write dates that are recognised beside ISO 8601."""


@dataclass(frozen=True)
class Selection:
    """Which rows are learned from, as SQL.

    Attributes:
        targets: columns that must hold a value.
        weight: a column that must be above 0.
        fraction: of the rows, kept for validation; None learns from all.
        seed: chooses them.
    """

    targets: tuple[TableColumn, ...] = ()
    weight: TableColumn | None = None
    fraction: float | None = None
    seed: int = 0

    @property
    def labelled(self) -> str:
        """Every target is there."""
        return " AND ".join([present_sql(target) for target in self.targets]) or "true"

    @property
    def weighted(self) -> str:
        """The weight is above 0."""
        return f"coalesce({number_sql(self.weight)} > 0, false)" if self.weight else "true"

    @property
    def training(self) -> str:
        """Not kept for validation."""
        if self.fraction is None:
            # The row number keeps the reading in order, and sums the same to the last bit.
            return f"{ROW} >= 0"
        return f"NOT {is_validation_sql(ROW, self.fraction, self.seed)}"


@dataclass(frozen=True)
class NumberSurvey:
    """A column of numbers: `infinite` counts in all rows, the rest in training rows."""

    seen: int = 0
    infinite: int = 0
    lowest: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    distinct: int = 0
    whole: bool = False


@dataclass(frozen=True)
class ValueSurvey:
    """A column of values in the training rows.

    Attributes:
        seen: rows that have a value.
        distinct: different values.
        values: the commonest values by falling count, then by value, each with its count.
        iso: all of them are ISO 8601 dates or times.
        clock: all of them are times of day.
        patterns: strptime patterns that all of them match.
        longest: characters of the longest.
        length: characters on average.
    """

    seen: int = 0
    distinct: int = 0
    values: tuple[tuple[str, int], ...] = ()
    iso: bool = False
    clock: bool = False
    patterns: tuple[str, ...] = ()
    longest: int = 0
    length: float = 0.0


def survey_numbers(
    table: Table, columns: Sequence[TableColumn], rows: Selection
) -> tuple[dict[str, NumberSurvey], dict[str, int]]:
    """Every column of numbers, and the counts of rows, in one reading.

    Returns:
        The surveys by column name; and the counts `total`, `labelled`, `weighted` (and
        labelled), `training`.
    """
    used = f"({rows.labelled}) AND {rows.weighted} AND {rows.training}"
    flags = {"total": "true", "labelled": rows.labelled}
    if rows.weight:
        flags["weighted"] = f"({rows.labelled}) AND {rows.weighted}"
    counted = [f"CASE WHEN {test} THEN 1.0::DOUBLE END AS {key}" for key, test in flags.items()]
    numbers = [f'{number_sql(column)} AS "{place}"' for place, column in enumerate(columns)]
    # One long column, since a query with aggregates for each of many columns plans for seconds.
    found = table.query(
        f"""
        SELECT place,
            count(*) AS rows,
            count(*) FILTER (used) AS seen,
            count_if(isinf(value))::BIGINT AS infinite,
            min(value) AS lowest,
            avg(value) FILTER (used AND isfinite(value)) AS mean,
            stddev_pop(value) FILTER (used AND isfinite(value)) AS deviation,
            min(value) FILTER (used) AS minimum,
            max(value) FILTER (used) AS maximum,
            approx_count_distinct(value) FILTER (used) AS "distinct",
            bool_and(value = floor(value)) FILTER (used) AS whole
        FROM (UNPIVOT (
            SELECT {used} AS used, {", ".join(counted + numbers)} FROM {table.rows}
        ) ON COLUMNS(* EXCLUDE used) INTO NAME place VALUE value)
        GROUP BY place
        """
    ).to_pylist()
    by_place = {row.pop("place"): row for row in found}
    counts = {key: int(by_place[key]["rows"]) if key in by_place else 0 for key in flags}
    counts.setdefault("weighted", counts["labelled"])
    counts["training"] = int(by_place["total"]["seen"])
    surveys = {}
    for place, column in enumerate(columns):
        row = by_place.get(str(place), {})
        row.pop("rows", None)
        known = {key: value for key, value in row.items() if value is not None}
        surveys[column.name] = NumberSurvey(**known)
    return surveys, counts


def survey_values(
    table: Table, columns: Sequence[TableColumn], rows: Selection
) -> dict[str, ValueSurvey]:
    """The values of text, booleans and categories, counted in one reading.

    A target among the columns is counted in the validation rows too: its classes are known
    from all rows, with count 0 where the training rows have none.
    """
    if not columns:
        return {}
    targets = [target.name for target in rows.targets]
    values = ", ".join(
        f'{category_sql(column)} AS "{place}"' for place, column in enumerate(columns)
    )
    sources = [str(place) for place, column in enumerate(columns) if column.name in targets]
    always = f"place IN ({', '.join(map(quote_text, sources))})" if sources else "false"
    counted = f"""
        SELECT place::INTEGER AS place, value, count_if(used)::BIGINT AS n
        FROM (UNPIVOT (
            SELECT {rows.training} AS used, {values} FROM {table.rows}
            WHERE ({rows.labelled}) AND {rows.weighted}
        ) ON COLUMNS(* EXCLUDE used) INTO NAME place VALUE value)
        GROUP BY place, value HAVING n > 0 OR {always}
    """
    target_places = [int(place) for place in sources]
    with table.kept(counted) as kept:
        totals = {row["place"]: row for row in table.query(_totals(kept)).to_pylist()}
        common = table.query(_commonest(kept, target_places)).to_pylist()
        dated = [
            place
            for place, row in totals.items()
            if not (row["iso"] or row["clock"]) and row["date_like"]
        ]
        patterns = _matching_patterns(table, kept, dated)
    surveys = {}
    for place, column in enumerate(columns):
        row = totals.get(place, {})
        row.pop("place", None)
        row.pop("date_like", None)
        pairs = tuple((one["value"], one["n"]) for one in common if one["place"] == place)
        surveys[column.name] = ValueSurvey(
            **row, values=pairs, patterns=tuple(patterns.get(place, ()))
        )
    return surveys


def _totals(kept: str) -> str:
    clock = r"'\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?'"
    digits = r"'.*\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3})[-/., ].*|[A-Za-z]{3} \d.*'"
    return f"""
        SELECT place, sum(n)::BIGINT AS seen, count(*) AS "distinct",
            bool_and(({iso_sql("value")}) IS NOT NULL) AS iso,
            bool_and(regexp_full_match(value, {clock}) AND try_cast(value AS TIME) IS NOT NULL)
                AS clock,
            max(length(value)) AS longest,
            coalesce(sum(length(value) * n) / nullif(sum(n), 0), 0)::DOUBLE AS length,
            max(length(value)) < 30 AND bool_and(regexp_full_match(value, {digits})) AS date_like
        FROM {kept} GROUP BY place
    """


def _commonest(kept: str, always: Sequence[int]) -> str:
    everything = f" OR place IN ({', '.join(map(str, always))})" if always else ""
    return f"""
        SELECT place, value, n FROM {kept} WHERE n >= {LEAST_COUNT}{everything}
        QUALIFY row_number() OVER (PARTITION BY place ORDER BY n DESC, value) <= {MOST_VALUES}
        ORDER BY place, n DESC, value
    """


def _matching_patterns(table: Table, kept: str, places: Sequence[int]) -> dict[int, list[str]]:
    if not places:
        return {}
    tests = ", ".join(
        f'bool_and({_matches(pattern)}) AS "{number}"' for number, pattern in enumerate(PATTERNS)
    )
    inside = ", ".join(map(str, places))
    rows = table.query(
        f"SELECT place, {tests} FROM {kept} WHERE place IN ({inside}) GROUP BY place"
    ).to_pylist()
    return {
        row["place"]: [pattern for number, pattern in enumerate(PATTERNS) if row[str(number)]]
        for row in rows
    }


def _matches(pattern: str) -> str:
    parsed = f"try_strptime(value, {quote_text(pattern)}) IS NOT NULL"
    # %Y alone would take 1/2/11 for the year 11.
    return parsed + (r" AND regexp_matches(value, '\d{4}')" if "%Y" in pattern else "")


def raise_infinite(table: Table, column: TableColumn) -> None:
    """Raise the DataError that names the first row with an infinite value."""
    rows = table.query(
        f"SELECT {ROW} AS row, {number_sql(column)} AS value FROM {table.rows} "
        f"WHERE isinf({number_sql(column)}) LIMIT 1"
    ).to_pylist()
    raise DataError(
        f"{table.name}, column {column.name!r}, data row {rows[0]['row'] + 1}: expected a finite "
        f"number, found {rows[0]['value']}. Correct it, leave it empty if it is missing, "
        f"or leave the column out with --exclude {column.name}."
    )
