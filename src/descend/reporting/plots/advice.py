"""The plots of an advice: trials, seconds per update, gradient noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, Plot, Table
from descend.reporting.plots.figures import COLOUR_SCALE, Trace, band, figure, line, points

Record = Mapping[str, Any]

COSTS = {"examples": ("examples", "rows seen")}
"""What a goal counts, other than seconds."""
CURVE = ("updates", "examples", "seconds")
FADED = "#8A8A8A"


def target_plot(advice: Record, evidence: Record) -> Plot:
    """What each batch size needs to the loss of the winner."""
    key, title = COSTS.get(evidence.get("goal", ""), ("seconds", "seconds"))
    curve = sorted(evidence.get("curve") or [], key=lambda one: float(one["batch_size"]))
    predicted = {one["batch_size"]: one for one in curve}
    # Of sizes whose trials did not last the curve says nothing.
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
    traces: list[Trace] = []
    if len(curve) > 1:
        sizes, costs = [one["batch_size"] for one in curve], [one[key] for one in curve]
        traces.append(line("predicted from the trials", sizes, costs, 0, dash="dash"))
    if found:
        sizes = sorted(found)
        traces.append(points("by trial", sizes, [found[one] for one in sizes], 1, size=11))
    if winner is not None:
        traces.append(_ring(winner["batch_size"], winner[key], size=20))
    rows: list[list[Cell]] = [
        [size, *(predicted.get(size, {}).get(name) for name in CURVE), found.get(size)]
        for size in sorted({*predicted, *found})
    ]
    target = number_text(evidence.get("target"))
    return Plot(
        name="time-to-target",
        title=f"{title.capitalize()} to a validation loss of {target}",
        figure=figure(traces, "rows per update", title, log_x=True, log_y=True),
        table=Table(
            ["batch size", *CURVE, f"{title} by trial"],
            rows,
            caption=f"What each batch size needs to a validation loss of {target}",
        ),
        caption="By trial: what those that ran to the end need, from how much later they came past "
        "the losses of the best. Elsewhere the line follows the law that updates and batch size "
        "obey.",
        log_x=True,
        log_y=True,
    )


def map_plot(advice: Record, evidence: Record) -> Plot:
    """Every trial by its batch size and learning rate."""
    trials = evidence["trials"]
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
                "colorscale": COLOUR_SCALE,
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
        traces.append(line("training breaks", sizes, rates, 1, dash="dot"))
    traces.append(_ring(advice["batch_size"], advice["learning_rate"], size=24))
    drawn = figure(traces, "rows per update", "learning rate", log_x=True, log_y=True)
    layout = {**drawn["layout"], "hovermode": "closest"}
    # Rates reach over many powers of ten: a name for each is enough.
    layout["yaxis"] = {**layout["yaxis"], "dtick": 1, "minorloglabels": "none"}
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
    header = [
        "batch size",
        "learning rate",
        "updates",
        "seconds",
        "loss",
        "cost over the advised size",
    ]
    return Plot(
        name="trials",
        title="Every trial by batch size and learning rate",
        figure={**drawn, "layout": layout},
        table=Table(
            header,
            rows,
            caption="Trials; only those that ran to the end have a cost over the advised size",
        ),
        caption="The lighter, the lower the loss in the end. Trials that left the race early ran "
        "less far. Above the dotted line a few updates are enough to make the loss explode.",
        log_x=True,
        log_y=True,
    )


def race_plot(trials: Sequence[Record]) -> Plot:
    """The validation loss of each trial while it ran."""
    finalists = [one for one in trials if one.get("ratio") is not None and one.get("losses")]
    others = [one for one in trials if one not in finalists and one.get("losses")]
    traces: list[Trace] = []
    for one in others:
        trace = line("", *_looks(one), dash="solid")
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
    traces += [line(_name(one), *_looks(one), place) for place, one in enumerate(finalists)]
    shown = [*others, *finalists]
    losses = [
        loss for one in shown for loss in _looks(one)[1] if loss is not None and math.isfinite(loss)
    ]
    choices = {
        "seconds": [_looks(one)[0] for one in shown],
        "updates": [[float(look[0]) for look in one["losses"]] for one in shown],
        "rows seen": [
            [float(look[0] * one["batch_size"]) for look in one["losses"]] for one in shown
        ],
    }
    rows: list[list[Cell]] = [
        [one["batch_size"], one["learning_rate"], int(look[0]), seconds, look[1]]
        for one in finalists
        for look, seconds in zip(one["losses"], _looks(one)[0], strict=True)
    ]
    header = ["batch size", "learning rate", "updates", "seconds", "validation loss"]
    positive = bool(losses) and min(losses) > 0
    return Plot(
        name="race",
        title="The race",
        figure=figure(traces, "seconds", "validation loss", log_y=positive),
        table=Table(header, rows, caption="Validation losses of the finalists during the race"),
        caption="Coloured: those that ran to the end. Grey: trials that left the race. The rates "
        "are constant after a short rise.",
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
            _bytes(one["peak_memory"]),
        ]
        for one in lines
    ]
    traces = [line("measured", sizes, costs)]
    return Plot(
        name="seconds-per-update",
        title="Seconds per update",
        figure=figure(traces, "rows per update", "seconds per update", log_x=True, log_y=True),
        table=Table(
            ["batch size", "time per update", "rows per second", "memory of an update"],
            rows,
            caption="What an update costs on this machine",
        ),
        caption="Where the line is flat, a larger batch costs nothing; where it rises with the "
        "batch, a row costs the same in any batch. Reading the rows is included.",
        log_x=True,
        log_y=True,
    )


def scale_plot(measured: Sequence[Record]) -> Plot:
    """The noise scale at each time it was measured."""
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
    rows: list[list[Cell]] = [
        [one["updates"], one["noise_scale"], *one["interval"], one.get("rows")] for one in measured
    ]
    return Plot(
        name="noise-scale",
        title="Noise scale, with its 90 % interval",
        figure=figure([trace], "updates", "rows", log_y=True),
        table=Table(
            ["updates", "noise scale", "from", "to", "rows looked at"],
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
        name = f"after {one['updates']:,} updates" if one["updates"] else "at the start"
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
        title="How well a batch points the right way",
        figure=figure(traces, "rows per update", "cosine to the true gradient", log_x=True),
        table=Table(header, rows, caption="Cosine between a batch's gradient and the true one"),
        caption="1: the direction of the gradient over all rows; 0: any other. The area holds "
        "nine in ten batches at the last measurement.",
        log_x=True,
    )


def span_text(seconds: float) -> str:
    """A time as people write it."""
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _ring(x: float, y: float, *, size: int) -> Trace:
    """A ring round what is advised."""
    ring = points("advised", [x], [y], 2, size=size)
    marker = {**ring["marker"], "symbol": "circle-open", "line": {"width": 3}}
    return {**ring, "marker": marker}


def _looks(trial: Record) -> tuple[list[float], list[float | None]]:
    """Seconds and losses of a trial's looks; a loss that exploded is left out."""
    per_update = trial["seconds"] / max(1, trial["updates"])
    return [look[0] * per_update for look in trial["losses"]], [look[1] for look in trial["losses"]]


def _name(trial: Record) -> str:
    return f"{trial['batch_size']:,} rows at {number_text(trial['learning_rate'])}"


def _column(lines: Sequence[Record], name: str) -> list[Any]:
    return [one[name] for one in lines]


def _bytes(number: float | None) -> str:
    if number is None:
        return "—"
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"
