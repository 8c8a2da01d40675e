"""Dates as people and other programs write them, above all those whose month is a word.

3. März 2021, June 1st, 2021, Sun Jun 06 12:15:00 2021, 03-JAN-21 10.15.00.000000 AM: day, month and
year are told apart by the word, so each text has one meaning, in any of the languages below. Dates
of strptime patterns with English months are among them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable

from descend.data.reading.sql import quote_text, with_value

WORDED = "worded"
"""Stands for these dates where a strptime pattern is expected."""

_NAMES = """
    january february march april may june july august september october november december
    januar februar märz april mai juni juli august september oktober november dezember
    jänner feber marz april mai juni juli august september oktober november dezember
    janvier février mars avril mai juin juillet août septembre octobre novembre décembre
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
    janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
    januari februari maart april mei juni juli augustus september oktober november december
    januari februari mars april maj juni juli augusti september oktober november december
    januar februar marts april maj juni juli august september oktober november december
"""
"""The months in English, German, Austrian, French, Spanish, Italian, Portuguese, Dutch, Swedish and
Danish."""
_SHORT = {"mrz": 3, "mrt": 3, "juil": 7}
"""Short forms that are not the beginning of a name, or of names of two months (juin, juillet)."""


def _months() -> dict[str, int]:
    """The number of each month by its name and its first three and four letters."""
    found: dict[str, set[int]] = defaultdict(set)
    for place, name in enumerate(_NAMES.split()):
        plain = "".join(one for one in unicodedata.normalize("NFD", name) if one.isascii())
        for length in (3, 4, len(plain)):
            found[plain[:length]].add(place % 12 + 1)
    clear = {name: min(numbers) for name, numbers in found.items() if len(numbers) == 1}
    return {**clear, **_SHORT}


MONTH_NUMBERS = _months()
"""The number of each month by its name and its short forms, without accents, in lower case."""


def is_month_name(word: str) -> bool:
    """Whether a word is the name of a month, or its first letters."""
    plain = "".join(one for one in unicodedata.normalize("NFD", word.lower()) if one.isascii())
    return plain.rstrip(".") in MONTH_NUMBERS


_WORD = r"[A-Za-z\x{00C0}-\x{024F}]{3,12}"
_DAY_OF_WEEK = rf"(?:{_WORD}\.?,? )?"
_DAY = r"([0-9]{1,2})(?:\.|st|nd|rd|th|er|º|ª)?"
_YEAR = r"([0-9]{4}|[0-9]{2})"
_ZONE = r"(?: ?(Z|UTC|GMT|[-+][0-9]{2}:?[0-9]{2}))?"
_CLOCK = (
    r"(?:(?:,|:|T|,? (?:um|at|à|a las|alle|às|kl\.))? ?([0-9]{1,2})[:.h]([0-9]{2})"
    r"(?:[:.]([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(?: ?([AaPp])\.?[Mm]\.?)?(?: Uhr)?" + _ZONE + ")?"
)
_OF = r"(?:de |del |of )?"
_DAY_FIRST = rf"^{_DAY_OF_WEEK}{_DAY}[-/ .]?{_OF}({_WORD})\.?,?[-/ ]{_OF}{_YEAR}{_CLOCK}$"
_MONTH_FIRST = rf"^{_DAY_OF_WEEK}({_WORD})\.?[- ]{_DAY},?[- ]{_YEAR}{_CLOCK}$"
_YEAR_LAST = (
    rf"^{_WORD} ({_WORD}) +([0-9]{{1,2}}) ([0-9]{{2}}):([0-9]{{2}}):([0-9]{{2}})"
    rf"(?: (?:UTC|GMT))? ([0-9]{{4}}){_ZONE}$"
)
"""As C's ctime and Unix's date write it: Sun Jun 06 12:15:00 2021. `tidied_sql` moves the name of a
zone to the end."""
_PARTS = (
    (_DAY_FIRST, r"\3|\2|\1|\4|\5|\6|\7|\8|\9"),
    (_MONTH_FIRST, r"\3|\1|\2|\4|\5|\6|\7|\8|\9"),
    (_YEAR_LAST, r"\6|\1|\2|\3|\4|\5|||\7"),
)
"""Each form, and its parts as year, month, day, hour, minute, second, fraction, half of the day and
offset."""

_ZONES = """
    UTC+00:00 GMT+00:00 WET+00:00 WEST+01:00 CET+01:00 CEST+02:00 MEZ+01:00 MESZ+02:00 EET+02:00
    EEST+03:00 WAT+01:00 CAT+02:00 SAST+02:00 EAT+03:00 PKT+05:00 HKT+08:00 SGT+08:00 JST+09:00
    KST+09:00 AWST+08:00 ACST+09:30 ACDT+10:30 AEST+10:00 AEDT+11:00 NZST+12:00 NZDT+13:00 BRT-03:00
    EDT-04:00 MST-07:00 MDT-06:00 PDT-07:00 AKST-09:00 AKDT-08:00 HST-10:00
