"""How good a model is, which columns matter and where it fails: sections of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.units import count_text
from descend.reporting.assessed import assessed_metrics, assessed_target
from descend.reporting.html import number_text, three_text
from descend.reporting.page_model import Cell, Ranged, Section, Table
from descend.reporting.plots.model import (
    calibration_plot,
    confusion_plot,
    dependence_plot,
    error_plot,
    importance_plot,
    precision_recall_plot,
    predictions_plot,
    residuals_plot,
    roc_plot,
    slice_plot,
    target_plot,
)
from descend.reporting.text.losses import recorded_target
from descend.reporting.text.records import NAMES, metric_text, round_metric, trivial_text

Record = Mapping[str, Any]


def model_sections(record: Record, assessment: Record) -> list[Section]:
    """How good the model is, which columns matter, and where it fails."""
    result = record.get("result")
    if result is None:
        return []
    sections = []
    if assessment.get("failed"):
        text = f"The figures of the model could not be made: {assessment['failed']}."
        sections.append(Section("What is missing here", warnings=[text]))
    if result["metrics"].get("model"):
        plots = []
        if "points" in assessment:
            plots = [predictions_plot(assessment)]
            if len(assessment["residuals"]["along"]) > 1:  # A single point is no chart.
                plots.append(residuals_plot(assessment))
        if "confusion" in assessment:
            plots = [confusion_plot(assessment), calibration_plot(assessment)]
            if assessment.get("curves"):
                plots += [roc_plot(assessment), precision_recall_plot(assessment)]
        tables = [_metrics_table(record, assessment)]
        if assessment.get("classes", 0) > 2:
            tables.append(_classes_table(assessment))
        sections.append(
            Section(
                "How good it is",
                tables=tables,
                plots=plots,
                text=[
                    *_subject_notes(record, assessment),
                    *_sample_notes(record["settings"], assessment),
                ],
            )
        )
    if assessment.get("importance"):
        left_out = assessment.get("columns_left_out") or 0
        sections.append(
            Section(
                "Which columns matter, and how",
                text=[f"{count_text(left_out, 'column')} not measured, to keep this short."]
                if left_out
                else [],
                plots=[
                    importance_plot(assessment),
                    *(dependence_plot(assessment, n) for n in range(len(assessment["dependence"]))),
                ],
            )
        )
    if assessment.get("worst"):
        plots = [slice_plot(assessment, n) for n in range(len(assessment.get("slices") or ()))]
        plots += [target_plot(assessment)]
        plots += [error_plot(assessment)] if "residuals" in assessment else []
        sections.append(Section("Where it fails", plots=plots, tables=[_worst_table(assessment)]))
    return sections


def _subject_notes(record: Record, assessment: Record) -> list[str]:
    """Of which target, and of which quantile, the charts are."""
    names = record["result"]["metrics"]["model"]
    target = assessed_target(names, assessment)
    if target:
        listed = recorded_target(record).get("names")
        count = len(listed) if isinstance(listed, list) else 0
        of = f", the first of {count} targets" if count else ", the first target"
        return [
            f"The charts of this page, and the comparison with a linear model, are of {target}{of}."
        ]
    if "points" in assessment and record["settings"].get("quantiles"):
        return [
            "The charts of this page, and the comparison with a linear model, are of the predicted "
            "median (quantile 0.5)."
        ]
    return []


def _sample_notes(settings: Record, assessment: Record) -> list[str]:
    """On which rows the figures are, and whether some count more than others."""
    notes = []
    rows = assessment.get("rows")
    if rows and rows["used"] != rows["validation"]:
        notes.append(
            f"The intervals and the figures are from {rows['used']:,} of the "
            f"{rows['validation']:,} validation rows, drawn at random."
        )
    if assessment.get("weighted"):
        column = settings.get("weight")
        by = f"its weight in the column {column}" if column else "its weight"
        notes.append(
            f"A row counts by {by} in every metric, mean, share and curve; numbers of rows, the "
            "histograms and the errors by size of the prediction count each row once."
            if "residuals" in assessment
            else f"A row counts by {by} in every metric, share and curve; numbers of rows count "
            "each row once."
        )
    return notes


def _metrics_table(record: Record, assessment: Record) -> Table:
    model, baseline = (record["result"]["metrics"][name] for name in ("model", "baseline"))
    known = assessed_metrics(model, assessment)
    names = [name for name in NAMES if name in model] + [
        name for name in model if name not in NAMES
    ]
    more = [name for name in known if name not in names and assessed_target(model, assessment)]
    model = {**model, **{name: known[name]["model"] for name in more}}
    baseline = {**baseline, **{name: known[name]["trivial"] for name in more}}
    names += more
    linear = any((known.get(name) or {}).get("linear") is not None for name in names)
    rows: list[list[Cell]] = []
    for name in names:
        one = known.get(name) or {}
        value: Cell = round_metric(name, model.get(name))
        if one.get("low") is not None and model.get(name) is not None:
            ends = (three_text(one["low"]), three_text(one["high"]))
            value = Ranged(number_text(round_metric(name, model[name])), " to ".join(ends))
        row: list[Cell] = [metric_text(name), value]
        row += [one.get("linear")] if linear else []
        rows.append([*row, round_metric(name, baseline.get(name))])
    measured = any(one.get("low") is not None for one in known.values())
    header = ["on validation rows", "model, with 90 % interval" if measured else "model"]
    header += ["linear model"] if linear else []
    caption = "The model beside simpler predictions"
    if linear and (values := assessment.get("linear_values")):
        caption += f"; of categories, the linear model sees the {values} commonest values"
    return Table([*header, trivial_text(names)], rows, caption=caption)


def _classes_table(assessment: Record) -> Table:
    rows: list[list[Cell]] = [
        [one["class"], one["rows"], one["precision"], one["recall"]]
        for one in assessment["per_class"]
    ]
    return Table(["class", "rows", "precision", "recall"], rows, caption="By class")


def _worst_table(assessment: Record) -> Table:
    worst = assessment["worst"]
    columns = list(worst[0]["values"])
    classes = "class_counts" in assessment
    last = "probability of the true class" if classes else "predicted − true"
    rows: list[list[Cell]] = [
        [
            one["truth"],
            one["predicted"],
            one["probability"] if classes else one["error"],
            *(_input_cell(one["values"][name]) for name in columns),
        ]
        for one in worst
    ]
    return Table(
        [f"true {assessment['target']}", "predicted", last, *columns],
        rows,
        caption="The validation rows with the largest loss, and their most important columns",
        row_headers=False,
    )


def _input_cell(value: object) -> Cell:
    """A value of a column as a table has it: 1040 may be the number of a shop, 2016 a year."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Ranged(f"{value:.15g}".replace("-", "−"), "")
    return None if value is None else str(value)
