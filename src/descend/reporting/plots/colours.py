"""Every colour of a plot.

The lines are those of Okabe and Ito (2008), which people with colour-blindness tell apart, the two
lightest darkened to a contrast of 3 on white; every line has a stroke of its own too.
`assets/page.css` has the colours of the page around the plots.
"""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07900", "#3A94C4")
"""One for each line, in this order; the first two are the model and what it is compared with."""
DARK_COLOURS = ("#56B4E9", "#FF9459", "#3FC79A", "#E3A4C8", "#F0C14B", "#9AD1F5")
"""The same lines on a dark page, light enough to be read there (a contrast of 4.5 and more)."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
FADED = "#8A8A8A"
"""Of lines that stay in the background."""
SEQUENTIAL = "Cividis"
"""A scale for values: even in lightness, alike for people with colour-blindness."""
SHARES = ((0.0, "#f6f7f9"), (1.0, COLOURS[0]))
"""From nothing to all; `assets/page.js` takes the colours of a light or dark page instead."""
TERRAIN = ((0.0, "#d98c00"), (0.5, "#8a8a8a"), (1.0, "#4f86c6"))
"""Of contour lines: low to high, of one middling lightness, seen on light and on dark pages."""


def translucent(colour: str, opacity: float) -> str:
    """A colour as `rgba(...)`.

    >>> translucent("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
