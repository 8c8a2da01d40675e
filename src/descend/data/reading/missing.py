"""The texts that stand for a missing value."""

from __future__ import annotations

from descend.data.reading.sql import text_list

NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Texts for missing in any column: the list of pandas."""

CLASS_NAMES = ("None", "NA", "N/A", "n/a")
"""The texts of `NULLS` that are ordinary classes in a target of text."""

MARKS = frozenset(
    {null.lower() for null in NULLS}
    | {"?", "??", "???", "-", "--", "---", "–", "—", ".", "..", "...", "*", "/", "\\n"}
    | {"n.a.", "n.a", "n.d.", "nd", "n/d", "nil", "tbd", "unknown", "missing", "undefined"}
    | {"(null)", "not available", "not applicable", "no data", "k.a.", "#null!"}
    | {"(blank)", "(empty)", "[null]", "<null>", "k. a.", "n. a.", "00.00.0000", "00/00/0000"}
    | {"#div/0!", "#value!", "#ref!", "#num!", "#name?", "0000-00-00", "0000-00-00 00:00:00"}
)
"""Further texts for missing in a column of numbers or dates, in any letter case."""


def missing_sql(text: str, nulls: tuple[str, ...], *, marks: bool) -> str:
    """SQL: whether a text stands for a missing value.

    Args:
        text: SQL of a text without spaces around it.
        nulls: texts that do.
        marks: whether `MARKS` do too, in any letter case.
    """
    longest = max(len(null) for null in (*nulls, *(MARKS if marks else ()), ""))
    # DuckDB turns IN and list_contains into a join, which loses the order of the rows.
    tests = [f"list_position({text_list(nulls)}, {text}) IS NOT NULL"] if nulls else []
    if marks:
        tests.append(f"list_position({text_list(sorted(MARKS))}, lower({text})) IS NOT NULL")
    return f"(length({text}) <= {longest} AND ({' OR '.join(tests) or 'false'}))"
