"""The grammar of numbers written as text, the same for every source.

A number may have a decimal point or comma, digits in groups of three (`1,234.50`, `1.234,50`,
`1 234,50`, `1'234.50`) or in lakhs (`12,34,567`), a currency (`€ 5`, `$1.2k`, `12 USD`), a per cent
sign, an exponent (`1e3`, Fortran's `1.5D+03`), and where it is negative a minus after it or
parentheses around it, or DR beside credits with CR. Durations are numbers of seconds (`durations`).
Text that may also be a code (`00501`, `2E3`, `1_12`) has labels of its own; the labels of all cells
decide what a column holds. `measured_text` has the units that may follow, `lettered_numbers` what
is no unit: `48.1N`, `1.2K`.
"""

from __future__ import annotations

import functools
import re

from descend.data.reading import told_forms
from descend.data.reading.durations import CLOCKED, ISO, ISO_DAYS, WORDED, seconds_sql
from descend.data.reading.lettered_numbers import (
    ANGLES,
    AXES,
    LATITUDES,
    LONGITUDES,
    SCALED,
    degrees_sql,
    scaled_sql,
)
from descend.data.reading.measured_text import split_written, without_unit_sql
from descend.data.reading.notations import FRACTION_SIGNS, in_print_sql, usual_notation_sql
from descend.data.reading.sql import quote_text, with_value

SPACES = " \t\r\n\u00a0\u2007\u2009\u202f\u200b\u200e\u200f\u2060\ufeff"
"""Spaces around a value, including no-break and thin ones, and marks that nobody sees: of no width,
of the direction of text, and of the order of bytes."""

_OTHER_DIGITS = "".join(
    chr(zero + digit) for zero in (0xFF10, 0x0660, 0x06F0) for digit in range(10)
)
_OTHER_MARKS = "．，％－＋٫٬٪"
"""Wide digits of East Asia, those of Arabic and of Persian, and the signs that go with them."""

_SP = r"[ \t\x{00A0}\x{2007}\x{2009}\x{202F}]"
_MINUS = "−–－﹣"
"""Signs that are set for a minus, besides the hyphen: a true minus, a dash, and wide and small."""
_GAP = r"[ \x{00A0}\x{2007}\x{2009}\x{202F}'’]"
_CURRENCY = (
    r"(?:(?:US|A|C|HK|NZ|R|S)?\$|[€£¥₹₽₩₺₪฿₫₴₦]|Fr\.|kr\.?|zł|Kč"
    r"|USD|EUR|GBP|JPY|CHF|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD|NZD|BRL|MXN|ZAR|KRW|TRY|RUB)"
)
_POINT = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_COMMA = r"(?:[0-9]+,?[0-9]*|,[0-9]+)"
_LAKHS = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_POINT_GROUPS = rf"(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+|{_LAKHS})(?:\.[0-9]*)?"
_COMMA_GROUPS = r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]*)?"
_POINT_GAPS = rf"[0-9]{{1,3}}(?:{_GAP}[0-9]{{3}})+(?:\.[0-9]*)?"
_COMMA_GAPS = rf"[0-9]{{1,3}}(?:{_GAP}[0-9]{{3}})+(?:,[0-9]*)?"
_MAGNITUDES = {"k": 3, "K": 3, "m": 6, "M": 6, "mn": 6, "bn": 9, "B": 9, "Mio": 6, "Mrd": 9}
_LETTERS = "|".join(_MAGNITUDES)

_FORTRAN = r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)[dD][-+][0-9]{1,3}"
"""A number of double precision as Fortran writes it."""
_POWER = "[-+]?[0-9]+(?:[.,][0-9]+)?e[-+][0-9]+"
_POINT_POWER = f"{_POWER}|{_FORTRAN}"
ENTRIES = "CR/DR"
"""The unit of credits, which are positive, and debits, which are negative: `1,234.50 DR`."""
_ENTRY = r"(?:CR|DR|Cr|Dr)"
SECONDS = "durations"
"""The unit of durations, which are numbers of seconds."""

POINT, COMMA, DURATION, PLAINLY = ".", ",", "duration", "plain"
"""How the numbers of a column are written: with a decimal point, with a decimal comma, as
durations, or with only digits, sign, point and exponent."""

PLAIN = (
    r"\s*[-+]?(?:(?:0|[1-9][0-9]{0,14})\.?(?:[eE][-+][0-9]+)?"
    r"|(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?)\s*"
)
"""A number as programs write it, which DuckDB parses itself. Whole numbers of more than 15 digits,
which a DOUBLE may not hold, may be codes."""

