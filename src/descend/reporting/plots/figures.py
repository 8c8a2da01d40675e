"""Plots as Plotly figures, built from records.

A figure is plain dicts and lists. Nothing is drawn here: the page draws with Plotly, `png` with
matplotlib. Colours and strokes are those of `colours`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from descend.reporting.page_model import Figure
from descend.reporting.plots.colours import COLOURS, DASHES, SEQUENTIAL, SYMBOLS, translucent

Trace = dict[str, Any]
Numbers = Iterable[float | None]

LONGEST_NAME = 41
"""Letters of a name in a legend."""
FAR_APART = 3.0
"""Largest over smallest value beyond which a logarithmic axis shows more than a linear one."""
MARKED = 40
"""A line of at most this many points has a marker at each."""

MOST_LEVEL = 36
"""Letters of names along an axis beyond which they are rotated."""

MOST_NUMBERS, SHORT_NUMBER = 13, 4
"""Numbers of at most this many characters that an axis has room for."""


def label(text: object) -> str:
    """Text that Plotly shows literally: what it would read as a tag or an entity is escaped."""
    return html.escape(str(text), quote=False)


def shorten_name(name: str) -> str:
    """A name short enough for a legend.

    >>> shorten_name("runs/" + 60 * "a" + "-1")
    'runs/aaaaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaa-1'
    """
    return name if len(name) <= LONGEST_NAME else f"{name[:24]}…{name[-16:]}"


def line(
    name: str,
    x: Numbers,
    y: Numbers,
    place: int = 0,
    *,
    dash: str | None = None,
    shape: str = "linear",
) -> Trace:
    """A line.

    Args:
        name: in the legend; any text.
        x: values along the horizontal axis.
        y: values along the vertical axis; values that are not finite leave a gap.
        place: index of its colour.
        dash: the stroke; None takes the one that belongs to the colour.
        shape: `linear`; `hv` for a value that holds until the next one, `vh` for one that has held
            since the last.
    """
    xs, ys = _plain(x), _plain(y)
    colour = COLOURS[place % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(xs) <= MARKED else "lines",
        "name": label(shorten_name(name)),
        "x": xs,
        "y": ys,
        "line": {
            "color": colour,
            "width": 2,
            "dash": dash or DASHES[(place + place // len(COLOURS)) % len(DASHES)],
            "shape": shape,
        },
        "marker": {"color": colour, "size": 6, "symbol": SYMBOLS[place % len(SYMBOLS)]},
    }


def points(name: str, x: Numbers, y: Numbers, place: int = 0, *, size: int = 9) -> Trace:
    """Points without a line between them."""
    colour = COLOURS[place % len(COLOURS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(shorten_name(name)),
        "x": _plain(x),
        "y": _plain(y),
        "marker": {"color": colour, "size": size, "symbol": SYMBOLS[place % len(SYMBOLS)]},
    }


def band(name: str, x: Sequence[float], low: Numbers, high: Numbers, place: int = 0) -> Trace:
    """The area between two lines over the same x: an interval around the line of that colour."""
    forth = _plain(x)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(shorten_name(name)),
        "x": [*forth, *reversed(forth)],
        "y": [*_plain(high), *reversed(_plain(low))],
        "fill": "toself",
        "fillcolor": translucent(COLOURS[place % len(COLOURS)], 0.2),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def contour(x: Numbers, y: Numbers, z: Iterable[Numbers], *, title: str = "") -> Trace:
    """Lines of equal height; `z` holds a row for each y."""
    return {**_surface(x, y, z, title), "type": "contour", "contours": {"coloring": "heatmap"}}


def hollow(trace: Trace) -> Trace:
    """A trace whose points are open: predicted or assumed, not measured."""
    marker = {**trace["marker"], "symbol": "circle-open", "size": 9, "line": {"width": 2}}
    return {**trace, "mode": "lines+markers", "marker": marker}


def bars(name: str, x: Sequence[Any], y: Numbers, place: int = 0) -> Trace:
    """Upright bars; `x` holds their names or their middles."""
    return {
        "type": "bar",
        "name": label(shorten_name(name)),
        "x": [label(one) if isinstance(one, str) else one for one in x],
        "y": _plain(y),
        "marker": {"color": COLOURS[place % len(COLOURS)]},
    }


def error_bars(
    values: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]
) -> dict[str, Any]:
    """What a trace's `error_y` (or `error_x`) is, from the ends of intervals; None has no bar."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if e is None else max(0.0, e - v) for v, e in zip(values, high, strict=True)],
        "arrayminus": [
            0.0 if e is None else max(0.0, v - e) for v, e in zip(values, low, strict=True)
        ],
    }


