"""How people write numbers as text, and how such text is read: one grammar for every source.

A number may have a decimal point or comma, digits in groups of three (`1,234.50`, `1.234,50`,
`1 234,50`, `1'234.50`), a currency (`€ 5`, `$1.2k`, `12 USD`), a per cent sign, an exponent, or
stand in parentheses where it is negative. Durations (`25:10:00`, `1 days 02:03:04`) are numbers of
seconds. What is written so that it may as well be a code (`00501`, `2E3`, `1_12`) has labels of
its own; whether the column is one of numbers is decided from the labels of all its cells.
"""

from __future__ import annotations

from descend.data.reading.sql import quote_text, with_value

SPACES = " \t\r\n\u00a0\u2007\u2009\u202f"
"""What may stand around a value and between its digits: no-break and thin spaces too."""

_SP = r"[ \t\x{00A0}\x{2007}\x{2009}\x{202F}]"
_GAP = r"[ \x{00A0}\x{2007}\x{2009}\x{202F}'’]"
_CURRENCY = (
    r"(?:(?:US|A|C|HK|NZ|R|S)?\$|[€£¥₹₽₩₺₪฿₫₴₦]|Fr\.|kr\.?|zł|Kč"
    r"|USD|EUR|GBP|JPY|CHF|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD|NZD|BRL|MXN|ZAR|KRW|TRY|RUB)"
)
_POINT = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_COMMA = r"(?:[0-9]+,?[0-9]*|,[0-9]+)"
_POINT_GROUPS = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?"
_COMMA_GROUPS = r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]*)?"
_POINT_GAPS = rf"[0-9]{{1,3}}(?:{_GAP}[0-9]{{3}})+(?:\.[0-9]*)?"
_COMMA_GAPS = rf"[0-9]{{1,3}}(?:{_GAP}[0-9]{{3}})+(?:,[0-9]*)?"
_DURATION = r"-?(?:[0-9]+ days?,? )?[0-9]+:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_MAGNITUDES = {"k": 3, "K": 3, "m": 6, "M": 6, "mn": 6, "bn": 9, "B": 9, "Mio": 6, "Mrd": 9}
_LETTERS = "|".join(_MAGNITUDES)

POINT, COMMA, DURATION, PLAINLY = ".", ",", "duration", "plain"
"""How the numbers of a column are written: with a decimal point, with a decimal comma, as
durations, and without anything but digits, sign, point and exponent."""

PLAIN = (
    r"\s*[-+]?(?:(?:0|[1-9][0-9]*)\.?(?:[eE][-+][0-9]+)?"
    r"|(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?)\s*"
)
"""A number in the way that programs write it, which DuckDB reads by itself."""


def _decorated(body: str, letters: str = "") -> str:
    """A pattern: what is in the group, between signs, currency, per cent sign and parentheses.

    With letters for thousands or millions a currency is needed: 12M may be a code.
    """
    sign = r"[-+−]?"
    if letters:
        number = rf"({body}){_SP}*(?:{letters})"
        money = rf"(?:{_CURRENCY}{_SP}*{sign}{number}|{number}{_SP}*{_CURRENCY})"
        return rf"^\(?{sign}{_SP}*{money}\)?$"
    before = rf"(?:{sign}{_SP}*(?:{_CURRENCY}{_SP}*)?|{_CURRENCY}{_SP}*{sign})"
    return rf"^\(?{before}({body})(?:{_SP}*(?:{_CURRENCY}|%))?\)?$"


def number_text_sql(text: str, written: str) -> str:
    """SQL: DOUBLE of a text, NULL where it is no number written in this way.

    Args:
        text: SQL of a text.
        written: `POINT`, `COMMA`, `DURATION` or `PLAINLY`.
    """
    if written == DURATION:
        full = f"regexp_full_match(trim({text}), {quote_text(_DURATION)})"
        return f"CASE WHEN {full} THEN epoch(try_cast({text} AS INTERVAL)) END"
    if written == COMMA:
        # With a decimal comma 1.234 is 1234 and 1.5 is no number.
        point = f"replace({text}, ',', '.')"
        quick = f"CASE WHEN NOT contains({text}, '.') THEN {_cast(point)} END"
    else:
        quick = _cast(text)
    if written == PLAINLY:
        # DuckDB itself knows no spaces but those of ASCII.
        trimmed = _cast(f"trim({text}, {quote_text(SPACES)})")
        odd = f"regexp_matches({text}, '^[^!-~]|[^!-~]$')"
        return f"coalesce({quick}, CASE WHEN {odd} THEN {trimmed} END)"
    trimmed = f"trim({text}, {quote_text(SPACES)})"
    slow = with_value(trimmed, lambda value: _decorated_number(value, written))
    # Most texts that are no plain number are words: they end with the first test.
    return f"coalesce({quick}, CASE WHEN regexp_matches({text}, '[0-9]') THEN {slow} END)"


