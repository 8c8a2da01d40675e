"""Text with digits that may be meant in several ways, or that no single number can stand for.

`5'10"`, `3/100`, `<0.5`, `5-10` and the like are not read as numbers; what they may be is told.
"""

from __future__ import annotations

_NUMBER = r"[-+−]?[0-9]+(?:[.,][0-9]+)?"
_SMALL = r"[0-9]{1,2}(?:[.,][0-9]+)?"
_INCHES = "(?:\"|”|″|''|′′|’’)"
FORMS = (
    (
        "power of ten",
        rf"{_NUMBER} ?[x×*·] ?10(?:(?:\^|\*\*)\(?[-+−]?[0-9]{{1,3}}\)?|[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)",
        "its cells have powers of ten as 1.2x10^3, which is read if written 1.2e+3",
    ),
    (
        "dash for cents",
        r"[-+−]?[0-9]{1,3}(?:[.,'’ ]?[0-9]{3})*[.,](?:--?|[–—])",
        "its cells have a dash for the cents, which are read if written 5,00 or 5.00",
    ),
    (
        "feet",
        rf"[0-9]{{1,2}} ?(?:['’′] ?(?:{_SMALL} ?{_INCHES})?"
        rf"|(?:ft\.?|feet|foot),? ?{_SMALL} ?(?:in\.?|inch|inches|{_INCHES}))",
        "its cells have two parts, as feet and inches, or minutes and seconds",
    ),
    (
        "ratio",
        r"(?:[0-9]+[ -])?[0-9]+ ?/ ?[0-9]+",
        "its cells are numbers with / between them, which may be fractions, scores or dates",
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
