"""Numbers with letters that are no units: 1.2K and 3M, 48.1N and 48°12'30"N.

Thousands and millions become the numbers that they are, so a column may mix them; degrees become
signed decimal degrees. docs/columns.md states the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from descend.data.reading.sql import quote_text, text_list, with_value

SCALED = "K/M/B"
LATITUDE, LONGITUDE, ANGLE = "N/S", "E/W", "°"
AXES = {LATITUDE: "NS", LONGITUDE: "EW", ANGLE: ""}
"""The letters of each kind of degrees; south and west are negative."""
LETTERED = (SCALED, LATITUDE, LONGITUDE)
"""Stand where a unit is expected, for numbers whose letters belong to each of them."""
EXPECTED = {
    SCALED: "a number such as 1200 or 1.2K",
    LATITUDE: "a latitude such as 48.1N or -33.9",
    LONGITUDE: "a longitude such as 11.5E or -70.6",
}
MEANING = {
    SCALED: "K a thousand, M a million, B a billion",
    LATITUDE: "degrees, south is negative",
    LONGITUDE: "degrees, west is negative",
}

SCALES = {
    **dict.fromkeys(("k", "K", "thousand", "Thousand", "Tsd", "tsd"), 3),
    **dict.fromkeys(("m", "M", "mn", "Mn", "MM", "Mio", "mio", "million", "Million"), 6),
    **dict.fromkeys(("b", "B", "bn", "Bn", "G", "Mrd", "mrd", "billion", "Billion"), 9),
    **dict.fromkeys(("T", "tn", "trillion", "Trillion"), 12),
    **dict.fromkeys(("lakh", "Lakh", "lakhs"), 5),
    **dict.fromkeys(("crore", "Crore", "crores"), 7),
}
"""Powers of ten by what stands for them after a number."""

_SP = r"[ \t\x{00A0}\x{2007}\x{2009}\x{202F}]*"
_SIGN = "[-+−]?"
_WHOLE = r"[0-9]{1,3}"
_PART = r"[0-9]{1,3}(?:[.,][0-9]+)?"
_SMALL = r"[0-9]{1,2}(?:[.,][0-9]+)?"
_MINUTE = "['′’´]"
_SECOND = "(?:[\"″”]|''|′′|’’|´´)"
_SIXTIETHS = rf"{_SP}{_SMALL}{_SP}{_MINUTE}(?:{_SP}{_SMALL}{_SP}{_SECOND})?"
_DEGREES = rf"{_SIGN}{_PART}{_SP}[°º](?:{_SIXTIETHS})?"
_SEXAGESIMAL = rf"{_WHOLE}[ :][0-9]{{1,2}}(?:[ :]{_SMALL}|[.,][0-9]+)?"


def _pattern_of(letters: str) -> str:
    written = rf"(?:{_DEGREES}|{_SEXAGESIMAL})"
    return rf"{written}{_SP}[{letters}]|[{letters}]{_SP}(?:{written}|[0-9]{{1,3}}[.,][0-9]{{3,}})"


LATITUDES, LONGITUDES = _pattern_of(AXES[LATITUDE]), _pattern_of(AXES[LONGITUDE])
"""Patterns of degrees with their direction, where no other number is written so: 48.1N may be."""
ANGLES = rf"{_SIGN}{_PART}{_SP}[°º]{_SIXTIETHS}"
"""A pattern of degrees and minutes without a direction."""


def degrees_sql(text: str, axis: str) -> str:
    """SQL: the signed decimal degrees of a text as DOUBLE; NULL for other text.

    Args:
        text: SQL of a text without spaces around it.
        axis: a key of `AXES`; a number without a letter has the sign before it.
    """
    letters = f"[{AXES[axis]}]?" if AXES[axis] else ""
    after = rf"(?:{_SP}(?:{_MINUTE}|:){_SP}| )({_SMALL}){_SP}{_SECOND}?"
    pattern = quote_text(
        rf"^({letters}){_SP}({_SIGN})({_PART})(?:(?:{_SP}[°º]{_SP}|[ :])({_SMALL})"
        rf"(?:{after})?{_SP}{_MINUTE}?)?{_SP}[°º]?{_SP}({letters})$"
    )
    names = "['first', 'sign', 'degrees', 'minutes', 'seconds', 'last']"
    return with_value(f"regexp_extract({text}, {pattern}, {names})", _degrees_of_parts)


def _degrees_of_parts(parts: str) -> str:
    def number(name: str, default: str) -> str:
        return f"coalesce(try_cast(replace({parts}.{name}, ',', '.') AS DOUBLE), {default})"

    letter = f"concat({parts}.first, {parts}.last)"
    degrees, minutes, seconds = (
        number(name, default)
        for name, default in (("degrees", "NULL"), ("minutes", "0"), ("seconds", "0"))
    )
    sense = (
        f"length({letter}) <= 1 AND ({letter} = '' OR {parts}.sign = '') "
        f"AND {minutes} < 60 AND {seconds} < 60 AND {degrees} <= 180"
    )
    negative = f"{parts}.sign IN ('-', '−') OR {letter} IN ('S', 'W')"
    size = f"{degrees} + {minutes} / 60 + {seconds} / 3600"
    return f"CASE WHEN {sense} THEN CASE WHEN {negative} THEN -1 ELSE 1 END * ({size}) END"


def scaled_sql(text: str, read: Callable[[str], str]) -> str:
    """SQL: the DOUBLE of a number with a power of ten of `SCALES` after it, or without one.

    Args:
        text: SQL of a text without spaces around it.
        read: gives the SQL of the DOUBLE of a number.
    """
    names = "|".join(sorted(SCALES, key=lambda name: (-len(name), name)))
    pattern = quote_text(rf"^(.*[0-9][.,]?){_SP}({names})?\.?$")
    factors = [10.0**power for power in SCALES.values()]

    def of_parts(parts: str) -> str:
        factor = f"{factors}[list_position({text_list(list(SCALES))}, {parts}.power)]"
        scaled = f"{with_value(f'{parts}.number', read)} * coalesce({factor}, 1)"
        return f"CASE WHEN {parts}.number <> '' THEN {scaled} END"

    return with_value(f"regexp_extract({text}, {pattern}, ['number', 'power'])", of_parts)


def find_letters(
    counts: Mapping[str, int],
    *,
    glued: bool,
    spaced: bool,
    decimals: bool,
    degrees: set[str],
    asked: bool,
) -> tuple[str, str]:
    """Which of `LETTERED` (or `ANGLE`) a column is, or why it is none; both empty for other ones.

    Args:
        counts: cells by the letters behind their numbers.
        glued: whether some cells have no space before the letters.
        spaced: whether some have one.
        decimals: whether some numbers with letters have decimals.
        asked: whether the column is to be one of numbers, so that 12M is no code.
        degrees: those of `LATITUDE`, `LONGITUDE` and `ANGLE` that other cells are for certain.
    """
    letters = set(counts)
    mixed = letters <= set("NSEW") and not letters <= {"N", "S"} and not letters <= {"E", "W"}
    if len(degrees - {ANGLE}) > 1 or (letters and mixed and decimals):
        return "", "its cells mix latitudes (N, S) and longitudes (E, W)"
    for axis in (LATITUDE, LONGITUDE):
        own = set(AXES[axis])
        # A single letter with a space may be a unit: 5 N is a force, 5 W a power.
        alone = glued and decimals and letters != {"W"} and not spaced
        if letters <= own and (axis in degrees or letters == own or (letters and alone)):
            return ("", "") if degrees - {axis} else (axis, "")
    if degrees == {ANGLE} and letters <= {"°", "º"}:
        return ANGLE, ""
    if not letters or degrees or not letters <= set(SCALES) or letters == {"m"}:
        return "", ""
    powers = {SCALES[letter] for letter in letters}
    long = any(len(letter) > 1 for letter in letters)
    if asked or len(powers) > 1 or long or (glued and decimals and not spaced):
        return SCALED, ""
    (letter, *_) = sorted(letters)
    return "", f"{letter} behind its numbers may be a power of ten or part of a code"
