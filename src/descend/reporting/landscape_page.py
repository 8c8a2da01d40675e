"""The page and the text of a landscape, from its record."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.page import render
from descend.reporting.parts import Cell, KeyFigure, Plot, Section, Summary, Table
from descend.reporting.plots import Trace, contour, figure, heatmap, line, points
from descend.reporting.text import table_text

Record = Mapping[str, Any]

HEADER = ("method", "rows per update", "learning rate", "updates", "loss at the end", "ends at")
LEVELS = 64


def landscape_report(record: Record) -> str:
    """The page of a landscape.

    Args:
        record: what landscape.json holds.
    """
    return render(
        landscape_title(record),
        landscape_summary(record),
        landscape_sections(record),
        source=f"Made by descend {record['descend']} from landscape.json.",
    )


def landscape_title(record: Record) -> str:
    """Like `Landscape: valley`."""
    return f"Landscape: {record['name']}"


def landscape_summary(record: Record) -> Summary:
    """What is to be seen, and the ends of the paths."""
    ranked = sorted(record["paths"], key=lambda path: float(path["losses"][-1]))
    figures = [
        KeyFigure(path["method"], number_text(path["losses"][-1]), _steps(path))
        for path in ranked[:6]
    ]
    if record["of"] == "run":
        text = (
            f"{record['title']}, from the initial weights on. The plane holds "
            f"{100 * record['explained']:.0f} % of the way that the weights took."
        )
        return Summary(text, figures)
    outcome = ""
    law = record.get("escape_law")
    if law:
        outcome = (
            "The logarithm of the time to leave the shallow well, in learning rate × updates, is "
            f"linear in batch size over learning rate (R² {law['explained']:.3f}); two learning "
            f"rates agree to a factor of {law['apart']:.2f}."
        )
    return Summary(record["title"], figures, outcome=outcome)


def landscape_sections(record: Record) -> list[Section]:
    """The contours with the paths, the losses along them, and the times to leave."""
    where = (
        "The directions are those in which the snapshots of the weights lie furthest apart."
        if record.get("directions") == "path"
        else "The directions are random, filter by filter as long as the weights."
    )
    text = [where] if record["of"] == "run" else []
    sections = [
        Section("The paths", text=text, plots=[_contours(record)], tables=[_ends(record)]),
        Section("The loss along them", plots=[_losses(record)]),
    ]
    if record.get("escapes"):
        sections.append(
            Section(
                "Leaving a shallow minimum",
                text=[
                    "Many runs start in the shallow well at once. What decides is the ratio of "
                    "batch size to learning rate, not the batch size alone: noise in the weights "
                    "grows with one over it. Gradient descent, without noise, stays for ever."
                ],
                plots=[_law_plot(record), *_left_plots(record)],
            )
        )
    return sections


def landscape_text(record: Record) -> str:
    """What the command line prints."""
    rows = [
        [
            path["method"],
            f"{path['rows_read']:,.0f}",
            "—" if path["learning_rate"] is None else number_text(path["learning_rate"]),
            f"{path['updates'][-1]:,}",
            number_text(path["losses"][-1]),
        ]
        for path in record["paths"]
    ]
    parts = [f"{record['name']}: {record['title']}", table_text(HEADER[:5], rows, numbers=4)]
    if record.get("left"):
        left = [
            [
                _rule(one),
                f"{one['batch_size']}",
                number_text(one["learning_rate"]),
                f"{100 * one['left']:.0f} %",
            ]
            for one in record["left"]
        ]
        header = ["left the shallow well", "batch", "rate", f"in time {record['left_time']}"]
        parts.append(table_text(header, left, numbers=3))
    outcome = landscape_summary(record).outcome
    return "\n\n".join([*parts, *([outcome] if outcome else [])])


def _contours(record: Record) -> Plot:
    grid = record["grid"]
    low = min(min(row) for row in grid["loss"])
    heights = [[math.log10(value - low + 1e-3) for value in row] for row in grid["loss"]]
    ground = contour(grid["x"], grid["y"], heights, title="log10 (loss − lowest)")
    # Lines alone: over filled contours the paths would be hard to see.
    ground.update(contours={"coloring": "lines"}, ncontours=24, line={"width": 1})
    traces: list[Trace] = [ground]
    for place, path in enumerate(record["paths"]):
        trace = line(
            path["method"],
            [point[0] for point in path["points"]],
            [point[1] for point in path["points"]],
            place,
        )
        if place >= 3:
            # All at once would hide each other; the legend brings them back.
            trace["visible"] = "legendonly"
        traces.append(trace)
    start = record["paths"][0]["points"][0]
    traces.append(points("start", [start[0]], [start[1]], 4, size=12))
    plane = record["of"] == "run"
    drawn = figure(
        traces,
        "first direction" if plane else "first parameter",
        "second direction" if plane else "second parameter",
    )
    drawn["layout"]["xaxis"]["range"] = [grid["x"][0], grid["x"][-1]]
    drawn["layout"]["yaxis"]["range"] = [grid["y"][0], grid["y"][-1]]
    rows: list[list[Cell]] = []
    for path in record["paths"]:
        step = max(1, len(path["points"]) // 6)
        for number in range(0, len(path["points"]), step):
            rows.append(
                [
                    path["method"],
                    path["updates"][number],
                    *path["points"][number],
                    path["losses"][number],
                ]
            )
    header = ["method", "update", "across", "up", "loss"]
    return Plot(
        name="contours",
        title=record["title"],
        figure=drawn,
        table=Table(header, rows, caption="Some points of the paths"),
        caption="Every path begins at the same point. Choose paths in the legend.",
    )


def _losses(record: Record) -> Plot:
    low = min(min(path["losses"]) for path in record["paths"])
    low = min(low, 0.0) if low < 0 else 0.0
    traces, choices, rows = [], _Choices(), []
    for place, path in enumerate(record["paths"]):
        losses = [loss - low for loss in path["losses"]]
        traces.append(line(path["method"], path["updates"], losses, place))
        choices.add(path["updates"], path["rows_read"])
        rows.append([path["method"], path["updates"][-1], path["losses"][-1]])
    title = "loss" if low == 0 else "loss above the lowest"
    return Plot(
        name="losses",
        title="Loss along the paths",
        figure=figure(traces, "updates", title, log_y=True),
        table=Table(["method", "updates", "loss at the end"], rows, caption="Ends of the paths"),
        x_choices=choices.by_title,
        log_x=True,
        log_y=True,
    )


class _Choices:
    """Horizontal axes: updates, and rows read."""

    def __init__(self) -> None:
        self.by_title: dict[str, list[list[float]]] = {"updates": [], "rows read": []}

    def add(self, updates: Sequence[float], rows: float) -> None:
        self.by_title["updates"].append(list(updates))
        self.by_title["rows read"].append([update * rows for update in updates])


def _ends(record: Record) -> Table:
    rows: list[list[Cell]] = [
        [
            path["method"],
            path["rows_read"],
            path["learning_rate"],
            path["updates"][-1],
            path["losses"][-1],
            "(" + ", ".join(f"{value:.3g}" for value in path["points"][-1]) + ")",
        ]
        for path in record["paths"]
    ]
    return Table(HEADER, rows, caption="Where the paths end")


def _law_plot(record: Record) -> Plot:
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    known = [one for one in record["escapes"] if one["time"] is not None]
    for rate in sorted({one["learning_rate"] for one in known}):
        own = [one for one in known if one["learning_rate"] == rate]
        ratios = [one["batch_size"] / rate for one in own]
        times = [one["time"] for one in own]
        traces.append(points(f"learning rate {rate:g}", ratios, times, len(traces)))
        for one, ratio in zip(own, ratios, strict=True):
            rows.append([rate, one["batch_size"], ratio, one["time"], f"{100 * one['left']:.0f} %"])
    law = record["escape_law"]
    if law:
        ends = [float(min(row[2] for row in rows)), float(max(row[2] for row in rows))]  # type: ignore[arg-type, type-var]
        fitted = [math.exp(law["intercept"] + law["slope"] * ratio) for ratio in ends]
        traces.append(line("straight line", ends, fitted, 2, dash="dot"))
    return Plot(
        name="escape-law",
        title="Time to leave the shallow well",
        figure=figure(
            traces,
            "batch size / learning rate",
            "learning rate × updates",
            log_y=True,
        ),
        table=Table(
            ["learning rate", "batch size", "their ratio", "time to leave", "left"],
            rows,
            caption="Times to leave the shallow well",
        ),
        caption="One straight line for two learning rates: their ratio decides.",
        log_y=True,
    )


def _left_plots(record: Record) -> list[Plot]:
    plots = []
    for rule, group in itertools.groupby(record["left"], key=_rule):
        own = list(group)
        rates = sorted({one["learning_rate"] for one in own})
        sizes = sorted({one["batch_size"] for one in own})
        shares = {(one["batch_size"], one["learning_rate"]): 100 * one["left"] for one in own}
        cells = [[shares[size, rate] for rate in rates] for size in sizes]
        drawn = figure(
            [heatmap(range(len(rates)), range(len(sizes)), cells, title="% left")],
            "learning rate",
            "batch size",
        )
        for axis, names in (("xaxis", rates), ("yaxis", sizes)):
            drawn["layout"][axis]["tickvals"] = list(range(len(names)))
            drawn["layout"][axis]["ticktext"] = [f"{name:g}" for name in names]
        rows: list[list[Cell]] = [
            [one["batch_size"], one["learning_rate"], f"{100 * one['left']:.0f} %"] for one in own
        ]
        plots.append(
            Plot(
                name=f"left-{'momentum' if 'momentum' in rule else 'plain'}",
                title=f"How many of {own[0]['runs']} runs of {rule} left",
                figure=drawn,
                table=Table(["batch size", "learning rate", "left"], rows, caption=rule),
                caption=f"Within learning rate × updates = {record['left_time']}.",
            )
        )
    return plots


def _rule(one: Record) -> str:
    return "SGD with momentum" if one["momentum"] else "SGD"


def _steps(path: Record) -> str:
    return f"{path['updates'][-1]:,} updates of {path['rows_read']:,.0f} rows"
