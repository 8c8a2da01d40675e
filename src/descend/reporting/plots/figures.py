"""Plots as Plotly figures, built from records.

A figure is plain dicts and lists. Nothing is drawn here: the page draws with Plotly, `png` with
matplotlib. Colours and strokes are those of `colours`.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from descend.reporting.checks import best_line
from descend.reporting.page_model import Cell, Figure, Plot, Table
from descend.reporting.plots.colours import COLOURS, DASHES, SEQUENTIAL, SYMBOLS, translucent
from descend.types import History

Trace = dict[str, Any]
Numbers = Iterable[float | None]

MOST_POINTS = 1500
"""Most points of a run in a plot: more would not be visible and would make the page heavy."""
MOST_TABLE_LINES = 60
FAR_FALL = 10.0
"""Highest over lowest loss beyond which a linear axis shows the first fall alone."""
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

X_AXES = (("updates", "update"), ("epochs", "epoch"), ("rows seen", "examples"))
SECONDS = ("seconds", "seconds")


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


def loss_plot(runs: Mapping[str, History], *, alike: bool = True, what: str = "run") -> Plot:
    """Training and validation loss of one run, or of several laid over each other.

    Args:
        runs: histories by the name of the run; the name is not shown where there is one.
        alike: whether the losses of the runs are of one kind. Where they are not, each is drawn
            as the share of its fall that is left, from 1 at the start to 0 at its lowest.
        what: each of them is: a `run`, or one `network` of the run.
    """
    kept = {name: thin_history(history) for name, history in runs.items()}
    if not alike:
        kept = {name: _share_left(history) for name, history in kept.items()}
    traces, lines = [], []
    for place, (name, history) in enumerate(kept.items()):
        prefix = f"{name}: " if len(kept) > 1 else ""
        train = place if len(kept) > 1 else 1
        for title, field, colour, dash in (
            # Of several runs each has its own stroke: there are more runs than colours.
            (f"{prefix}validation", "validation_loss", place, None if len(kept) > 1 else "solid"),
            (f"{prefix}training", "train_loss", train, "dot"),
        ):
            values = [getattr(one, field) for one in history]
            trace = line(title, [one.update for one in history], values, colour, dash=dash)
            if len(kept) > 1 and field == "train_loss":
                trace["visible"] = "legendonly"
            traces.append(trace)
            lines.append(history)
        best = best_line(history)
        if best is not None:
            mark = points(
                f"{prefix}best model",
                [best.update],
                [best.validation_loss],
                place if len(kept) > 1 else 2,
            )
            mark["marker"]["symbol"] = "diamond"
            # With several runs the colour says whose it is.
            traces.append({**mark, "showlegend": False} if len(kept) > 1 else mark)
            lines.append((best,))
    losses = [
        value
        for trace in traces
        if "visible" not in trace
        for value in trace["y"]
        if value is not None
    ]
    positive = bool(losses) and min(losses) > 0
    return Plot(
        name="loss",
        title="Loss while training",
        figure=figure(
            traces,
            X_AXES[0][0],
            "loss (mean over rows)" if alike else "share of the fall that is left",
            log_y=positive and max(losses) > FAR_FALL * min(losses),
        ),
        table=_history_table(runs, ("train_loss", "validation_loss"), "Loss at the evaluations"),
        caption=(
            f"Each {what} has one colour in every chart; its training loss is shown by a click "
            "on its name in the legend. "
            if len(kept) > 1
            else ""
        )
        + (
            ""
            if alike
            else "The runs have losses of different kinds: each falls from 1, its validation loss "
            "at the start, to 0, its lowest. Whose model is better cannot be seen here. "
        )
        + "Lower is better. "
        + (
            "Saved are the weights with the lowest validation loss of each. "
            if what == "network" and len(kept) > 1
            else "The saved model is the one with the lowest validation loss. "
        )
        + "Where the training loss falls while the validation loss rises, the model overfits. The "
        "training loss is the mean over the updates since the evaluation before, so it lags "
        "behind.",
        x_choices=_x_choices(lines),
        log_x=True,
        log_y=positive,
    )


def metric_plots(history: History) -> list[Plot]:
    """The user's own metrics and the losses on further validation rows, a plot for each.

    A name such as `winter/loss` is that of a set of rows and of what was measured on it.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(name for one in history for name in one.metrics):
        rows, _, metric = name.rpartition("/")
        groups.setdefault(metric, {})[rows or "validation"] = name
    kept = thin_history(history)
    plots = []
    for number, (metric, names) in enumerate(groups.items()):
        values = {rows: [one.metrics.get(name) for one in kept] for rows, name in names.items()}
        if "validation" not in names:
            values = {"validation": [one.validation_loss for one in kept], **values}
        traces = [
            line(rows, [one.update for one in kept], drawn, place)
            for place, (rows, drawn) in enumerate(values.items())
        ]
        cells: list[list[Cell]] = [
            [one.update, one.epoch, *(drawn[place] for drawn in values.values())]
            for place, one in enumerate(kept[:MOST_TABLE_LINES])
        ]
        plots.append(
            Plot(
                name=f"metric-{number + 1}",
                title=metric if "validation" in names else f"{metric} on further validation rows",
                figure=figure(traces, X_AXES[0][0], metric),
                table=Table(
                    header=["update", "epoch", *values],
                    rows=cells,
                    caption=f"{metric} at the evaluations",
                ),
                caption="At the evaluations, with the weights that are evaluated.",
                x_choices=_x_choices([kept] * len(traces)),
                log_x=True,
            )
        )
    return plots


