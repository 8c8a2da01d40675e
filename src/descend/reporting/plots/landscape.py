"""The plots of a landscape: paths over contours, losses along them, how a minimum is left."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from descend.io.units import count_text, percent_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, Plot, Table
from descend.reporting.plots.colours import TERRAIN
from descend.reporting.plots.figures import (
    Trace,
    contour,
    figure,
    heatmap,
    label,
    line,
    named_ticks,
    points,
)

Record = Mapping[str, Any]

LEVELS = 24
"""Lines of equal loss."""
NEAR_BOTTOM = 0.05
"""Losses this close to the lowest, as a share of the median's distance, have one colour."""
SHOWN = 4
"""Paths that are drawn at first: all at once would hide each other."""
TITLE_METHODS = {
    "valley": (
        "Gradient descent",
        "Steepest descent",
        "Coordinate descent",
        "Conjugate gradient",
    ),
    "double-well": ("Mini-batch", "Gradient descent"),  # the quiet path on top of the noisy one
}
"""The methods that the title of a surface speaks of: they are drawn at first."""


def paths_in_order(record: Record) -> tuple[list[Record], int]:
    """The paths, those that are drawn at first in front, and how many these are."""
    paths = list(record["paths"])
    wanted = TITLE_METHODS.get(record["name"], ()) if record["of"] == "surface" else ()
    first = [
        one for name in wanted for one in paths if one["method"].rstrip("0123456789 ,") == name
    ]
    if not first:
        return paths, SHOWN
    return [*first, *(one for one in paths if one not in first)], len(first)


def contours_plot(record: Record) -> Plot:
    """The paths over lines of equal loss."""
    grid = record["grid"]
    values = [value for row in grid["loss"] for value in row]
    low = min(values)
    # Without it, most lines would lie about the lowest point, and shallow minima would have none.
    room = NEAR_BOTTOM * (statistics.median(values) - low) or 1e-3
    heights = [[math.log10(value - low + room) for value in row] for row in grid["loss"]]
    bottom, top = math.log10(room), math.log10(max(values) - low + room)
    ground = contour(grid["x"], grid["y"], heights)
    # Filled, but faintly: the paths are on top.
    ground.update(
        autocontour=False,
        contours={
            "coloring": "fill",
            "start": bottom,
            "end": top,
            "size": (top - bottom) / LEVELS or 1.0,
        },
        opacity=0.45,
        line={"width": 0.7},
        colorscale=[list(one) for one in TERRAIN],
        reversescale=False,
        colorbar=_loss_scale(bottom, top, low - room),
        customdata=[list(row) for row in grid["loss"]],
        hovertemplate="loss %{customdata:.4~g}<extra></extra>",
    )
    traces: list[Trace] = [ground]
    paths, shown = paths_in_order(record)
    for place, path in enumerate(paths):
        across, up = zip(*path["points"], strict=True)
        trace = line(path["method"], across, up, place)
        trace["hovertemplate"] = "%{text}<extra></extra>"
        trace["text"] = [
            label(f"{path['method']}, update {update:,}: loss {number_text(loss)}")
            for update, loss in zip(path["updates"], path["losses"], strict=True)
        ]
        if place >= shown:
            trace["visible"] = "legendonly"
        traces.append(trace)
    start = record["paths"][0]["points"][0]
    traces.append(points("start", [start[0]], [start[1]], 4, size=13))
    plane = record["of"] == "run"
    drawn = figure(
        traces,
        "first direction" if plane else "first parameter",
        "second direction" if plane else "second parameter",
    )
    layout = drawn["layout"]
    layout["hovermode"] = "closest"
    layout["xaxis"]["range"] = [grid["x"][0], grid["x"][-1]]
    layout["yaxis"]["range"] = [grid["y"][0], grid["y"][-1]]
    if not plane:
        # One scale for both axes: a circle is a circle, a right angle a right angle.
        layout["yaxis"]["scaleanchor"] = "x"
        layout["xaxis"]["constrain"] = layout["yaxis"]["constrain"] = "domain"
    return Plot(
        name="contours",
        title=record["title"],
        figure=drawn,
        table=_points_table(record),
        caption="Lines join points of equal loss; orange is low, blue is high. Every path begins "
        "at the same point; choose paths in the legend.",
        tall=True,
    )


def _loss_scale(bottom: float, top: float, floor: float) -> dict[str, Any]:
    """The scale of the colours, in losses: the heights are logarithms of what is above a floor."""
    places = [bottom + (top - bottom) * part / 4 for part in range(5)]
    return {
        "title": {"text": "loss"},
        "thickness": 14,
        "outlinewidth": 0,
        "tickvals": places,
        "ticktext": [number_text(float(f"{10**place + floor:.3g}")) for place in places],
    }


