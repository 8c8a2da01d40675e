"""Text with digits that may be meant in several ways, or that no single number can stand for.

`5'10"`, `3/100`, `<0.5`, `5-10`, `15x20` and the like are not read as numbers; what they may be is
told.
"""

from __future__ import annotations

_NUMBER = r"[-+−]?[0-9]+(?:[.,][0-9]+)?"
_SMALL = r"[0-9]{1,2}(?:[.,][0-9]+)?"
_INCHES = "(?:\"|”|″|''|′′|’’)"
_UNIT = r"(?: ?[A-Za-zµ°²³%\"”″']{1,4})?"
_QUARTER = r"[Qq][1-4]"
FORMS = (
    (
        "hexadecimal",
        r"[-+]?0(?:[xX][0-9A-Fa-f]+|[bB][01]+|[oO][0-7]+)",
        "its cells are hexadecimal, octal or binary numbers, which are read if written as 255",
    ),
    (
        "product",
        rf"{_NUMBER}{_UNIT}(?: ?[xX×*] ?{_NUMBER}{_UNIT}){{1,3}}",
        "its cells are several numbers with x between them, as widths and heights",
    ),
    (
        "power alone",
        rf"{_NUMBER}(?: ?(?:\^|\*\*) ?\(?[-+−]?[0-9]+\)?|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)",
        "its cells are powers such as 10^3, or numbers with marks of footnotes; powers of ten are "
        "read if written 1e+3",
    ),
    (
        "tolerance",
        rf"{_NUMBER} ?(?:±|\+/-|\+-|\+/−) ?{_NUMBER}{_UNIT}",
        "its cells are numbers with what they may be off by",
    ),
    (
        "era",
        r"(?:ca?\. ?)?[0-9]{1,6} ?(?:BCE?|AD|CE|B\.C\.(?:E\.)?|A\.D\.|C\.E\.|[vn]\. ?Chr\.)"
        r"|(?:AD|A\.D\.) ?[0-9]{1,4}",
        "its cells are years BC or AD, which are read if written -300 and 300",
    ),
    (
        "fiscal year",
        r"[Ff][Yy][- ]?['’]?(?:[0-9]{4}|[0-9]{2})(?:[-/](?:[0-9]{4}|[0-9]{2}))?"
        r"(?:[- ]?[Qq][1-4])?",
        "its cells are fiscal years, which begin in different months; write the year as 2016, or "
        "the day on which it begins",
    ),
    (
        "short quarter",
        rf"{_QUARTER}[- /]?['’]?[0-9]{{2}}|['’]?[0-9]{{2}}[- /]?{_QUARTER}",
        "its cells are quarters with two digits for the year, which are read if written 2016Q1",
    ),
    (
        "hour and minute",
        r"(?:[01]?[0-9]|2[0-3]) ?[hHuU] ?[0-5][0-9]|(?:[01]?[0-9]|2[0-3]):[0-5][0-9] ?(?:h|Uhr)?",
        "its cells are times of the day, or durations, which are read if written 12:30",
    ),
    (
        "version",
        r"[vV]\.? ?[0-9]+(?:\.[0-9]+)*(?:[-+.]?[a-z0-9]+)*|[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}",
        "its cells look like versions, chapters or addresses, which are no single numbers",
    ),
    (
        "dash for cents",
        r"[-+−]?[0-9]{1,3}(?:(?:\.[0-9]{3})+\.|(?:,[0-9]{3})+,)(?:--?|[–—])",
        "its cells have the same mark between thousands and before a dash for the cents, which is "
        "read if written 1.000,- or 1,000.-",
    ),
    (
        "feet",
        rf"[0-9]{{1,2}} ?(?:['’′] ?(?:{_SMALL} ?{_INCHES})?"
        rf"|(?:ft\.?|feet|foot),? ?{_SMALL} ?(?:in\.?|inch|inches|{_INCHES}))",
        "its cells have two parts, as feet and inches, or minutes and seconds",
    ),
    (
        "ratio",
        r"(?:[0-9]+[ -])?[0-9]+ ?[/:] ?[0-9]+|[0-9]+ (?:out )?of [0-9]+",
        "its cells are numbers with / or the like between them, which may be fractions, scores or "
        "dates",
    ),
    (
        "bound",
        rf"(?:[<>]=?|[≤≥~≈±]|(?:ca|approx)\.?) ?{_NUMBER} ?%?|{_NUMBER} ?\+",
        "its cells have signs such as <, ~ or + with their numbers, as bounds do",
    ),
    (
        "range",
        rf"{_NUMBER} ?(?:-|–|—|\.\.\.?|to|bis) ?{_NUMBER}",
        "its cells are two numbers with a dash between them, as ranges and codes are",
    ),
)
"""Labels of such texts, each with a pattern of all of the text and the reason that is told."""
REASONS = {label: reason for label, _, reason in FORMS}
"""What is told of a column of such texts, by label."""
CODES = ("version", "address")
"""Labels of those that are categories if their values repeat, as a matter of course."""
OTHER_TEXT = "its cells have other text beside their digits, which makes them no numbers"
"""What is told of columns of other such texts."""
