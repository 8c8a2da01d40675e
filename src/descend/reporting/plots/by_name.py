"""Figures whose horizontal axis stands for names, such as the values of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.plots.figures import MOST_LEVEL, label, named_ticks, shorten_name

MOST_LYING = 16
"""More names than this do not fit one above the other."""
OTHER = {"x": "y", "y": "x", "error_x": "error_y", "error_y": "error_x"}


def by_name(drawn: Mapping[str, Any], names: Sequence[object]) -> dict[str, Any]:
    """The figure with names at the places 0, 1, ... of its horizontal axis.

    Where they are too long to stand beside each other the figure is laid on its side, the first
    name at the top: rotated names are hard to read, and the outermost is cut off.
    """
    letters = sum(len(label(shorten_name(str(name)))) for name in names)
    if letters <= MOST_LEVEL or len(names) > MOST_LYING:
        return named_ticks(drawn, "x", names)
    traces = [{OTHER.get(key, key): value for key, value in one.items()} for one in drawn["data"]]
    for trace in traces:
        if trace["type"] == "bar":
            trace["orientation"] = "h"
    layout = dict(drawn["layout"])
    layout["xaxis"], layout["yaxis"] = layout["yaxis"], layout["xaxis"]
    layout["hovermode"] = "closest"
    lying = named_ticks({**drawn, "data": traces, "layout": layout}, "y", names)
    # The title of the plot says what the names are; beside them there is no room for it.
    lying["layout"]["yaxis"]["title"] = {"text": ""}
    # Half a step above the first and below the last; the larger number is at the bottom.
    lying["layout"]["yaxis"]["range"] = [len(names) - 0.5, -0.5]
    return lying
