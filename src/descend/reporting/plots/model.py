"""The plots of a model: predictions against the truth, curves of a classifier, columns, errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import count_text, date_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, Figure, Plot, Table
from descend.reporting.plots.by_name import by_name
from descend.reporting.plots.colours import FADED, SHARES
from descend.reporting.plots.figures import (
    Trace,
    band,
    bars,
    error_bars,
    figure,
    heatmap,
    line,
    named_ticks,
    points,
)

Record = Mapping[str, Any]

MOST_COLUMNS = 15
FEW_VALUES = 4
"""A column of at most this many values is drawn as points: nothing lies between them."""
FEW_ROWS = 10
"""Rows of a slice below which the range over its rows says little."""
APART = " The model can learn every value by itself, so no line joins them."
EFFECT = ("column", "importance", "low", "high")


def predictions_plot(assessment: Record) -> Plot:
    """Predicted against true values of some rows, with the line on which both agree."""
    truth, predicted = (assessment["points"][name] for name in ("truth", "predicted"))
    ends = [min(*truth, *predicted), max(*truth, *predicted)]
    rows = points("a row", truth, predicted, 0, size=5)
    rows["marker"] = {**rows["marker"], "opacity": 0.55}
    drawn = figure(
        [rows, line("prediction = truth", ends, ends, 1, dash="dash")],
        f"true {assessment['target']}",
        f"predicted {assessment['target']}",
    )
    for trace in drawn["data"]:
        trace["hoverinfo"] = "x+y"
    drawn["layout"]["hovermode"] = "closest"
    some = sorted(zip(truth, predicted, strict=True))
    step = max(1, len(some) // 20)
    return Plot(
        name="predictions",
        title="Predicted against true",
        figure=drawn,
        table=Table(
            ["true", "predicted"], [list(one) for one in some[::step]], caption="Some of the rows"
        ),
        caption=f"{len(truth):,} validation rows. The closer to the dashed line, the better.",
        half=True,
    )


def residuals_plot(assessment: Record) -> Plot:
    """The error against the prediction: its middle and the band of nine in ten rows."""
    along = assessment["residuals"]["along"]
    x = [one["predicted"] for one in along]
    traces = [
        band("nine in ten rows", x, [o["low"] for o in along], [o["high"] for o in along], 0),
        line("median error", x, [one["middle"] for one in along], 0),
        line("no error", [x[0], x[-1]], [0.0, 0.0], 1, dash="dash"),
    ]
    return Plot(
        name="residuals",
        title="Error by size of the prediction",
        figure=figure(traces, f"predicted {assessment['target']}", "predicted − true"),
        table=Table(
            ["predicted", "5 % are below", "median error", "5 % are above"],
            [[one["predicted"], one["low"], one["middle"], one["high"]] for one in along],
            caption="Errors by size of the prediction",
        ),
        caption="A median off the dashed line is a systematic error; a band that widens means that "
        "large predictions are less certain.",
        half=True,
    )


def target_plot(assessment: Record) -> Plot:
    """How often each value of the target occurs."""
    if "class_counts" in assessment:
        counts = assessment["class_counts"]
        names, values = [name for name, _ in counts], [count for _, count in counts]
        trace = bars("rows", list(range(len(names))), values, 0)
        drawn = by_name(figure([trace], assessment["target"], "rows", zero=True), names)
        table = Table(["class", "rows"], [list(one) for one in counts], caption="Rows by class")
        caption = "Of the validation rows."
        return Plot("target", "The classes", drawn, table, caption, half=True)
    return _histogram_plot(
        "target", "The target", assessment["target_values"], str(assessment["target"])
    )


def error_plot(assessment: Record) -> Plot:
    """How often each error occurs."""
    return _histogram_plot("errors", "The errors", assessment["residuals"], "predicted − true")


def confusion_plot(assessment: Record) -> Plot:
    """Rows by true and predicted class."""
    names, counts = assessment["confusion"]["classes"], assessment["confusion"]["counts"]
    weighted = "weights" in assessment["confusion"]
    shares = [
        [100 * cell / (sum(row) or 1) for cell in row]
        for row in assessment["confusion"].get("weights", counts)
    ]
    places = list(range(len(names)))
    ground = heatmap(places, places, shares, title="% of the true class")
    ground.update(
        showscale=False,
        zmin=0,
        zmax=100,
        texttemplate="%{z:.0f}",
        hoverinfo="skip",
        colorscale=[list(one) for one in SHARES],
        reversescale=False,
        meta="shares",
    )
    drawn = figure([ground], "predicted", "true")
    drawn = named_ticks(named_ticks(drawn, "x", names), "y", names)
    drawn["layout"]["yaxis"]["autorange"] = "reversed"
    drawn["layout"]["hovermode"] = "closest"
    rows: list[list[Cell]] = [[name, *row] for name, row in zip(names, counts, strict=True)]
    return Plot(
        name="confusion",
        title="Confusion matrix",
        figure=drawn,
        table=Table(["true class", *(f"predicted {name}" for name in names)], rows, caption="Rows"),
        caption=f"Of the {'weight of the ' if weighted else ''}rows of each true class, the "
        "percentage predicted as each class; right predictions are on the diagonal.",
        half=True,
    )


def calibration_plot(assessment: Record) -> Plot:
    """Predicted probabilities against observed frequencies."""
    bins = assessment["calibration"]
    x, y = [one["predicted"] for one in bins], [one["observed"] for one in bins]
    trace = points("rows in bins", x, y, 0)
    trace["error_y"] = error_bars(y, [one["low"] for one in bins], [one["high"] for one in bins])
    positive = assessment.get("curves", {}).get("positive")
    what = f"of {positive}" if positive else "of the predicted class"
    return Plot(
        name="calibration",
        title="Calibration",
        figure=figure(
            [trace, line("perfect", [0.0, 1.0], [0.0, 1.0], 1, dash="dash")],
            f"predicted probability {what}",
            "observed frequency",
        ),
        table=Table(
            ["predicted", "observed", "from", "to", "rows"],
            [
                [one[key] for key in ("predicted", "observed", "low", "high", "rows")]
                for one in bins
            ],
            caption="Probabilities in bins of equal rows, with 90 % intervals",
        ),
        caption="Where points lie below the dashed line, the probabilities are too high; above it, "
        "too low. Bars: 90 % intervals.",
        half=True,
    )


def roc_plot(assessment: Record) -> Plot:
    """The receiver operating characteristic of the second of two classes."""
    curves = assessment["curves"]
    x, y = curves["roc"]
    area = (assessment["metrics"].get("auc") or {}).get("model")
    return Plot(
        name="roc",
        title=f"ROC curve (AUC {number_text(area)})",
        figure=figure(
            [
                line("model", x, y, 0),
                line("guessing", [0.0, 1.0], [0.0, 1.0], 1, dash="dash"),
            ],
            "share of the other class accepted",
            f"share of {curves['positive']} found",
        ),
        table=_curve_table(
            "share of others accepted", f"share of {curves['positive']} found", x, y
        ),
        half=True,
    )


def precision_recall_plot(assessment: Record) -> Plot:
    """Precision against recall of the second of two classes."""
    curves = assessment["curves"]
    x, y = curves["precision_recall"]
    share = curves["share"]
    drawn = figure(
        [line("model", x, y, 0), line("guessing", [0.0, 1.0], [share, share], 1, dash="dash")],
        f"recall: share of {curves['positive']} found",
        "precision",
        zero=True,
    )
    return Plot(
        name="precision-recall",
        title="Precision and recall",
        figure=drawn,
        table=_curve_table("recall", "precision", x, y),
        caption="Precision is the share of the rows predicted as this class that are of it.",
        half=True,
    )


def importance_plot(assessment: Record) -> Plot:
    """The loss of quality when a column is shuffled, with intervals."""
    shown = assessment["importance"][:MOST_COLUMNS][::-1]
    values = [one["importance"] for one in shown]
    trace = points("importance", values, range(len(shown)), 0)
    trace["error_x"] = error_bars(
        values, [one["low"] for one in shown], [one["high"] for one in shown]
    )
    classes = "class_counts" in assessment
    unit = "growth of the log loss" if classes else "drop in R²"
    drawn = named_ticks(
        figure([trace, _zero(len(shown))], unit, ""), "y", [one["column"] for one in shown]
    )
    drawn["layout"]["showlegend"] = False
    drawn["layout"]["hovermode"] = "closest"
    return Plot(
        name="importance",
        title="Importance of the columns",
        figure=drawn,
        table=Table(
            ["column", unit, "from", "to"],
            [[one[key] for key in EFFECT] for one in assessment["importance"]],
            caption=f"Permutation importance: {unit}, with 90 % intervals",
        ),
        caption=f"The {unit} when the values of one column are shuffled between the rows, with "
        "90 % intervals. Columns that say the same share their importance. It describes this "
        "model, not causes.",
        tall=len(shown) > 8,
    )


def dependence_plot(assessment: Record, number: int) -> Plot:
    """The mean prediction when one column is set to each of its values."""
    one = assessment["dependence"][number]
    target = assessment["target"]
    names = one["classes"] or ["mean prediction"]
    title = f"predicted {target}" if not one["classes"] else "mean probability"
    title += f" of {names[0]}" if len(one["classes"]) == 1 else ""
    shared = _common_range(assessment["dependence"])
    drawn: Figure
    apart = bool(one.get("apart"))
    if one["kind"] == "category" or len(one["x"]) <= FEW_VALUES:
        x = list(range(len(one["x"])))
        traces: list[Trace] = [points(name, x, y, at) for at, (name, y) in _each(names, one["y"])]
        drawn = figure(traces, one["column"], title)
        drawn["layout"]["yaxis"]["range"] = shared
        drawn = by_name(drawn, [_value_text(value) for value in one["x"]])
    else:
        drawing = points if apart else line
        traces = [drawing(name, one["x"], y, at) for at, (name, y) in _each(names, one["y"])]
        drawn = figure(traces, one["column"], title)
        drawn["layout"]["yaxis"]["range"] = shared
    return Plot(
        name=f"dependence-{number + 1}",
        title=f"How the prediction depends on {one['column']}",
        figure=drawn,
        table=Table(
            [one["column"], *names],
            [[value, *ys] for value, *ys in zip(one["x"], *one["y"], strict=True)],
            caption="Partial dependence",
        ),
        caption=_dependence_note(assessment, len(names)) + (APART if apart else ""),
        half=True,
    )


def _common_range(dependences: Sequence[Record]) -> list[float]:
    """One vertical axis for all columns, so that a small effect does not look like a large one."""
    values = [y for one in dependences for line_ in one["y"] for y in line_]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - room, high + room]


def _dependence_note(assessment: Record, shown: int) -> str:
    rows = (assessment.get("rows") or {}).get("averaged")
    over = f" over {count_text(rows, 'row')}" if rows else ""
    classes = assessment.get("classes") or 0
    of = f" Shown: the {shown} commonest of {classes:,} classes." if classes > shown > 1 else ""
    return (
        f"The mean prediction{over} when this column alone is set to the value, the other columns "
        "as they are. The vertical axis is the same for all columns. A column that matters and "
        f"looks flat here works together with others.{of}"
    )


def slice_plot(assessment: Record, number: int) -> Plot:
    """The error for each value of a column."""
    one = assessment["slices"][number]
    parts = one["parts"]
    classes = "class_counts" in assessment
    unit = "share of wrong predictions" if classes else "mean absolute error"
    values = [part["error"] for part in parts]
    trace = points(unit, range(len(parts)), values, 0)
    trace["error_y"] = error_bars(
        values, [part["low"] for part in parts], [part["high"] for part in parts]
    )
    if one.get("time"):
        names = [date_text(part["value"]) for part in parts]
    else:
        names = [_plain_zero(str(part["value"])) for part in parts]
    # Records of older versions do not have it; with many values theirs is that of the shown ones.
    shown = sum(part["error"] * part["rows"] for part in parts) / sum(p["rows"] for p in parts)
    mean = one.get("all", shown)
    overall = line("all rows", [0, len(parts) - 1], [mean, mean], 1, dash="dash")
    drawn = by_name(figure([trace, overall], one["column"], unit, zero=True), names)
    rows: list[list[Cell]] = [
        [name, part["rows"], part["error"], part["low"], part["high"]]
        for name, part in zip(names, parts, strict=True)
    ]
    return Plot(
        name=f"slice-{number + 1}",
        title=f"Error {'over' if one.get('time') else 'by'} {one['column']}",
        figure=drawn,
        table=Table(
            [one["column"], "rows", unit, "from", "to"], rows, caption=f"{unit}, 90 % intervals"
        ),
        caption=(
            f"Each point: one of {len(parts)} groups of about as many rows, in the order of "
            f"{one['column']}, named by the date in its middle. "
            if one.get("time")
            else ""
        )
        + _few_rows_note(one["column"], names, parts),
        half=True,
    )


def _few_rows_note(column: str, names: Sequence[str], parts: Sequence[Record]) -> str:
    """Which values have too few rows for a range to mean anything."""
    few = [
        f"{name} ({count_text(part['rows'], 'row')})"
        for name, part in zip(names, parts, strict=True)
        if part["rows"] < FEW_ROWS
    ]
    if not few:
        return "Bars: 90 % intervals."
    listed = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
    return f"Bars: 90 % intervals. They mean little where a value of {column} is rare: {listed}."


def _plain_zero(name: str) -> str:
    """Records of older versions hold the value 0 of some columns as -0."""
    return "0" if name == "-0" else name


def _histogram_plot(name: str, title: str, values: Record, axis: str) -> Plot:
    edges, counts = values["edges"], values["counts"]
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    rows: list[list[Cell]] = [
        [low, high, count] for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    drawn = figure([bars("rows", middles, counts, 0)], axis, "rows", zero=True)
    drawn["layout"]["bargap"] = 0.04
    return Plot(
        name,
        title,
        drawn,
        Table(["from", "to", "rows"], rows, caption=title),
        caption="Of the validation rows. The outermost bars hold what lies beyond.",
        half=True,
    )


def _zero(count: int) -> Trace:
    trace = line("no effect", [0.0, 0.0], [-0.5, count - 0.5], 1, dash="dash")
    return {
        **trace,
        "mode": "lines",
        "hoverinfo": "skip",
        "line": {**trace["line"], "color": FADED},
    }


def _curve_table(x_name: str, y_name: str, x: Sequence[float], y: Sequence[float]) -> Table:
    step = max(1, len(x) // 20)
    rows = [list(one) for one in zip(x, y, strict=True)][::step]
    return Table([x_name, y_name], rows, caption="Some points of the curve")


def _each(names: Sequence[str], values: Sequence[Any]) -> Any:
    return enumerate(zip(names, values, strict=True))


def _value_text(value: object) -> str:
    return number_text(value) if isinstance(value, float) else str(value)
