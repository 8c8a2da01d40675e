"""The plots of a comparison: when each method reached the target, and the loss curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import three
from descend.reporting.measures import arrived_text
from descend.reporting.page_model import Cell, Plot, Table
from descend.reporting.plots.figures import Trace, error_bars, figure, line, points, with_size_ticks

Record = Mapping[str, Any]

AXES = (
    ("seconds", "seconds"),
    ("updates", "update"),
    ("epochs", "epoch"),
    ("rows seen", "examples"),
)
RULES = {"sgd": "plain", "momentum": "with momentum"}
MOST_POINTS = 400
WIDTH = 1.645
"""Standard errors of a 90 % interval."""
APART = 1.12
"""Factor between markers at one batch size, so that none hides another."""


def arrival_plot(record: Record) -> Plot:
    """Seconds to the target against rows per update, a line for each update rule."""
    traces: list[Trace] = []
    methods = [one for one in record["table"] if one["panel"] == "tuned"]
    times = {one["method"]["name"]: _times(record, one["method"]["name"]) for one in methods}
    for place, rule in enumerate(dict.fromkeys(map(_rule, methods))):
        came: list[tuple[int, float, float, float]] = []
        lost: list[tuple[int, float]] = []
        for one in sorted((one for one in methods if _rule(one) == rule), key=_size):
            known, budget = times[one["method"]["name"]]
            if 2 * len(known) > one["runs"]:
                late = [math.inf] * (one["runs"] - len(known))
                middle = statistics.median([*known, *late])
                came.append((_size(one), middle, known[0], known[-1]))
            else:
                lost.append((_size(one), budget))
        if came:
            shifted = [(size * APART**place, *rest) for size, *rest in came]
            traces.append(_rule_trace(rule, shifted, place))
        if lost:
            name = f"{rule}: most not within the budget"
            trace = points(name, [x * APART**place for x, _ in lost], [y for _, y in lost], place)
            trace["marker"] = {**trace["marker"], "symbol": "triangle-up-open", "size": 12}
            traces.append(trace)
    rows: list[list[Cell]] = [
        [
            one["method"]["title"],
            _size(one),
            arrived_text(one),
            ", ".join(map(three, times[one["method"]["name"]][0])) or None,
        ]
        for one in methods
    ]
    return Plot(
        name="arrival",
        title="Seconds to the target",
        figure=with_size_ticks(
            figure(traces, "rows per update", "seconds", log_x=True, log_y=True),
            sorted({_size(one) for one in methods}),
        ),
        table=Table(
            ["method", "rows per update", "reached the target", "seconds, for each seed"],
            rows,
            caption="Seconds to the target",
        ),
        caption="Bars reach from the fastest seed to the slowest. An open triangle: most seeds "
        "had not reached the target when the budget was used up. Markers at one size are drawn a "
        "little apart.",
        log_x=True,
        log_y=True,
    )


def curves_plot(record: Record, panel: str, title: str) -> Plot:
    """Validation loss of the first seed's runs; beside a mini-batch at SGD's rate, those of SGD."""
    runs = [run for run in record["runs"] if run["panel"] == panel]
    if panel == "rate-of-sgd":
        tuned = (run for run in record["runs"] if run["panel"] == "tuned")
        runs = [*(run for run in tuned if run["method"]["family"] == "stochastic"), *runs]
    first = min(run["seed"] for run in runs)
    shown = [run for run in runs if run["seed"] == first]
    sizes = list(dict.fromkeys(run["method"]["batch_size"] for run in shown))
    traces: list[Trace] = []
    choices: dict[str, list[list[float]]] = {axis: [] for axis, _ in AXES}
    rows: list[list[Cell]] = []
    for number, run in enumerate(shown):
        history = thin_columns(run["history"])
        basic = run["method"]["optimizer"] in RULES
        # One colour for each batch size; an added method has a colour of its own.
        place = sizes.index(run["method"]["batch_size"]) if basic else len(sizes) + number
        traces.append(
            line(
                run["method"]["title"],
                history["seconds"],
                history["validation_loss"],
                place,
                dash="dot" if run["method"]["optimizer"] == "sgd" else "solid",
            )
        )
        for axis, name in AXES:
            choices[axis].append(history[name])
        step = max(1, len(history["update"]) // 8)
        for point in range(0, len(history["update"]), step):
            counts = (history[name][point] for _, name in AXES)
            rows.append([run["method"]["title"], *counts, history["validation_loss"][point]])
    losses = [loss for trace in traces for loss in trace["y"] if loss is not None]
    positive = bool(losses) and min(losses) > 0
    return Plot(
        name=f"curves-{panel}",
        title=f"Validation loss, {title}",
        figure=figure(traces, AXES[0][0], "validation loss", log_y=positive),
        table=Table(
            ["method", *(axis for axis, _ in AXES), "validation loss"],
            rows,
            caption="Validation loss at some of the evaluations",
        ),
        caption=f"The runs of seed {first}. Dotted lines are without momentum.",
        x_choices=choices,
        log_x=True,
        log_y=positive,
    )


def _rule_trace(rule: str, came: Sequence[Sequence[float]], place: int) -> Trace:
    trace = line(rule, [one[0] for one in came], [one[1] for one in came], place)
    middles = [one[1] for one in came]
    lows, highs = [one[2] for one in came], [one[3] for one in came]
    trace["error_y"] = error_bars(middles, lows, highs)
    return trace


def _times(record: Record, name: str) -> tuple[list[float], float]:
    """Seconds to the target of the tuned runs that reached it, and of the longest run."""
    own = [
        run["measures"]
        for run in record["runs"]
        if run["panel"] == "tuned" and run["method"]["name"] == name
    ]
    came = sorted(one["seconds_to_target"] for one in own if one["seconds_to_target"] is not None)
    return came, max(one["seconds"] for one in own)


def _rule(one: Record) -> str:
    rule = str(one["method"]["optimizer"])
    return RULES.get(rule, rule)


def _size(one: Record) -> int:
    return int(one["method"]["batch_size"])


def thin_columns(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """At most `MOST_POINTS` evaluations of a history, the first and the last among them."""
    count = len(history["update"])
    places = sorted({round(n * (count - 1) / (MOST_POINTS - 1)) for n in range(MOST_POINTS)})
    return {name: [values[place] for place in places] for name, values in history.items()}


def noise_plot(record: Record) -> Plot:
    """The variance of the gradient against the batch size, beside the line of 1/B."""
    noise = record["noise"]
    total = int(record["data"]["rows"]["training"])
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    for place, when in enumerate(dict.fromkeys(str(one["when"]) for one in noise)):
        known = [one for one in noise if one["when"] == when and one["deviation"] > 0]
        if not known:
            continue
        sizes = [int(one["rows"]) for one in known]
        variances = [one["deviation"] ** 2 for one in known]
        # The logarithm of the variance has twice the error of that of the deviation.
        spreads = [math.exp(2 * WIDTH * min(one["error"], 5.0)) for one in known]
        trace = points(when, sizes, variances, place)
        trace["error_y"] = error_bars(
            variances,
            [v / s for v, s in zip(variances, spreads, strict=True)],
            [v * s for v, s in zip(variances, spreads, strict=True)],
        )
        scale = statistics.fmean(
            math.log(v / (1 / b - 1 / total)) for v, b in zip(variances, sizes, strict=True)
        )
        law = line(f"{when}: 1/B", sizes, [math.exp(scale) / b for b in sizes], place, dash="dot")
        traces += [trace, {**law, "mode": "lines"}]
        rows += [[when, b, v] for b, v in zip(sizes, variances, strict=True)]
    table = Table(
        ["weights", "rows per batch", "variance over squared length"],
        rows,
        caption="Variance of the gradient by batch size",
    )
    ticks = sorted({int(one["rows"]) for one in noise})
    drawn = figure(traces, "rows per batch, B", "variance / |G|²", log_x=True, log_y=True)
    return Plot(
        name="noise",
        title="How far the gradient of a batch is off",
        figure=with_size_ticks(drawn, ticks),
        table=table,
        caption="Mean squared distance of a batch's gradient from the true gradient G, over the "
        "squared length of G, at the weights of the first seed. Four times the rows: a quarter of "
        "the variance, half the distance (dotted line, 1/B). Where the value is 1, noise and "
        "gradient are equally large; close to all rows it falls faster, for the rows are drawn "
        "without repeats.",
        log_x=True,
        log_y=True,
    )