def _share_left(history: History) -> History:
    """The losses of a run as the share of the fall of its validation loss that is left."""
    best = best_line(history)
    if best is None:
        return history
    first, lowest = history[0].validation_loss, best.validation_loss
    fall = first - lowest if math.isfinite(first) and first > lowest else 1.0
    return tuple(
        dataclasses.replace(
            one,
            train_loss=(one.train_loss - lowest) / fall,
            validation_loss=(one.validation_loss - lowest) / fall,
        )
        for one in history
    )


def rate_plot(runs: Mapping[str, History]) -> Plot:
    """The learning rate during training, of one run or of several."""
    # The line before the first update has no rate yet.
    kept = {name: _with_rates(thin_history(history)) for name, history in runs.items()}
    return _steps_plot(runs, kept, "learning_rate", "batch_size")


def batch_plot(runs: Mapping[str, History]) -> Plot:
    """The batch size during training, where it grows."""
    kept = {name: thin_history(history) for name, history in runs.items()}
    return _steps_plot(runs, kept, "batch_size", "learning_rate")


def _steps_plot(
    runs: Mapping[str, History], kept: Mapping[str, History], field: str, beside: str
) -> Plot:
    """What held between two evaluations, of one run or of several.

    A line of the history tells it of its last update: it has held since the evaluation before.

    Args:
        runs: their whole histories.
        kept: the lines that are drawn.
        field: of a line, which is drawn.
        beside: another one, for the table.
    """
    name = field.replace("_", " ")
    traces = [
        line(
            run,
            [one.update for one in history],
            [getattr(one, field) for one in history],
            place,
            shape="vh",
        )
        for place, (run, history) in enumerate(kept.items())
    ]
    values = [value for trace in traces for value in trace["y"] if value]
    wide = bool(values) and max(values) >= 5 * min(values)
    return Plot(
        name=field.replace("_", "-"),
        title=name.capitalize(),
        figure=figure(traces, X_AXES[0][0], name, log_y=wide, zero=True),
        table=_history_table(runs, (field, beside), f"{name.capitalize()} at the evaluations"),
        caption=f"The {name.split()[-1]} of the last update before each evaluation, drawn back to "
        "the evaluation before.",
        x_choices=_x_choices(list(kept.values())),
        log_x=True,
        log_y=bool(values),
    )


def _with_rates(history: History) -> History:
    """The history with the first rate that was used from its first line on."""
    if len(history) < 2:
        return history
    first, second = history[:2]
    return (dataclasses.replace(first, learning_rate=second.learning_rate), *history[1:])


def thin_history(history: History, most: int = MOST_POINTS) -> History:
    """At most `most` lines, evenly spread, with the first, the last and the best among them."""
    if len(history) <= most:
        return history
    spread = {round(place * (len(history) - 1) / (most - 2)) for place in range(most - 1)}
    best = best_line(history)
    if best is not None:
        spread.add(history.index(best))
    return tuple(history[place] for place in sorted(spread))


def _x_choices(lines: Sequence[History]) -> dict[str, list[list[float]]]:
    axes = (
        [*X_AXES, SECONDS] if any(one.seconds for history in lines for one in history) else X_AXES
    )
    return {
        title: [[getattr(one, field) for one in history] for history in lines]
        for title, field in axes
    }


def _history_table(runs: Mapping[str, History], fields: Sequence[str], caption: str) -> Table:
    shown = ("update", "epoch", "examples", "seconds", *fields)
    names = ["rows seen" if name == "examples" else name.replace("_", " ") for name in shown]
    several = len(runs) > 1
    rows: list[list[Cell]] = []
    for name, history in runs.items():
        for one in thin_history(history, max(3, MOST_TABLE_LINES // len(runs))):
            rows.append([*([name] if several else []), *(getattr(one, field) for field in shown)])
    return Table(header=[*(["run"] if several else []), *names], rows=rows, caption=caption)


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
    if not ordered and axis == "x" and sum(map(len, texts)) > MOST_LEVEL:
        # Rotated so that each name ends at its tick: the last would leave the picture otherwise.
        ticks["tickangle"] = -35
    return {**drawn, "layout": {**drawn["layout"], key: ticks}}


def _is_short_number(text: str) -> bool:
    return len(text) <= SHORT_NUMBER and text.lstrip("-").replace(".", "", 1).isdigit()
