"""Numbers with a unit behind them: 5 kg, 12 °C, 100kB.

The unit of a column of numbers is one, and belongs to how they are written: a cell with another one
is no number of that column. docs/columns.md states which texts are units.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from descend.data.reading.sql import quote_text
from descend.data.reading.worded_dates import is_month_name

_SP = r"[ \t\x{00A0}\x{2007}\x{2009}\x{202F}]"
_NUMBER = (
    r"[-+−–－﹣]?[.,]?[0-9]+(?:[.,'’ \x{00A0}\x{2007}\x{2009}\x{202F}][0-9]+)*[.,]?"
    r"(?:[eE][-+]?[0-9]+)?"
)
_LETTER = r"A-Za-z°µº‰Ω\x{00C0}-\x{065F}\x{066A}-\x{06EF}\x{06FA}-\x{1FFF}\x{3040}-\x{D7FF}"
_WORD = rf"[{_LETTER}][{_LETTER}²³⁻¹·/.^]*"
_UNIT = rf"(?:{_WORD}(?: {_WORD}(?: {_WORD})?)?|[A-Za-z/]*m[23])"
"""Up to three words of letters; a metre may have its power in digits. RE2 takes a fifth of a second
to prepare `\\p{L}` in each word."""

_NONE = frozenset(
    {"st", "nd", "rd", "th", "er", "ère", "eme", "ème", "re", "am", "pm", "a.m.", "p.m.", "uhr"}
    | {"k", "mn", "bn", "b", "mio", "mrd", "mil", "mill", "thousand", "million", "billion"}
    | {"xl", "xxl", "xxxl", "cr", "dr", "bc", "ad", "º"}
)
"""What stands behind a number and is no unit, in lower case: ordinals, halves of a day, powers of
ten, sizes, credit and debit, eras."""

_SHORT = ("lb", "hr", "yr", "kg", "km")
"""Units of two letters that are written with the s of a plural too."""

_LETTERS = "gmshlLVAW"
"""Units of one letter that may stand next to their numbers, where these have decimals."""

LEAST_MEASURED = 0.95
"""Least share of the cells of a column of numbers with a unit that have it."""
LEAST_DISTINCT = 11
"""Least number of different cells of such a column: with fewer they may be sizes or grades."""
_MOST_NAMED = 5


def measured_sql(text: str) -> str:
    """SQL: the `number`, the `gap` and the `unit` of a text as a STRUCT of texts, else empty."""
    pattern = quote_text(rf"^({_NUMBER})({_SP}*)({_UNIT})$")
    return f"regexp_extract({text}, {pattern}, ['number', 'gap', 'unit'])"


def without_unit_sql(text: str, unit: str) -> str:
    """SQL: the number of a text with this unit or none; NULL for other text, such as money.

    Args:
        text: SQL of a text without spaces around it.
        unit: in singular or plural.
    """
    one = singular(unit)
    spelt = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", one) + ("s?" if _has_plural(one) else "")
    return (
        f"nullif(regexp_extract({text}, {quote_text(rf'^({_NUMBER}){_SP}*(?:{spelt})?$')}, 1), '')"
    )


def singular(unit: str) -> str:
    """The unit without the s of a plural: `days` is `day`, but `ms` and `fps` are themselves."""
    return unit[:-1] if unit.endswith("s") and _has_plural(unit[:-1]) else unit


def _has_plural(unit: str) -> bool:
    return unit in _SHORT or re.fullmatch("[a-z ]{2,}[a-oqrt-z]", unit) is not None


def join_written(mark: str, unit: str) -> str:
    """How numbers with a unit are written, from how they are without it."""
    return f"{mark} {unit}" if unit else mark


def split_written(written: str) -> tuple[str, str]:
    """How numbers are written without their unit, and the unit or an empty text."""
    mark, _, unit = written.partition(" ")
    return mark, unit


def find_unit(
    counts: Mapping[str, int], cells: int, *, spaced: bool, decimals: bool
) -> tuple[str, str]:
    """The unit of a column of numbers, or why it has none; both empty for other columns.

    Args:
        counts: cells by the unit that they seem to have.
        cells: all that are not missing.
        spaced: whether all cells have a space before the unit.
        decimals: whether some have decimals.
    """
    alone = {*counts} if spaced else {"°", *(_LETTERS if decimals else "")}
    spellings: dict[str, dict[str, int]] = defaultdict(dict)
    for unit, count in counts.items():
        spellings[singular(unit)][unit] = count
    if any(unit.lower() in _NONE or (len(unit) == 1 and unit not in alone) for unit in counts):
        return "", ""
    measured = sum(counts.values())
    if not counts or measured < LEAST_MEASURED * cells:
        return "", ""
    if all(is_month_name(unit) for unit in counts):
        return "", "its cells are days of months without a year"
    if len(spellings) > 1:
        if len(spellings) > _MOST_NAMED:
            return "", ""
        return "", f"its cells have different units: {', '.join(sorted(spellings))}"
    (found,) = spellings.values()
    return max(found, key=lambda unit: (found[unit], unit)), ""
