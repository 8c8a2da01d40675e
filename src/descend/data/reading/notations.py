"""Numbers in notations of print, as those of programs: 1.2x10^3, 10½, and 5,- for 5,00.

Each of them has one meaning, so a cell is read alike in every column.
"""

from __future__ import annotations

from descend.data.reading.sql import quote_text, text_list, with_value

_FRACTIONS = {
    one: f"{numerator / denominator!r}".removeprefix("0")
    for one, numerator, denominator in (
        *(("½", 1, 2), ("⅓", 1, 3), ("⅔", 2, 3), ("¼", 1, 4), ("¾", 3, 4)),
        *(("⅕", 1, 5), ("⅖", 2, 5), ("⅗", 3, 5), ("⅘", 4, 5), ("⅙", 1, 6), ("⅚", 5, 6)),
        *(("⅛", 1, 8), ("⅜", 3, 8), ("⅝", 5, 8), ("⅞", 7, 8)),
    )
}
"""The decimals of each sign for a fraction."""
FRACTION_SIGNS = "".join(_FRACTIONS)
_SIGN = "[-+−]?"
_POWER = (
    rf"^({_SIGN}[0-9]+(?:[.,][0-9]+)?) ?[x×*·] ?10"
    r"(?:(?:\^|\*\*)\(?([-+−]?[0-9]{1,3})\)?|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))$"
)
_FRACTION = rf"^({_SIGN})([0-9]*)[ \x{{2009}}]?([{FRACTION_SIGNS}])$"
_NO_CENTS = r"([0-9][.,])(?:--?|[–—])($|[ \x{00A0}]?[^-0-9.,–— ][^0-9]*$)"
_ANY = rf"10[\^*⁻⁺⁰-⁹¹²³]|[{FRACTION_SIGNS}]$|[0-9][.,][-–—]"


def in_print_sql(text: str) -> str:
    """SQL: whether a text may be a number in a notation of print."""
    return f"regexp_matches({text}, {quote_text(_ANY)})"


def usual_notation_sql(text: str) -> str:
    """SQL: a number in a notation of print as programs write it; other text unchanged.

    Args:
        text: SQL of a text without spaces around it.
    """
    return f"CASE WHEN {in_print_sql(text)} THEN {_rewritten(text)} ELSE {text} END"


def _rewritten(text: str) -> str:
    power = f"regexp_extract({text}, {quote_text(_POWER)}, ['number', 'plain', 'raised'])"
    fraction = f"regexp_extract({text}, {quote_text(_FRACTION)}, ['sign', 'whole', 'part'])"
    with_cents = f"regexp_replace({text}, {quote_text(_NO_CENTS)}, '\\100\\2')"
    return with_value(
        power,
        lambda parts: (
            f"CASE WHEN {parts}.number <> '' THEN {_power_text(parts)} "
            f"ELSE {with_value(fraction, lambda one: _fraction_text(one, with_cents))} END"
        ),
    )


def _power_text(parts: str) -> str:
    raised = f"translate({parts}.raised, '⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹', '-+0123456789')"
    exponent = f"replace(concat({parts}.plain, {raised}), '−', '-')"
    # 5e3 may be a code, 5e+3 is none.
    signed = f"CASE WHEN regexp_matches({exponent}, '^[-+]') THEN '' ELSE '+' END"
    return f"concat(replace({parts}.number, '−', '-'), 'e', {signed}, {exponent})"


def _fraction_text(parts: str, otherwise: str) -> str:
    signs, decimals = text_list(list(_FRACTIONS)), text_list(list(_FRACTIONS.values()))
    found = f"{decimals}[list_position({signs}, {parts}.part)]"
    whole = f"CASE WHEN {parts}.whole = '' THEN '0' ELSE {parts}.whole END"
    number = f"concat(replace({parts}.sign, '−', '-'), {whole}, {found})"
    return f"CASE WHEN {parts}.part <> '' THEN {number} ELSE {otherwise} END"