def with_size_ticks(drawn: Figure, sizes: Sequence[float]) -> Figure:
    """The figure with these batch sizes as the ticks of its horizontal axis."""
    axis = {
        **drawn["layout"]["xaxis"],
        "tickmode": "array",
        "tickvals": list(sizes),
        "ticktext": [f"{size:,}" for size in sizes],
    }
    return {**drawn, "layout": {**drawn["layout"], "xaxis": axis}}


def heatmap(x: Numbers, y: Numbers, z: Iterable[Numbers], *, title: str = "") -> Trace:
    """Cells of colour; `z` holds a row for each y."""
    return {**_surface(x, y, z, title), "type": "heatmap"}


def figure(
    traces: Sequence[Trace],
    x_title: str,
    y_title: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    zero: bool = False,
) -> Figure:
    """Traces with their axes. Titles are plain text.

    Args:
        traces: from `line`, `points`, `band` and the like.
        x_title: of the horizontal axis.
        y_title: of the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        zero: whether a linear vertical axis begins at 0, so that a small difference looks small.

    A logarithmic axis becomes linear where its values lie close together: the two then look alike,
    and the logarithmic one might show no number.
    """
    return {
        "data": list(traces),
        "layout": {
            "xaxis": {
                "title": {"text": label(x_title)},
                "type": "log" if log_x and _far_apart(traces, "x") else "linear",
            },
            "yaxis": {
                "title": {"text": label(y_title)},
                "type": "log" if log_y and _far_apart(traces, "y") else "linear",
                "hoverformat": ".4~g",
                **({"rangemode": "tozero"} if zero else {}),
            },
            "showlegend": sum("name" in trace for trace in traces) > 1,
        },
    }


def _far_apart(traces: Sequence[Trace], axis: str) -> bool:
    values = [one for trace in traces for one in trace[axis] if one is not None and one > 0]
    return not values or max(values) >= FAR_APART * min(values)


def _surface(x: Numbers, y: Numbers, z: Iterable[Numbers], title: str) -> Trace:
    return {
        "x": _plain(x),
        "y": _plain(y),
        "z": [_plain(row) for row in z],
        "colorscale": SEQUENTIAL,
        "reversescale": True,
        "colorbar": {"title": {"text": label(title)}, "thickness": 14, "outlinewidth": 0},
    }


def _plain(values: Numbers) -> list[float | int | None]:
    """Python numbers; a value that is not finite becomes None, which Plotly leaves out."""
    plain: list[float | int | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            plain.append(None)
        else:
            # NumPy's numbers too: JSON knows Python's alone.
            plain.append(int(value) if isinstance(value, int) else float(value))
    return plain


def named_ticks(drawn: Figure, axis: str, names: Iterable[object]) -> dict[str, Any]:
    """The figure with names at the places 0, 1, ... of an axis, `x` or `y`."""
    key, texts = f"{axis}axis", [label(shorten_name(str(name))) for name in names]
    # Numbers in order, such as hours, are read from every other one; names must all be there.
    ordered = axis == "x" and len(texts) > MOST_NUMBERS and all(map(_is_short_number, texts))
    step = math.ceil(len(texts) / MOST_NUMBERS) if ordered else 1
    ticks = {
        **drawn["layout"][key],
        "tickmode": "array",
        "tickvals": list(range(len(texts)))[::step],
        "ticktext": texts[::step],
    }
    if not ordered and axis == "x":
        # Rotated so that each name ends at its tick. Names that begin there are what the page takes
        # in a narrow picture by itself: the last would leave the picture, and is not drawn then.
        rotated = sum(map(len, texts)) > MOST_LEVEL
        ticks.update({"tickangle": -35} if rotated else {"autotickangles": [0, -35, -90]})
    return {**drawn, "layout": {**drawn["layout"], key: ticks}}


def _is_short_number(text: str) -> bool:
    return len(text) <= SHORT_NUMBER and text.lstrip("-").replace(".", "", 1).isdigit()