def losses_plot(record: Record) -> Plot:
    """The loss along each path."""
    paths, shown = paths_in_order(record)
    floor = record.get("lowest", 0.0)
    least = min(min(path["losses"]) for path in paths)
    floor = min(floor, least)
    axes: dict[str, list[list[float]]] = {"rows read": [], "updates": []}
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    for place, path in enumerate(paths):
        above = [max(loss - floor, 1e-9) for loss in path["losses"]]
        read = [update * path["rows_read"] for update in path["updates"]]
        trace = line(path["method"], read, above, place)
        if place >= shown:
            trace["visible"] = "legendonly"
        traces.append(trace)
        axes["updates"].append(list(path["updates"]))
        axes["rows read"].append(read)
        rows.append([path["method"], path["updates"][-1], path["losses"][-1]])
    title = "loss" if floor == 0.0 else "loss above the lowest point"
    return Plot(
        name="losses",
        title="Loss along the paths",
        figure=figure(traces, "rows read", title, log_x=False, log_y=True),
        table=Table(["method", "updates", "loss at the end"], rows, caption="Ends of the paths"),
        caption="By rows read every method has done the same work at the same place; by updates an "
        "update of all rows counts as much as one of a single row.",
        x_choices=axes,
        log_x=True,
        log_y=True,
    )


def law_plot(record: Record) -> Plot:
    """Time to leave the shallow well against batch size over learning rate."""
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    ratios: list[float] = []
    known = [one for one in record["escapes"] if one["time"] is not None]
    for rate in sorted({one["learning_rate"] for one in known}):
        own = [one for one in known if one["learning_rate"] == rate]
        places = [one["batch_size"] / rate for one in own]
        ratios += places
        times = [one["time"] for one in own]
        traces.append(points(f"learning rate {rate:g}", places, times, len(traces)))
        for one, ratio in zip(own, places, strict=True):
            rows.append([rate, one["batch_size"], ratio, one["time"], percent_text(one["left"])])
    law = record["escape_law"]
    if law:
        ends = [min(ratios), max(ratios)]
        fitted = [math.exp(law["intercept"] + law["slope"] * ratio) for ratio in ends]
        traces.append(line("straight line", ends, fitted, 2, dash="dot"))
    return Plot(
        name="escape-law",
        title="Time to leave the shallow well",
        figure=figure(traces, "batch size / learning rate", "learning rate × updates", log_y=True),
        table=Table(
            ["learning rate", "batch size", "their ratio", "time to leave", "left"],
            rows,
            caption="Times to leave the shallow well",
        ),
        caption="One straight line for two learning rates: their ratio decides.",
        log_y=True,
    )


def left_plot(record: Record) -> Plot:
    """How many runs left, of every rule at every batch size and learning rate."""
    found = record["left"]
    rates = sorted({one["learning_rate"] for one in found})
    kinds = list(dict.fromkeys((one["rule"], one["batch_size"]) for one in found))[::-1]
    shares = {(one["rule"], one["batch_size"], one["learning_rate"]): one["left"] for one in found}
    cells = [[100 * shares[*kind, rate] for rate in rates] for kind in kinds]
    ground = heatmap(range(len(rates)), range(len(kinds)), cells, title="% left")
    ground.update(zmin=0, zmax=100, texttemplate="%{z:.0f}", hoverinfo="z")
    drawn = figure([ground], "learning rate", "")
    drawn = named_ticks(drawn, "x", [f"{rate:g}" for rate in rates])
    drawn = named_ticks(drawn, "y", [f"{rule}, {count_text(size, 'row')}" for rule, size in kinds])
    drawn["layout"]["hovermode"] = "closest"
    rows: list[list[Cell]] = [
        [one["rule"], one["batch_size"], one["learning_rate"], percent_text(one["left"])]
        for one in found
    ]
    return Plot(
        name="left",
        title=f"How many of {found[0]['runs']} runs left the shallow well, in percent",
        figure=drawn,
        table=Table(
            ["method", "batch size", "learning rate", "left"], rows, caption="Runs that left"
        ),
        caption=f"Within learning rate × updates = {record['left_time']}. Gradient descent on all "
        "rows has no noise and stays.",
        tall=True,
    )


def _points_table(record: Record) -> Table:
    """Some points of each path."""
    rows: list[list[Cell]] = []
    for path in record["paths"]:
        step = max(1, len(path["points"]) // 6)
        for number in range(0, len(path["points"]), step):
            place = path["points"][number]
            rows.append([path["method"], path["updates"][number], *place, path["losses"][number]])
    header = ["method", "update", "across", "up", "loss"]
    return Table(header, rows, caption="Some points of the paths")