SIMPLE = r"[-+]?(?:(?:0|[1-9][0-9]{0,14})\.?|(?:0|[1-9][0-9]*)?\.[0-9]+)"
"""As `PLAIN`, without spaces around it and without an exponent."""


def _decorated_pattern(body: str, letters: str = "") -> str:
    """A pattern whose group is the body of a number amid sign, currency, % and parentheses.

    Letters for thousands or millions need a currency, since 12M may be a code.
    """
    sign = rf"[-+{_MINUS}]?"
    if letters:
        number = rf"({body}){_SP}*(?:{letters})"
        money = rf"(?:{_CURRENCY}{_SP}*{sign}{number}|{number}{_SP}*{_CURRENCY})"
        return rf"^\(?{sign}{_SP}*{money}\)?$"
    before = rf"(?:{sign}{_SP}*(?:{_CURRENCY}{_SP}*\(?)?|{_CURRENCY}{_SP}*{sign})"
    return rf"^\(?{before}({body})(?:(?:{_SP}*(?:{_CURRENCY}|%))?\)?|-)$"


def number_text_sql(text: str, written: str) -> str:
    """SQL: the DOUBLE of a text; NULL if it is not a number written in this way.

    Args:
        text: SQL of a text.
        written: `POINT`, `COMMA`, `DURATION` or `PLAINLY`; the first two may have a unit
            (`measured_text.join_written`), which texts may have too.
    """
    mark, unit = split_written(written)
    if unit:
        inner = stripped_sql(text)
        if unit in AXES:
            return with_value(inner, functools.partial(degrees_sql, axis=unit))
        if unit == SCALED:
            return with_value(
                inner, lambda value: scaled_sql(value, lambda part: number_text_sql(part, mark))
            )
        return with_value(without_unit_sql(inner, unit), lambda one: number_text_sql(one, mark))
    trimmed = _unwrapped(with_value(latin_digits_sql(text), usual_notation_sql))
    if written == DURATION:
        return with_value(trimmed, seconds_sql)
    if written == COMMA:
        # With a decimal comma 1.234 is 1234 and 1.5 is no number.
        point = f"replace({text}, ',', '.')"
        quick = f"CASE WHEN NOT contains({text}, '.') THEN {_cast(point)} END"
    else:
        quick = _cast(text)
    if written == PLAINLY:
        # DuckDB itself knows only ASCII spaces.
        other = f"{_wrapped(text)} OR {in_print_sql(text)}"
        return f"coalesce({quick}, CASE WHEN {other} THEN {_cast(trimmed)} END)"
    slow = with_value(trimmed, lambda value: _decorated_number(value, written))
    # Most texts that are no plain number are words, which fail the first test.
    digits = quote_text(f"[0-9{_OTHER_DIGITS}{FRACTION_SIGNS}]")
    return f"coalesce({quick}, CASE WHEN regexp_matches({text}, {digits}) THEN {slow} END)"


def stripped_sql(text: str) -> str:
    """SQL: a text without spaces around it and without what Excel writes around text, `="00501"`.

    NULL stays NULL, and empty text stays empty.
    """
    # Trimming takes longer than parsing a number, and is hardly ever needed.
    return f"CASE WHEN {_wrapped(text)} THEN {_unwrapped(text)} ELSE {text} END"


def _unwrapped(text: str) -> str:
    inner = f"""regexp_replace({text}, '^\\s*="(.*)"\\s*$', '\\1')"""
    return f"trim({inner}, {quote_text(SPACES)})"


def _wrapped(text: str) -> str:
    return f"""regexp_matches({text}, '^[^!-~]|[^!-~]$|^="')"""


def latin_digits_sql(text: str) -> str:
    """SQL: a text with the digits and signs of numbers of East Asia and of Arabic as 0 to 9."""
    other = quote_text(f"[{_OTHER_DIGITS}]")
    plain = "0123456789" * 3 + ".,%-+.,%"
    pairs = f"{quote_text(_OTHER_DIGITS + _OTHER_MARKS)}, {quote_text(plain)}"
    translated = f"translate({text}, {pairs})"
    return f"CASE WHEN regexp_matches({text}, {other}) THEN {translated} ELSE {text} END"


def whole_text_sql(text: str, written: str) -> str:
    """SQL: all digits of a whole number with currency or grouped digits; NULL for other text.

    A DOUBLE holds whole numbers up to 2⁵³ only.

    Args:
        text: SQL of a text without spaces around it.
        written: `POINT` or `COMMA`.
    """

    def whole(body: str) -> str:
        sign = f"CASE WHEN {_negative(text)} THEN '-' ELSE '' END"
        digits = f"regexp_extract({body}, '^0*([1-9][0-9]*)[.]?0*$', 1)"
        return f"CASE WHEN {digits} <> '' THEN concat({sign}, {digits}) END"

    return with_value(_digits(_undecorated(text, written), written), whole)


