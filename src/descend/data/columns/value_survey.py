"""Look at the values of a table: which there are, how often, and whether they are dates."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from descend.data.columns.number_survey import in_groups
from descend.data.columns.survey import LEAST_COUNT, MOST_VALUES, Selection, ValueSurvey
from descend.data.reading.csv_files import quote_text
from descend.data.reading.expressions import category_sql, iso_sql
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn

PATTERNS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y"),
    *("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
)
"""Ways to write dates that are recognised beside ISO 8601."""


def survey_values(
    table: Table, columns: Sequence[TableColumn], rows: Selection
) -> dict[str, ValueSurvey]:
    """The values of text, booleans and categories.

    A target among the columns is counted in the validation rows too: its classes are known
    from all rows, with count 0 where the training rows have none.

    Args:
        table: its training rows marked.
        columns: each is read as categories.
        rows: which rows to learn from.
    """
    groups = in_groups(columns)
    found = table.side_by_side([functools.partial(_survey, table, group, rows) for group in groups])
    return {name: survey for group in found for name, survey in group.items()}


def _survey(
    table: Table, columns: Sequence[TableColumn], rows: Selection
) -> dict[str, ValueSurvey]:
    targets = [place for place, column in enumerate(columns) if column in rows.targets]
    always = f"place IN ({', '.join(map(str, targets))})" if targets else "false"
    with table.kept(_counted(table, columns, rows.counted if targets else MARK, always)) as kept:
        totals = {row["place"]: row for row in table.query(_totals(kept)).to_pylist()}
        common = table.query(_commonest(kept, always)).to_pylist()
        dated = [
            place
            for place, row in totals.items()
            if not (row["iso"] or row["clock"]) and row["date_like"]
        ]
        patterns = _matching_patterns(table, kept, dated)
    pairs: dict[int, list[tuple[str, int]]] = {}
    for one in common:
        pairs.setdefault(one["place"], []).append((one["value"], one["n"]))
    surveys = {}
    for place, column in enumerate(columns):
        row = totals.get(place, {})
        row.pop("place", None)
        row.pop("date_like", None)
        surveys[column.name] = ValueSurvey(
            **row, values=tuple(pairs.get(place, ())), patterns=tuple(patterns.get(place, ()))
        )
    return surveys


def _counted(table: Table, columns: Sequence[TableColumn], where: str, always: str) -> str:
    """SQL for every value of every column with its count, in one reading."""
    names = [f"v{place}" for place in range(len(columns))]
    values = ", ".join(
        f"{category_sql(column)} AS {name}" for column, name in zip(columns, names, strict=True)
    )
    sets = ", ".join(f"({name})" for name in names)
    places = " ".join(f"WHEN grouping({name}) = 0 THEN {name[1:]}" for name in names)
    return f"""
        SELECT place, value, n FROM (
            SELECT CASE {places} END AS place, coalesce({", ".join(names)}, NULL) AS value,
                count_if({MARK})::BIGINT AS n
            FROM (SELECT {values}, {MARK} FROM {table.rows} WHERE {where})
            GROUP BY GROUPING SETS ({sets})
        ) WHERE value IS NOT NULL AND (n > 0 OR {always})
    """


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


def _commonest(kept: str, always: str) -> str:
    return f"""
        SELECT place, value, n FROM {kept} WHERE n >= {LEAST_COUNT} OR {always}
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