def _decorated_number(text: str, written: str) -> str:
    """SQL: DOUBLE of a text with a currency, a per cent sign, groups of digits, parentheses."""
    bodies = (
        (_COMMA, _COMMA_GROUPS, _COMMA_GAPS)
        if written == COMMA
        else (_POINT, _POINT_GROUPS, _POINT_GAPS)
    )
    body = "|".join(bodies)
    found = f"regexp_extract({text}, {quote_text(_decorated(body))}, 1)"
    both = ", ".join(
        f"regexp_extract({text}, {quote_text(_decorated(body, _LETTERS))}, {group})"
        for group in (1, 2)
    )
    letters = f"regexp_extract({text}, {quote_text(f'[0-9]{_SP}*({_LETTERS})')}, 1)"
    factors = " ".join(
        f"WHEN {quote_text(name)} THEN 1e{power}" for name, power in _MAGNITUDES.items()
    )
    multiplied = f"{_cast(_digits(f'concat({both})', written))} * CASE {letters} {factors} END"
    lettered = f"CASE WHEN regexp_matches({text}, '[A-Za-z]') THEN {multiplied} END"
    negative = f"starts_with({text}, '(') OR contains({text}, '-') OR contains({text}, '−')"
    return f"""CASE WHEN starts_with({text}, '(') = suffix({text}, ')')
        THEN coalesce({_cast(_digits(found, written))}, {lettered})
            * CASE WHEN {negative} THEN -1 ELSE 1 END END"""


def _cast(text: str) -> str:
    # DuckDB takes 1_12 for 112.
    return f"CASE WHEN NOT contains({text}, '_') THEN try_cast({text} AS DOUBLE) END"


def _digits(body: str, written: str) -> str:
    """SQL: digits with a decimal point, of digits in groups."""
    apart = " \u00a0\u2007\u2009\u202f'’" + ("." if written == COMMA else ",")
    if written == COMMA:
        return f"translate({body}, {quote_text(',' + apart)}, '.')"
    return f"translate({body}, {quote_text(apart)}, '')"


_SIGN = "[-+]?"
LABELS = (
    ("bool:true", r"(?i:true|false)"),
    ("bool:yes", r"(?i:yes|no)"),
    ("bool:t", r"[tfTF]"),
    ("bool:y", r"[ynYN]"),
    ("whole", rf"{_SIGN}(?:0|[1-9][0-9]*)"),
    ("zeros", rf"{_SIGN}0[0-9]+"),
    ("exponent", rf"{_SIGN}[0-9]+[eE][0-9]+"),
    ("point3", rf"{_SIGN}[1-9][0-9]{{0,2}}\.[0-9]{{3}}"),
    ("comma3", rf"{_SIGN}[1-9][0-9]{{0,2}},[0-9]{{3}}"),
    ("point", rf"{_SIGN}{_POINT}(?:[eE][-+]?[0-9]+)?"),
    ("comma", rf"{_SIGN}{_COMMA}(?:[eE][-+]?[0-9]+)?"),
    ("groups", rf"{_SIGN}{_POINT_GROUPS}"),
    ("comma groups", rf"{_SIGN}{_COMMA_GROUPS}"),
    ("infinite", r"[-+]?(?i:inf|infinity|nan)"),
    ("clock", r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?"),
    ("duration", _DURATION),
    ("other", r"[^0-9]*"),
)
"""What a text looks like: the first pattern that fits all of it. With one group of three digits
after a point or comma both meanings are possible."""


def label_sql(text: str) -> str:
    """SQL: the label of a text among `LABELS`, else an empty text."""
    cases = " ".join(
        f"WHEN regexp_full_match({text}, {quote_text(pattern)}) THEN {quote_text(name)}"
        for name, pattern in LABELS
    )
    return f"CASE {cases} ELSE '' END"


def undecorated_sql(text: str) -> str:
    """SQL: the digits of a text between currency, sign and per cent sign, without gaps.

    An empty text where it is nothing of that kind.
    """
    bodies = "|".join((_POINT, _POINT_GROUPS, _COMMA, _COMMA_GROUPS))
    gaps = f"{_POINT_GAPS}|{_COMMA_GAPS}"
    plain = f"regexp_extract({text}, {quote_text(_decorated(bodies))}, 1)"
    gapped = f"regexp_extract({text}, {quote_text(_decorated(gaps))}, 1)"
    great = ", ".join(
        f"regexp_extract({text}, {quote_text(_decorated(f'{bodies}|{gaps}', _LETTERS))}, {group})"
        for group in (1, 2)
    )
    found = (
        f"concat({plain}, translate(concat({gapped}, {great}), ' \u00a0\u2007\u2009\u202f''’', ''))"
    )
    return f"CASE WHEN starts_with({text}, '(') = suffix({text}, ')') THEN {found} ELSE '' END"


def unit_sql(text: str) -> str:
    """SQL: the currency or per cent sign of a text, or an empty text."""
    currency = f"regexp_extract({text}, {quote_text(_CURRENCY)})"
    return f"CASE WHEN suffix({text}, '%') THEN '%' ELSE {currency} END"