def _decorated_number(text: str, written: str) -> str:
    """SQL: the DOUBLE of a text with currency, per cent sign, grouped digits or parentheses."""
    body = _body(written)
    found = _undecorated(text, written)
    both = ", ".join(
        f"regexp_extract({text}, {quote_text(_decorated_pattern(body, _LETTERS))}, {group})"
        for group in (1, 2)
    )
    letters = f"regexp_extract({text}, {quote_text(f'[0-9]{_SP}*({_LETTERS})')}, 1)"
    factors = " ".join(
        f"WHEN {quote_text(name)} THEN 1e{power}" for name, power in _MAGNITUDES.items()
    )
    multiplied = f"{_cast(_digits(f'concat({both})', written))} * CASE {letters} {factors} END"
    lettered = f"CASE WHEN regexp_matches({text}, '[A-Za-z]') THEN {multiplied} END"
    entry = f"regexp_extract({text}, {quote_text(_entry_pattern(body))}, 1)"
    debit = f"CASE WHEN regexp_matches({text}, '[Dd].$') THEN -1 ELSE 1 END"
    # Powers of ten come from `usual_notation_sql`.
    exponent, marks = (_POWER, "',', '.'") if written == COMMA else (_POINT_POWER, "'dD', 'ee'")
    plain = _cast(f"translate({text}, {marks})")
    return f"""CASE WHEN regexp_full_match({text}, {quote_text(exponent)}) THEN {plain}
        WHEN regexp_matches({text}, {quote_text(f"{_ENTRY}$")})
        THEN {_cast(_digits(entry, written))} * {debit}
        WHEN {_has_one_sign(text)}
        THEN coalesce({_cast(_digits(found, written))}, {lettered})
            * CASE WHEN {_negative(text)} THEN -1 ELSE 1 END END"""


def _entry_pattern(body: str) -> str:
    """A pattern whose group is the body of an amount, with two decimals, of a credit or a debit."""
    return rf"^({body}){_SP}*{_ENTRY}$"


def _body(written: str) -> str:
    """A pattern of the digits, points, commas and gaps of a number."""
    if written == COMMA:
        return f"{_COMMA}|{_COMMA_GROUPS}|{_COMMA_GAPS}"
    return f"{_POINT}|{_POINT_GROUPS}|{_POINT_GAPS}"


def _undecorated(text: str, written: str) -> str:
    """SQL: the part of a text that `_body` describes; empty where it is no such number."""
    return f"regexp_extract({text}, {quote_text(_decorated_pattern(_body(written)))}, 1)"


def _has_one_sign(text: str) -> str:
    """SQL: whether parentheses are a pair, and a minus after the digits can be meant as one.

    It has decimals before it and no other sign: 2- and 3+ are grades.
    """
    pair = f"contains({text}, '(') = suffix({text}, ')') AND NOT regexp_matches({text}, '[(].*[(]')"
    after = f"regexp_matches({text}, '^[^-{_MINUS}+(]*[.,][0-9]+-$')"
    return f"{pair} AND (NOT suffix({text}, '-') OR {after})"


def _negative(text: str) -> str:
    return f"regexp_matches({text}, '[-({_MINUS}]')"


def _cast(text: str) -> str:
    # DuckDB would read 1_12 as 112.
    return f"CASE WHEN NOT contains({text}, '_') THEN try_cast({text} AS DOUBLE) END"


def _digits(body: str, written: str) -> str:
    """SQL: grouped digits as plain digits with a decimal point."""
    apart = " \u00a0\u2007\u2009\u202f'’" + ("." if written == COMMA else ",")
    if written == COMMA:
        return f"translate({body}, {quote_text(',' + apart)}, '.')"
    return f"translate({body}, {quote_text(apart)}, '')"


