"""Dates as people and other programs write them, above all those whose month is a word.

3. März 2021, June 1st, 2021, Sun Jun 06 12:15:00 2021, 03-JAN-21 10.15.00.000000 AM: day, month and
year are told apart by the word, so each text has one meaning, in any of the languages below. Dates
of strptime patterns with English months are among them.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable

from descend.data.reading.sql import quote_text, text_list, with_value

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
    r"(?: (?:UTC|GMT))? ([0-9]{4})$"
)
"""As C's ctime and Unix's date write it: Sun Jun 06 12:15:00 2021."""
_PARTS = (
    (_DAY_FIRST, r"\3|\2|\1|\4|\5|\6|\7|\8|\9"),
    (_MONTH_FIRST, r"\3|\1|\2|\4|\5|\6|\7|\8|\9"),
    (_YEAR_LAST, r"\6|\1|\2|\3|\4|\5|||"),
)
"""Each form, and its parts as year, month, day, hour, minute, second, fraction, half of the day and
offset."""

_ODD_CLOCK = r", ?[0-9]{1,2}:|[\x{00A0}\x{202F}]|[.][Mm]|Uhr$"


def tidied_sql(text: str, read: Callable[[str], str]) -> str:
    """SQL: what `read` makes of a text with its clock as strptime patterns have it.

    `12/31/2021, 11:59 p.m.` is `12/31/2021 11:59 PM`; NULL for text without such a clock.

    Args:
        text: SQL of a text without spaces around it.
        read: gives the SQL of a value of a text.
    """
    tidy = f"translate({text}, '\u00a0\u202f', '  ')"
    for pattern, new in (
        (", ?([0-9]{1,2}:)", r" \1"),
        (r"([0-9] ?[AaPp])[.][Mm][.]?$", r"\1M"),
        (r"([0-9]) Uhr$", r"\1"),
    ):
        tidy = f"regexp_replace({tidy}, {quote_text(pattern)}, {quote_text(new)})"
    odd = f"regexp_matches({text}, {quote_text(_ODD_CLOCK)})"
    return f"CASE WHEN {odd} THEN {with_value(tidy, read)} END"


def tidy_time_sql(text: str) -> str:
    """SQL: a text with its clock as strptime patterns have it; other text is unchanged."""
    return f"coalesce({tidied_sql(text, str)}, {text})"


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
    return f"CASE WHEN {word} THEN {with_value(iso, read)} END"


def _iso_of_parts(parts: str) -> str:
    """SQL: the text of ISO 8601 from a list of the parts; NULL where it cannot be one."""

    def part(place: int) -> str:
        return f"{parts}[{place}]"

    names, numbers = list(MONTH_NUMBERS), list(MONTH_NUMBERS.values())
    month = f"{numbers}[list_position({text_list(names)}, strip_accents(lower({part(2)})))]"
    century = (
        f"CASE WHEN length({part(1)}) = 4 THEN '' WHEN {part(1)} < '69' THEN '20' ELSE '19' END"
    )
    hour = f"coalesce(try_cast({part(4)} AS INTEGER), 0)"
    of_twelve = f"CASE WHEN {hour} BETWEEN 1 AND 12 THEN {hour} % 12 END"
    hours = (
        f"CASE lower({part(8)}) WHEN 'a' THEN {of_twelve} WHEN 'p' THEN {of_twelve} + 12 "
        f"ELSE {hour} END"
    )
    minute, second = (f"coalesce(nullif({part(place)}, ''), '00')" for place in (5, 6))
    fraction = f"CASE WHEN {part(7)} <> '' THEN '.' || {part(7)} ELSE '' END"
    return (
        f"{century} || {part(1)} || '-' || lpad(({month})::VARCHAR, 2, '0') || '-' || "
        f"lpad({part(3)}, 2, '0') || ' ' || lpad(({hours})::VARCHAR, 2, '0') || ':' || {minute} "
        f"|| ':' || {second} || {fraction} || {part(9)}"
    )