"""
"""Time zones by name, with what they are from UTC, where the name has had one meaning since 2000.

Of the names below and of others (AST, ADT, BST, IST, MSK, AMT) the time zone database of IANA or
PostgreSQL's list of abbreviations has several: Central, China's and Cuba's CST, Moscow's time at
+04:00 from 2011 to 2014. Of KST that of Pyongyang from 2015 to 2018 is not counted."""
_AMERICAN = "EST-05:00 CST-06:00 CDT-05:00 PST-08:00"
"""Names that others have too (eastern Australia, China, Cuba, the Philippines), as RFC 2822 has
them."""
AMERICAN_ZONE = "(?:[0-9]|[AaPp][Mm]) ?(?:EDT|MST|MDT|PDT|AKST|AKDT|HST)(?: [0-9]{4})?$"
"""A time in a zone that only North America has, beside which `_AMERICAN` are meant."""


def zone_table(*, american: bool) -> str:
    """SQL: a text of the names of time zones and their offsets.

    Args:
        american: whether names that are several zones are those of North America.
    """
    listed = _ZONES + _AMERICAN if american else _ZONES
    pairs = re.findall("([A-Z]+)([-+][0-9:]+)", listed)
    return quote_text("".join(f"{name:5}{offset}" for name, offset in pairs))


_CERTAIN = zone_table(american=False)
_NAMED_ZONE = "(?:[0-9]|[AaPp][Mm]) ?([A-Z]{3,5})$"
UNKNOWN_ZONE = ".*[0-9]{1,2}:[0-9]{2}.* (?:[A-Z]{2,5}|[A-Z][A-Za-z]+/[A-Za-z_/]+)"
"""A time with a name behind it that `tidied_sql` does not know."""
_ODD_CLOCK = (
    r", ?[0-9]{1,2}:|[\x{00A0}\x{202F}]|[.][Mm]|Uhr$|\]$|[0-9Mm] ?[A-Z]{3,5}(?: [0-9]{4})?$"
    r"|[.][0-9]{2} ?[AaPp][Mm]$|-[0-9]{2}[.]|-[0-9]{2}[ T][0-9]{2}(?:Z|[-+][0-9]{2}:?[0-9]{2})?$"
)


def tidied_sql(text: str, read: Callable[[str], str], zones: str = _CERTAIN) -> str:
    """SQL: what `read` makes of a text with its clock as strptime patterns have it.

    `12/31/2021, 11:59 p.m.` is `12/31/2021 11:59 PM`, and `13:37 CET` is `13:37 +01:00`; NULL for
    text without such a clock.

    Args:
        text: SQL of a text without spaces around it.
        read: gives the SQL of a value of a text.
        zones: SQL of a `zone_table`.
    """

    def with_offset(tidy: str) -> str:
        return with_value(_with_offset(tidy, zones), read)

    tidy = f"translate({text}, '\u00a0\u202f', '  ')"
    for pattern, new in (
        (", ?([0-9]{1,2}:)", r" \1"),
        (r"([0-9] ?[AaPp])[.][Mm][.]?( ?[A-Z]{3,5})?$", r"\1M\2"),
        (r"([0-9]{1,2})[.:]([0-9]{2}) Uhr$", r"\1:\2"),
        (r"(^| )([0-9]{1,2})\.([0-9]{2}) ?([AaPp])[Mm]$", r"\1\2:\3 \4M"),
        (r"^([0-9]{4}(?:-[0-9]{2}){2})-([0-9]{2})[.]([0-9]{2})[.]([0-9]{2})", r"\1 \2:\3:\4"),
        (r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2})(Z|[-+][0-9:]{5,6})?$", r"\1:00\2"),
        (r"(:[0-9]{2}) ([A-Z]{3,5}) ([0-9]{4})$", r"\1 \3 \2"),
        (r"([-+][0-9]{2}:?[0-9]{2}|Z)\[[A-Za-z_/]+\]$", r"\1"),
    ):
        tidy = f"regexp_replace({tidy}, {quote_text(pattern)}, {quote_text(new)})"
    odd = f"regexp_matches({text}, {quote_text(_ODD_CLOCK)})"
    return f"CASE WHEN {odd} THEN {with_value(tidy, with_offset)} END"


def _with_offset(text: str, zones: str) -> str:
    """SQL: a text with the offset from UTC in place of the name of a time zone."""
    name = f"rpad(regexp_extract({text}, {quote_text(_NAMED_ZONE)}, 1), 5, ' ')"
    place = f"CASE WHEN contains({text}, ':') THEN nullif(strpos({zones}, {name}), 0) END"
    offset = f"nullif(substr({zones}, {place} + 5, 6), '')"
    bare = f"regexp_replace({text}, ' ?[A-Z]{{3,5}}$', '')"
    return f"coalesce({bare} || ' ' || {offset}, {text})"


def tidy_time_sql(text: str, zones: str = _CERTAIN) -> str:
    """SQL: a text with its clock as strptime patterns have it; other text is unchanged."""
    return f"coalesce({tidied_sql(text, str, zones)}, {text})"


LOOKS = (
    rf"{_DAY_OF_WEEK}[0-9]{{1,2}}[^0-9 ]{{0,2}}[-/ ]?{_OF}{_WORD}\W.*[0-9]"
    rf"|{_DAY_OF_WEEK}{_WORD}\.? {{1,2}}[0-9].*"
)
"""What a text that may be one of these dates looks like, for a first look."""


def worded_sql(text: str, read: Callable[[str], str]) -> str:
    """SQL: what `read` makes of the ISO 8601 text of a date whose month is a word.

    NULL for other text. Years of two digits are those from 1969 to 2068.

    Args:
        text: SQL of a text without spaces around it.
        read: gives the SQL of a TIMESTAMP of a text of ISO 8601.
    """
    cases = " ".join(
        f"WHEN regexp_matches({text}, {quote_text(form)}) "
        f"THEN regexp_replace({text}, {quote_text(form)}, {quote_text(order)})"
        for form, order in _PARTS
    )
    parts = f"string_split(CASE {cases} END, '|')"
    iso = with_value(parts, _iso_of_parts)
    word = f"regexp_matches({text}, '[0-9]') AND regexp_matches({text}, '[A-Za-z]{{3}}|[À-ɏ]')"
    word += f" AND NOT contains({text}, ' out of ')"  # 7 out of 10 is no day of outubro.
    return f"CASE WHEN {word} THEN {with_value(iso, read)} END"


def month_sql(name: str) -> str:
    """SQL: the two digits of a month by its name; NULL for another word."""
    # One constant: each entry of a list takes time to plan.
    table = quote_text("".join(f"|{one}|{place:02d}" for one, place in MONTH_NUMBERS.items()))
    plain = f"concat('|', rtrim(strip_accents(lower({name})), '.'), '|')"
    place = f"nullif(strpos({table}, {plain}), 0)"
    return f"substr({table}, {place} + length({plain}), 2)"


def century_sql(year: str) -> str:
    """SQL: what stands before a year of two digits, of 1969 to 2068; empty for one of four."""
    return f"CASE WHEN length({year}) = 4 THEN '' WHEN {year} < '69' THEN '20' ELSE '19' END"


def _iso_of_parts(parts: str) -> str:
    """SQL: the text of ISO 8601 from a list of the parts; NULL where it cannot be one."""

    def part(place: int) -> str:
        return f"{parts}[{place}]"

    hour = f"try_cast({part(4)} AS INTEGER)"
    hours = (
        f"CASE WHEN {part(8)} = '' THEN coalesce({hour}, 0) WHEN {hour} BETWEEN 1 AND 12 "
        f"THEN {hour} % 12 + CASE lower({part(8)}) WHEN 'p' THEN 12 ELSE 0 END END"
    )
    minute, second = (f"coalesce(nullif({part(place)}, ''), '00')" for place in (5, 6))
    fraction = f"CASE WHEN {part(7)} <> '' THEN '.' || {part(7)} ELSE '' END"
    return (
        f"{century_sql(part(1))} || {part(1)} || '-' || {month_sql(part(2))} || '-' || "
        f"lpad({part(3)}, 2, '0') || ' ' || lpad(({hours})::VARCHAR, 2, '0') || ':' || {minute} "
        f"|| ':' || {second} || {fraction} || {part(9)}"
    )