_SIGN = "[-+]?"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
LABELS = (
    ("bool:true", r"(?i:true|false)"),
    ("bool:yes", r"(?i:yes|no)"),
    ("bool:t", r"[tfTF]"),
    ("bool:y", r"[ynYN]"),
    ("bit", r"[01]"),
    ("short", rf"{_SIGN}[1-9][0-9]{{0,2}}"),
    ("whole", rf"{_SIGN}(?:0|[1-9][0-9]{{0,14}})"),
    ("long", rf"{_SIGN}[1-9][0-9]{{15,}}"),
    ("zeros", rf"{_SIGN}0[0-9]+"),
    ("exponent", rf"{_SIGN}[0-9]+[eE][0-9]+"),
    ("point3", rf"{_SIGN}[1-9][0-9]{{0,2}}\.[0-9]{{3}}"),
    ("comma3", rf"{_SIGN}[1-9][0-9]{{0,2}},[0-9]{{3}}"),
    ("power", rf"{_SIGN}[0-9]+[eE][-+][0-9]+"),
    ("fortran", _FORTRAN),
    ("point", rf"{_SIGN}{_POINT}(?:[eE][-+]?[0-9]+)?"),
    ("comma", rf"{_SIGN}{_COMMA}(?:[eE][-+]?[0-9]+)?"),
    ("groups", rf"{_SIGN}{_POINT_GROUPS}"),
    ("address", rf"{_BYTE}(?:\.{_BYTE}){{3}}"),
    ("comma groups", rf"{_SIGN}{_COMMA_GROUPS}"),
    ("infinite", r"[-+]?(?i:inf|infinity|nan)"),
    ("clock", r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"),
    ("duration", CLOCKED),
    ("iso duration", ISO),
    ("iso days", ISO_DAYS),
    ("worded duration", WORDED),
    ("latitude", LATITUDES),
    ("longitude", LONGITUDES),
    ("angle", ANGLES),
    *((label, pattern) for label, pattern, _ in told_forms.FORMS),
    ("other", r"[^0-9]*"),
)
"""Labels of texts, with a pattern each; the first one that matches all of a text is its label. A
single group of three digits after a point or comma is ambiguous."""


_CODE = r"^[-+]?0[0-9]|_|^[-+]?[0-9]+[eE][0-9]"


def code_sql(text: str) -> str:
    """SQL: whether what DuckDB takes for a number is written as codes are: 007, 1_12, 2E3."""
    # Most numbers have a point: they end with the first test.
    digits = f"(NOT contains({text}, '.') OR contains({text}, '_'))"
    return f"({digits} AND regexp_matches({text}, {quote_text(_CODE)}))"


_LONG = r"^\s*[-+]?[0-9]{16,}\s*$"


def inexact_sql(text: str) -> str:
    """SQL: whether a text is a whole number of more digits than a DOUBLE holds for certain."""
    return f"(length({text}) > 15 AND regexp_matches({text}, {quote_text(_LONG)}))"


def label_sql(text: str) -> str:
    """SQL: the label of a text among `LABELS`, else an empty text."""
    cases = " ".join(
        f"WHEN regexp_full_match({text}, {quote_text(pattern)}) THEN {quote_text(name)}"
        for name, pattern in LABELS
    )
    return f"CASE {cases} ELSE '' END"


def undecorated_sql(text: str) -> str:
    """SQL: the digits of a text without currency, sign, per cent sign and gaps.

    An empty text if it does not have this form.
    """
    bodies = "|".join((_POINT, _POINT_GROUPS, _COMMA, _COMMA_GROUPS))
    gaps = f"{_POINT_GAPS}|{_COMMA_GAPS}"
    plain = f"regexp_extract({text}, {quote_text(_decorated_pattern(bodies))}, 1)"
    gapped = f"regexp_extract({text}, {quote_text(_decorated_pattern(gaps))}, 1)"
    with_letters = quote_text(_decorated_pattern(f"{bodies}|{gaps}", _LETTERS))
    great = ", ".join(f"regexp_extract({text}, {with_letters}, {group})" for group in (1, 2))
    found = (
        f"concat({plain}, translate(concat({gapped}, {great}), ' \u00a0\u2007\u2009\u202f''’', ''))"
    )
    entry = f"regexp_extract({text}, {quote_text(_entry_pattern(f'{bodies}|{gaps}'))}, 1)"
    amount = f"translate({entry}, ' \u00a0\u2007\u2009\u202f''’', '')"
    entered = f"regexp_matches({text}, {quote_text(f'[.,][0-9]{{2}}{_SP}*{_ENTRY}$')})"
    return f"CASE WHEN {entered} THEN {amount} WHEN {_has_one_sign(text)} THEN {found} ELSE '' END"


def is_measure(unit: str) -> bool:
    """Whether the unit of a column is one of measurements or durations, not per cent or money."""
    return bool(unit) and "%" not in unit and re.match(_CURRENCY + r"($|\W)", unit) is None


def unit_sql(text: str) -> str:
    """SQL: the currency or per cent sign of a text, `ENTRIES` or an empty text."""
    currency = f"regexp_extract({text}, {quote_text(_CURRENCY)})"
    entry = f"WHEN regexp_matches({text}, {quote_text(f'{_ENTRY}$')}) THEN {quote_text(ENTRIES)}"
    return f"CASE WHEN suffix({text}, '%') THEN '%' {entry} ELSE {currency} END"
