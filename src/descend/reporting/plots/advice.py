"""The plots of an advice: trials, seconds per update, gradient noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import bytes_text, count_text, span_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, Plot, Table
from descend.reporting.plots.colours import FADED, SEQUENTIAL
from descend.reporting.plots.figures import (
    Trace,
    band,
    error_bars,
    figure,
    hollow,
    line,
    points,
    with_size_ticks,
)

Record = Mapping[str, Any]

COSTS = {"examples": ("examples", "rows seen")}
"""The cost that a goal counts, where that is not seconds."""
FURTHEST = 2.0
"""Intervals are drawn to this many times the largest value, and to that part of the smallest."""
CURVE = ("updates", "examples", "seconds")


def target_plot(advice: Record, evidence: Record) -> Plot:
    """What each batch size needs to reach the loss of the winner."""
    key, title = COSTS.get(evidence.get("goal", ""), ("seconds", "seconds"))
    curve = sorted(evidence.get("curve") or [], key=lambda one: float(one["batch_size"]))
    predicted = {one["batch_size"]: one for one in curve}
    # The curve says nothing about sizes whose trials were eliminated.
    finalists = [
        one
        for one in evidence["trials"]
        if one.get("ratio") is not None and one["batch_size"] in predicted
    ]
    winner = predicted.get(advice["batch_size"])
    found = {}
    if winner is not None:
        for one in sorted(finalists, key=lambda one: float(-one["ratio"])):
            found[one["batch_size"]] = one["ratio"] * winner[key]
    spreads = _spreads(finalists, advice["batch_size"])
    traces: list[Trace] = []
    if len(curve) > 1:
        sizes, costs = [one["batch_size"] for one in curve], [one[key] for one in curve]
        traces.append(hollow(line("predicted from the trials", sizes, costs, 0, dash="dash")))
    if found:
        traces.append(_measured_trace(found, spreads))
    if winner is not None:
        traces.append(_ring(winner["batch_size"], winner[key], size=20))
    rows: list[list[Cell]] = [
        [
            size,
            *(predicted.get(size, {}).get(name) for name in CURVE),
            found.get(size),
            *(found[size] * end if size in found else None for end in spreads.get(size, ())),
            *([] if size in spreads else [None, None]),
        ]
        for size in sorted({*predicted, *found})
    ]
    target = number_text(evidence.get("target"))
    return Plot(
        name="time-to-target",
        title=f"{title.capitalize()} to a validation loss of {target}",
        figure=with_size_ticks(
            figure(traces, "rows per update", title, log_x=True, log_y=True, zero=True),
            sorted({*predicted, *found}),
        ),
        table=Table(
            ["batch size", *CURVE, f"{title} by trial", "from", "to"],
            rows,
            caption=f"What each batch size needs to a validation loss of {target}",
        ),
        caption="Measured: how much later than the winner a trial of the last round passed the "
        "same losses, with a 90 % interval (cut off at twice the largest value): two runs of one "
        "setting differ by chance. Hollow: predicted from the relation of updates to batch size. "
        "The ring marks the advice. Trials are short and noisy, so another batch size is chosen "
        "only if it is clearly faster: a point may lie lower than the ring.",
        log_x=True,
        log_y=True,
    )


def _spreads(finalists: Sequence[Record], advised: int) -> dict[int, tuple[float, float]]:
    """By batch size the 90 % interval of its cost, as a share of it: of the best trial of each."""
    found = {}
    for one in sorted(finalists, key=lambda one: float(-one["ratio"])):
        interval, ratio = one.get("ratio_interval"), one["ratio"]
        if interval and ratio and one["batch_size"] != advised:
            found[one["batch_size"]] = (interval[0] / ratio, interval[1] / ratio)
    return found


def _measured_trace(
    found: Mapping[int, float], spreads: Mapping[int, tuple[float, float]]
) -> Trace:
    """What was measured, with intervals; none is drawn further than the plot is worth."""
    sizes = sorted(found)
    values = [found[one] for one in sizes]
    trace = points("measured by trials", sizes, values, 1, size=11)
    if spreads:
        low, high = min(values) / FURTHEST, max(values) * FURTHEST
        ends = [spreads.get(size, (1.0, 1.0)) for size in sizes]
        trace["error_y"] = error_bars(
            values,
            [max(low, value * end) for value, (end, _) in zip(values, ends, strict=True)],
            [min(high, value * end) for value, (_, end) in zip(values, ends, strict=True)],
        )
    return trace


def map_plot(advice: Record, evidence: Record) -> Plot:
    """Every trial by its batch size and learning rate; of a single size, the loss by rate."""
    trials = evidence["trials"]
    if len({one["batch_size"] for one in trials}) == 1:
        return _rates_plot(advice, trials)
    good = [one for one in trials if one["loss"] is not None and not one["diverged"]]
    bad = [one for one in trials if one not in good]
    tried = points("tried", _column(good, "batch_size"), _column(good, "learning_rate"), size=14)
    traces: list[Trace] = [
        {
            **tried,
            "text": [f"loss {number_text(one['loss'])}" for one in good],
            "marker": {
                "size": 14,
                "color": _column(good, "loss"),
                "colorscale": SEQUENTIAL,
                "reversescale": True,
                "showscale": True,
                "colorbar": {"title": {"text": "loss"}, "thickness": 14, "outlinewidth": 0},
                "line": {"width": 1, "color": FADED},
            },
        }
    ]
    if bad:
        lost = points("diverged", _column(bad, "batch_size"), _column(bad, "learning_rate"), 1)
        traces.append({**lost, "marker": {**lost["marker"], "symbol": "x"}})
    breaking = sorted(evidence.get("breaking") or [], key=lambda one: float(one["batch_size"]))
    if breaking:
        sizes, rates = _column(breaking, "batch_size"), _column(breaking, "learning_rate")
        traces.append(line("training diverges above", sizes, rates, 1, dash="dot"))
    traces.append(_ring(advice["batch_size"], advice["learning_rate"], size=24))
    drawn = with_size_ticks(
        figure(traces, "rows per update", "learning rate", log_x=True, log_y=True),
        sorted({one["batch_size"] for one in trials}),
    )
    layout = {**drawn["layout"], "hovermode": "closest"}
    # The rates span several powers of ten: a label for each power is enough.
    layout["yaxis"] = {**layout["yaxis"], "dtick": 1, "minorloglabels": "none"}
    return Plot(
        name="trials",
        title="Every trial by batch size and learning rate",
        figure={**drawn, "layout": layout},
        table=_trials_table(trials),
        caption="The lighter the point, the lower the lowest loss of the trial. Not all "
        "trials ran for as many updates (the table counts them). Above the dotted line the loss "
        "explodes within a few updates.",
        log_x=True,
        log_y=True,
    )


def _rates_plot(advice: Record, trials: Sequence[Record]) -> Plot:
    """The lowest loss of each trial of one batch size, by its learning rate."""
    size = trials[0]["batch_size"]
    good = [one for one in trials if one["loss"] is not None and not one["diverged"]]
    ended = [one for one in good if one.get("ratio") is not None]
    short = [one for one in good if one not in ended]
    bad = [one for one in trials if one not in good]
    traces: list[Trace] = []
    if ended:
        rates, losses = _column(ended, "learning_rate"), _column(ended, "loss")
        traces.append(points("in the last round", rates, losses, 0, size=11))
    if short:
        rates, losses = _column(short, "learning_rate"), _column(short, "loss")
        traces.append(points("eliminated before", rates, losses, 1))
    if bad and good:
        worst = max(_column(good, "loss"))
        lost = points("diverged", _column(bad, "learning_rate"), [worst] * len(bad), 3)
        traces.append({**lost, "marker": {**lost["marker"], "symbol": "x"}, "hoverinfo": "x+name"})
    chosen = [one for one in ended if one["learning_rate"] == advice["learning_rate"]]
    traces += [_ring(one["learning_rate"], one["loss"], size=20) for one in chosen[:1]]
    drawn = figure(traces, "learning rate", "lowest loss of the trial", log_x=True, log_y=True)
    drawn["layout"]["hovermode"] = "closest"
    return Plot(
        name="trials",
        title=f"Every trial by learning rate, all with {count_text(size, 'row')} per update",
        figure=drawn,
        table=_trials_table(trials),
        caption="Not all trials ran for as many updates (the table counts them), and more updates "
        "lower the loss. A cross marks a rate at which the loss exploded.",
        log_x=True,
        log_y=True,
    )


def _trials_table(trials: Sequence[Record]) -> Table:
    rows: list[list[Cell]] = [
        [
            one["batch_size"],
            one["learning_rate"],
            one["updates"],
            one["seconds"],
            "diverged" if one["diverged"] else number_text(one["loss"]),
            None if one.get("ratio") is None else f"{one['ratio']:.2f}",
        ]
        for one in sorted(trials, key=lambda one: (one["batch_size"], one["learning_rate"]))
    ]
    header = ["batch size", "learning rate", "updates", "seconds", "lowest loss"]
    return Table(
        [*header, "cost relative to the advice"],
        rows,
        caption="Trials; those of the last round have a cost relative to the advice",
    )


def trials_plot(trials: Sequence[Record]) -> Plot:
    """The validation loss of each trial while it ran."""
    finalists = [one for one in trials if one.get("ratio") is not None and one.get("losses")]
    others = [one for one in trials if one not in finalists and one.get("losses")]
    traces: list[Trace] = []
    for one in others:
        trace = line("", *_evaluations(one), dash="solid")
        traces.append(
            {
                **trace,
                "mode": "lines",
                "line": {**trace["line"], "color": FADED, "width": 1},
                "opacity": 0.5,
                "showlegend": False,
                "hoverinfo": "skip",
            }
        )
    traces += [line(_name(one), *_evaluations(one), place) for place, one in enumerate(finalists)]
    shown = [*others, *finalists]
    losses = [
        loss
        for one in shown
        for loss in _evaluations(one)[1]
        if loss is not None and math.isfinite(loss)
    ]
    choices = {
        "seconds": [_evaluations(one)[0] for one in shown],
        "updates": [[float(update) for update, _ in one["losses"]] for one in shown],
        "rows seen": [
            [float(update * one["batch_size"]) for update, _ in one["losses"]] for one in shown
        ],
    }
    rows: list[list[Cell]] = [
        [one["batch_size"], one["learning_rate"], int(update), seconds, loss]
        for one in finalists
        for (update, loss), seconds in zip(one["losses"], _evaluations(one)[0], strict=True)
    ]
    header = ["batch size", "learning rate", "updates", "seconds", "validation loss"]
    positive = bool(losses) and min(losses) > 0
    return Plot(
        name="race",
        title="Validation loss of every trial",
        figure=figure(traces, "seconds", "validation loss", log_y=positive),
        table=Table(header, rows, caption="Validation losses of the trials of the last round"),
        caption="Coloured: trials of the last round. Grey: trials eliminated before "
        "(successive halving). Learning rates are constant after a short warm-up.",
        x_choices=choices,
        log_x=True,
        log_y=positive,
    )


def speed_plot(evidence: Record) -> Plot:
    """Seconds per update over the batch size."""
    lines = sorted(evidence["speed"], key=lambda one: float(one["batch_size"]))
    sizes = _column(lines, "batch_size")
    costs = _column(lines, "seconds_per_update")
    rows: list[list[Cell]] = [
        [
            one["batch_size"],
            span_text(one["seconds_per_update"]),
            round(one["batch_size"] / one["seconds_per_update"]),
            bytes_text(one["peak_memory"]),
        ]
        for one in lines
    ]
    traces = [line("measured", sizes, costs)]
    return Plot(
        name="seconds-per-update",
        title="Seconds per update",
        figure=with_size_ticks(
            figure(traces, "rows per update", "seconds per update", log_x=True, log_y=True),
            sizes,
        ),
        table=Table(
            ["batch size", "time per update", "rows per second", "memory of an update"],
            rows,
            caption="What an update costs on this machine",
        ),
        caption="Where the line is flat, a larger batch costs nothing extra; where it rises in "
        "proportion, a row costs the same in any batch. Reading the rows is included.",
        log_x=True,
        log_y=True,
    )


def scale_plot(measured: Sequence[Record]) -> Plot:
    """The noise scale at each of its measurements."""
    updates, scales = _column(measured, "updates"), _column(measured, "noise_scale")
    trace = points("noise scale", updates, scales, size=11)
    trace["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": [
            0.0 if one["interval"][1] is None else one["interval"][1] - one["noise_scale"]
            for one in measured
        ],
        "arrayminus": [one["noise_scale"] - one["interval"][0] for one in measured],
    }
    if all(one.get("loss") is not None for one in measured):
        trace["text"] = [f"validation loss {number_text(one['loss'])}" for one in measured]
    rows: list[list[Cell]] = [
        [one["updates"], one.get("loss"), one["noise_scale"], *one["interval"], one.get("rows")]
        for one in measured
    ]
    return Plot(
        name="noise-scale",
        title="Noise scale, with its 90 % interval",
        figure=figure([trace], "updates", "rows", log_y=True),
        table=Table(
            ["updates", "validation loss", "noise scale", "from", "to", "rows measured"],
            rows,
            caption="Noise scale in rows; a dash is an open end",
        ),
        log_y=True,
    )


def cosine_plot(measured: Sequence[Record]) -> Plot:
    """The cosine between the gradient of a batch and the true one."""
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    shown = [one for one in measured if one.get("cosine")]
    for place, one in enumerate(shown):
        cosine = one["cosine"]
        sizes = _column(cosine, "batch_size")
        name = f"after {count_text(one['updates'], 'update')}" if one["updates"] else "at the start"
        if one is shown[-1]:
            ends = _column(cosine, "low"), _column(cosine, "high")
            traces.append(band("nine in ten batches", sizes, *ends, place))
        traces.append(line(name, sizes, _column(cosine, "mean"), place, dash="solid"))
        rows += [
            [
                one["updates"],
                *(each[key] for key in ("batch_size", "mean", "low", "high", "expected")),
            ]
            for each in cosine
        ]
    header = ["updates", "batch size", "mean", "5 % below", "5 % above", "expected"]
    return Plot(
        name="cosine",
        title="How well the gradient of a batch points along the true gradient",
        figure=with_size_ticks(
            figure(traces, "rows per update", "cosine to the true gradient", log_x=True),
            sorted({each["batch_size"] for one in shown for each in one["cosine"]}),
        ),
        table=Table(header, rows, caption="Cosine between a batch's gradient and the true one"),
        caption="1 is the direction of the gradient over all rows, 0 is at a right angle to it. "
        "The band holds nine in ten batches at the last measurement.",
        log_x=True,
    )


def _ring(x: float, y: float, *, size: int) -> Trace:
    """A ring around the advice."""
    ring = points("advised", [x], [y], 2, size=size)
    marker = {**ring["marker"], "symbol": "circle-open", "line": {"width": 3}}
    return {**ring, "marker": marker}


def _evaluations(trial: Record) -> tuple[list[float], list[float | None]]:
    """Seconds and losses of the evaluations of a trial."""
    per_update = trial["seconds"] / max(1, trial["updates"])
    evaluations = trial["losses"]
    return [update * per_update for update, _ in evaluations], [loss for _, loss in evaluations]


def _name(trial: Record) -> str:
    return f"{count_text(trial['batch_size'], 'row')} at {number_text(trial['learning_rate'])}"


def _column(lines: Sequence[Record], name: str) -> list[Any]:
    return [one[name] for one in lines]
