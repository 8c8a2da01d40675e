"""Numbers in notations of print, as those of programs: 1.2x10^3, 10½, and 5,- for 5,00.

Each of them has one meaning, so a cell is read alike in every column.
"""

from __future__ import annotations

from descend.data.reading.sql import quote_text, text_list

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
    rf"^\s*({_SIGN}[0-9]+(?:[.,][0-9]+)?) ?[x×*·] ?10"
    r"(?:(?:\^|\*\*)\(?([-+−]?[0-9]{1,3})\)?|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}))\s*$"
)
_MONEY = "[$€£¥₹]"
_MIXED = (
    rf"^\s*({_SIGN}(?:{_MONEY} ?{_SIGN})?[0-9]*)[ \x{{2009}}]?([{FRACTION_SIGNS}])"
    rf"((?:[ \x{{00A0}}]?(?:%|{_MONEY}))?)\s*$"
)
"""Also with per cent or a currency: $10½, 5½%."""
_GROUPED = "[0-9 '’\\x{00A0}\\x{202F}]"
_NO_CENTS = (
    rf"^([^0-9]*[0-9](?:(?:{_GROUPED}|,)*\.|(?:{_GROUPED}|\.)*,))(?:--?|[–—])"
    r"(\s*$|[ \x{00A0}]?[^-0-9.,–— ][^0-9]*$)"
)
"""The mark before the dash for cents is no other one of the number: 1.000.- is none."""
_ANY = rf"10[*^⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]|[{FRACTION_SIGNS}]|[.,][-–—]"


def in_print_sql(text: str) -> str:
    """SQL: whether a text may be a number in a notation of print."""
    return f"regexp_matches({text}, {quote_text(_ANY)})"


def usual_notation_sql(text: str) -> str:
    """SQL: a number in a notation of print as programs write it; other text unchanged.

    Args:
        text: SQL of a text.
    """
    signs, decimals = text_list(list(_FRACTIONS)), text_list(list(_FRACTIONS.values()))
    # 5e3 may be a code, 5e+3 is none.
    raised = f"regexp_replace({text}, {quote_text(_POWER)}, '\\1e+\\2\\3')"
    digits = f"translate({raised}, '⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹−', '-+0123456789-')"
    power = f"replace(replace({digits}, 'e+-', 'e-'), 'e++', 'e+')"
    before, sign, after = (f"regexp_extract({text}, {quote_text(_MIXED)}, {n})" for n in (1, 2, 3))
    part = f"{decimals}[list_position({signs}, {sign})]"
    mixed = f"concat(replace({before}, '−', '-'), {part}, {after})"
    cents = f"regexp_replace({text}, {quote_text(_NO_CENTS)}, '\\100\\2')"
    return (
        f"CASE WHEN NOT {in_print_sql(text)} THEN {text} "
        f"WHEN regexp_matches({text}, {quote_text(_POWER)}) THEN {power} "
        f"WHEN regexp_matches({text}, {quote_text(_MIXED)}) THEN {mixed} "
        f"ELSE {cents} END"
    )
