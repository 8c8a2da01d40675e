"""Plots of the histories of runs: losses, metrics, learning rates and batch sizes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from descend.reporting.loss_curve import best_line
from descend.reporting.page_model import Cell, Plot, Table
from descend.reporting.plots.figures import (
    figure,
    line,
    points,
)
from descend.types import History

MOST_POINTS = 1500
"""Most points of a run in a plot: more would not be visible and would make the page heavy."""
MOST_TABLE_LINES = 60
FAR_FALL = 10.0
"""Highest over lowest loss beyond which a linear axis shows the first fall alone."""
X_AXES = (("updates", "update"), ("epochs", "epoch"), ("rows seen", "examples"))
SECONDS = ("seconds", "seconds")


def loss_plot(
    runs: Mapping[str, History],
    *,
    alike: bool = True,
    what: str = "run",
    note: str = "",
    training: str = "",
) -> Plot:
    """Training and validation loss of one run, or of several laid over each other.

    Args:
        runs: histories by the name of the run; the name is not shown where there is one.
        alike: whether the losses of the runs are of one kind. Where they are not, each is drawn
            as the share of its fall that is left, from 1 at the start to 0 at its lowest.
        what: each of them is: a `run`, or one `network` of the run.
        note: what the loss is, in a sentence.
        training: how else the training loss differs from the validation loss, in a sentence.
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
        + (f"{note} " if note else "")
        + "Lower is better. "
        + (
            "Saved are the weights with the lowest validation loss of each. "
            if what == "network" and len(kept) > 1
            else "The saved model is the one with the lowest validation loss. "
        )
        + "Where the training loss falls while the validation loss rises, the model overfits. The "
        "training loss is the mean over the updates since the evaluation before, so it lags "
        f"behind.{training}",
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
