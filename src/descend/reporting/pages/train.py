"""The page of a training run, from its record, its history and its assessment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import bytes_text, count_text, span_text
from descend.reporting.checks import assessment_line, best_line, checks_of, ending_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, KeyFigure, Page, Ranged, Section, Summary, Table
from descend.reporting.pages.advice import advice_sections
from descend.reporting.plots.figures import loss_plot, rate_plot
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
from descend.reporting.progress import clock_time
from descend.reporting.text.records import NAMES, chosen_rate, rounded, subject
from descend.types import History

Record = Mapping[str, Any]

IN_OPTIMIZER = "in your optimizer"
"""Where the learning rate of a run is, if the user passed an Optax transformation."""


def train_page(record: Record, history: History, assessment: Record | None = None) -> Page:
    """The page of a training run.

    Args:
        record: what run.json holds; that of an unfinished run will do.
        history: of the run.
        assessment: what assessment.json holds; None for runs without one.
    """
    files = ["run.json", "history.csv", *(["assessment.json"] if assessment else [])]
    return Page(
        train_title(record),
        train_summary(record, history, assessment),
        train_sections(record, history, assessment),
        f"Made by descend {record.get('descend', '')} from {', '.join(files)}.",
    )


def train_title(record: Record) -> str:
    """Like `Predicting cnt from bike_sharing.csv`."""
    if record.get("name"):
        return str(record["name"])
    return f"{'Training' if record.get('own') else 'Predicting'} {subject(record)}"


def train_summary(
    record: Record, history: History = (), assessment: Record | None = None
) -> Summary:
    """How good the model is, what to know before using it, and what it cost."""
    result = record.get("result")
    if result is None:
        return _running_summary(record, history)
    checks = checks_of(record, history, assessment)
    sentence, tone = assessment_line(checks)
    return Summary(
        _quality_sentence(record),
        [
            *_metric_figures(result["metrics"], assessment or {}),
            KeyFigure(
                "Training time",
                span_text(result["seconds"]),
                f"{count_text(result['updates'], 'update')}, "
                f"{number_text(result['epochs'])} epochs",
            ),
        ],
        outcome=sentence,
        tone=tone,
        checks=checks,
        facts=facts_text(record),
    )


def train_sections(
    record: Record, history: History, assessment: Record | None = None
) -> list[Section]:
    """The model first, then how it was trained, then its data and settings."""
    return [
        *_model_sections(record, assessment or {}),
        _training_section(record, history),
        _setting_section(record),
        *advice_sections(record.get("advice") or {}),
        _data_section(record),
        _settings_section(record),
    ]


def facts_text(record: Record) -> str:
    """When and where a run was made, in one line; what is not known is left out."""
    machine = record.get("machine") or {}
    parts = [str(record["note"])] if record.get("note") else []
    if record.get("started"):
        parts.append(str(record["started"]).replace("T", " ").removesuffix("+00:00") + " UTC")
    rows = record["data"]["rows"]
    parts.append(f"{rows['total']:,} rows" if rows.get("total") else f"{rows['training']:,} rows")
    if machine.get("processor"):
        parts.append(str(machine["processor"]))
    if machine.get("cores"):
        parts.append(count_text(int(machine["cores"]), "core"))
    if machine.get("memory"):
        parts.append(f"{bytes_text(machine['memory'])} memory")
    device = str(record.get("device", ""))
    parts += [device] if device and not device.startswith("cpu") else []
    parts.append(f"descend {record.get('descend', '')}")
    return " · ".join(part for part in parts if part.strip())


def _running_summary(record: Record, history: History) -> Summary:
    """What is known while a run trains."""
    best = best_line(history)
    figures = []
    if history and best is not None:
        last = history[-1]
        budget, epochs = (record["settings"].get(name) for name in ("time_budget", "epochs"))
        left = []
        if budget:
            left.append(budget - last.seconds)
        if epochs and last.epoch > 0:
            left.append((epochs - last.epoch) * last.seconds / last.epoch)
        rows = last.examples / last.seconds if last.seconds > 0 else 0.0
        since = sum(one.update > best.update for one in history)
        patience = record["settings"].get("patience")
        note = "left at most" if left else "no limit but the stopping rule"
        figures = [
            KeyFigure("Epoch", number_text(round(last.epoch, 2)), f"of {epochs}" if epochs else ""),
            KeyFigure("Elapsed", clock_time(last.seconds), f"{rows:,.0f} rows/s"),
            KeyFigure("Time left", clock_time(max(0.0, min(left))) if left else "—", note),
            KeyFigure("Validation loss", number_text(last.validation_loss), "now"),
            KeyFigure(
                "Best", number_text(best.validation_loss), f"at epoch {number_text(best.epoch)}"
            ),
            KeyFigure(
                "Since the best",
                count_text(since, "evaluation"),
                f"the learning rate is lowered after {patience}" if patience else "",
            ),
        ]
    state = str(record.get("state", "unknown"))
    outcome = (
        "Training is running."
        if state == "running"
        else f"State: {state}. To go on, type {_goes_on(record)}"
    )
    return Summary(
        "This run is not finished. The figures below are those of the last evaluation.",
        [*figures, *_setting_figures(record)],
        outcome=outcome,
        facts=facts_text(record),
    )


def _goes_on(record: Record) -> str:
    return "descend.fit(..., resume=True)." if record.get("own") else "descend resume RUN."


def _quality_sentence(record: Record) -> str:
    metrics, rows = record["result"]["metrics"], record["data"]["rows"]["validation"]
    held_out = f"On {count_text(rows, 'row')} that it was not trained on"
    if not {"accuracy", "mae"} & metrics.get("model", {}).keys():
        loss = number_text(record["result"]["best_validation_loss"])
        return f"{held_out}, the model has a mean loss of {loss}."
    model, baseline = metrics["model"], metrics["baseline"]
    target = "the target" if record.get("own") else record["settings"]["target"]
    if "accuracy" in model:
        return (
            f"{held_out}, the model predicts {target} correctly {_percent(model['accuracy'])} of "
            "the time; always predicting the most frequent class is correct "
            f"{_percent(baseline['accuracy'])} of the time."
        )
    return (
        f"{held_out}, the model's predictions of {target} are off by "
        f"{number_text(model.get('mae'))} on average; always predicting the mean is off by "
        f"{number_text(baseline.get('mae'))}."
    )


def _metric_figures(
    metrics: Mapping[str, Mapping[str, float | None]], assessment: Record
) -> list[KeyFigure]:
    model, baseline = metrics.get("model", {}), metrics.get("baseline", {})
    known = assessment.get("metrics") or {}
    figures = []
    named = ("r2", "rmse", "mae", "accuracy", "log_loss", "auc")
    for name in (*named, *(one for one in model if one not in named)):
        if name not in model:
            continue
        one = known.get(name) or {}
        notes = []
        if one.get("low") is not None:
            notes.append(f"{number_text(_three(one['low']))} to {number_text(_three(one['high']))}")
        if baseline.get(name) is not None:
            notes.append(_beside(name, baseline[name]))
        if one.get("linear") is not None:
            notes.append(f"linear: {number_text(_three(one['linear']))}")
        figures.append(KeyFigure(NAMES.get(name, name), number_text(model[name]), "; ".join(notes)))
    return figures


def _setting_figures(record: Record) -> list[KeyFigure]:
    settings = record["settings"]
    figures = [
        KeyFigure("Batch size", _value_text(settings["batch_size"]), _origin(record, "batch_size"))
    ]
    if chosen_rate(record) is None:
        return [*figures, KeyFigure("Learning rate", IN_OPTIMIZER)]
    rate = _value_text(settings["learning_rate"])
    return [*figures, KeyFigure("Learning rate", rate, _origin(record, "learning_rate"))]


def _origin(record: Record, name: str) -> str:
    """Where a setting comes from; for a measured one, which others would do as well."""
    if record["asked"].get(name) != "auto":
        return "as asked"
    if not record.get("advice"):
        return "a fixed default"
    region = {"batch_size": "flat_region", "learning_rate": "interval"}[name]
    low, high = (_value_text(end) for end in record["advice"][region])
    return "measured" if low == high else f"measured: {low} to {high} do about as well"


def _model_sections(record: Record, assessment: Record) -> list[Section]:
    """How good the model is, which columns matter, and where it fails."""
    result = record.get("result")
    if result is None:
        return []
    sections = []
    if assessment.get("failed"):
        text = f"The figures of the model could not be made: {assessment['failed']}."
        sections.append(Section("What is missing here", warnings=[text]))
    if result["metrics"]:
        plots = []
        if "points" in assessment:
            plots = [predictions_plot(assessment), residuals_plot(assessment)]
        if "confusion" in assessment:
            plots = [confusion_plot(assessment), calibration_plot(assessment)]
            if assessment.get("curves"):
                plots += [roc_plot(assessment), precision_recall_plot(assessment)]
        tables = [_metrics_table(record, assessment)]
        if assessment.get("classes", 0) > 2:
            tables.append(_classes_table(assessment))
        sections.append(
            Section("How good it is", tables=tables, plots=plots, text=_used(assessment))
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


def _used(assessment: Record) -> list[str]:
    rows = assessment.get("rows")
    if not rows or rows["used"] == rows["validation"]:
        return []
    return [
        f"The intervals and the figures are from {rows['used']:,} of the {rows['validation']:,} "
        "validation rows, drawn at random."
    ]


def _metrics_table(record: Record, assessment: Record) -> Table:
    model, baseline = (record["result"]["metrics"][name] for name in ("model", "baseline"))
    trivial = "most frequent class" if "accuracy" in model else "mean"
    known = assessment.get("metrics") or {}
    names = [name for name in NAMES if name in model] + sorted(set(model) - set(NAMES))
    linear = any((known.get(name) or {}).get("linear") is not None for name in names)
    rows: list[list[Cell]] = []
    for name in names:
        one = known.get(name) or {}
        value: Cell = rounded(name, model.get(name))
        if one.get("low") is not None and model.get(name) is not None:
            ends = (number_text(_three(one["low"])), number_text(_three(one["high"])))
            value = Ranged(number_text(rounded(name, model[name])), " to ".join(ends))
        row: list[Cell] = [NAMES.get(name, name), value]
        row += [one.get("linear")] if linear else []
        rows.append([*row, rounded(name, baseline.get(name))])
    header = ["on validation rows", "model, with 90 % interval" if known else "model"]
    header += ["linear model"] if linear else []
    return Table(
        [*header, f"always the {trivial}"],
        rows,
        caption="The model beside simpler predictions",
    )


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
            *(one["values"][name] for name in columns),
        ]
        for one in worst
    ]
    return Table(
        [f"true {assessment['target']}", "predicted", last, *columns],
        rows,
        caption="The validation rows with the largest loss, and their most important columns",
        row_headers=False,
    )


def _training_section(record: Record, history: History) -> Section:
    if not history:
        return Section("How it was trained", text=["Nothing has been measured yet."])
    best = best_line(history)
    result = record.get("result") or {}
    text = [ending_text(result, history, bool(record.get("own")))] if result else []
    if best is not None:
        text.append(
            f"The {'saved' if result else 'best'} model is the one after "
            f"{count_text(best.update, 'update')} ({number_text(best.epoch)} epochs): validation "
            f"loss {number_text(best.validation_loss)}."
        )
    if result.get("lowerings"):
        text.append(
            f"The learning rate was lowered {_times(result['lowerings'])} "
            "when the validation loss no longer improved."
        )
    if result.get("rescues"):
        text.append(
            f"The loss exploded {_times(result['rescues'])}: training went back to the last good "
            "weights and went on with a lower learning rate."
        )
    runs = {"this run": history}
    plots = [loss_plot(runs)]
    if chosen_rate(record) is None:
        text.append("The learning rate is part of the optimizer that you passed, so not shown.")
    elif len(history) > 1:
        plots.append(rate_plot(runs))
    return Section("How it was trained", text=text, plots=plots)


def _setting_section(record: Record) -> Section:
    figures = _setting_figures(record)
    rows: list[list[Cell]] = [[one.label, one.value, one.note] for one in figures]
    table = Table(["", "used", "from"], rows, caption="Batch size and learning rate")
    again = []
    if record.get("advice") and not record.get("own"):
        size, rate = (record["settings"][name] for name in ("batch_size", "learning_rate"))
        again = [f"--batch-size {size} --learning-rate {rate:g}"]
    return Section(
        "Batch size and learning rate",
        text=["To train again without measuring, add:"] if again else [],
        tables=[table],
        code=again,
    )


def _data_section(record: Record) -> Section:
    data = record["data"]
    rows = data["rows"]
    counts = Table(
        header=["rows", "count"],
        rows=[
            ["training", rows["training"]],
            ["validation", rows["validation"]],
            ["left out: no target", rows.get("missing_target", 0)],
            ["left out: no weight", rows.get("unweighted", 0)],
            ["in the table", rows["total"]],
        ],
        caption="What became of the rows",
    )
    columns = Table(
        header=["column", "type", "becomes", "values", "missing", "distinct", "remark"],
        rows=[
            [
                *(str(column[name]) for name in ("name", "type", "becomes", "values")),
                column["missing"],
                distinct_cell(column, rows["training"]),
                str(column["remark"]),
            ]
            for column in data["columns"]
        ],
        caption="The arrays of a row"
        if record.get("own")
        else f"{count_text(len(data['columns']), 'column')} besides the target",
    )
    return Section(
        "Data",
        text=[part for part in (data.get("task_reason"), _source_text(data)) if part],
        warnings=[str(warning) for warning in data.get("warnings", ())],
        tables=[counts, columns],
    )


def distinct_cell(column: Record, rows: int) -> Cell:
    """Distinct values of a column; an estimate is never above the number of rows."""
    distinct = column["distinct"]
    return None if distinct is None else min(int(distinct), max(int(rows), 0) or int(distinct))


def _settings_section(record: Record) -> Section:
    asked, used = record["asked"], record["settings"]
    unlike = [name for name, value in used.items() if asked.get(name) != value]
    alike = [name for name in used if name not in unlike]
    if chosen_rate(record) is None:
        used = {**used, "learning_rate": IN_OPTIMIZER}
    changed = Table(
        header=["setting", "asked", "used"],
        rows=[
            [name.replace("_", " "), _value_text(asked.get(name)), _value_text(used[name])]
            for name in unlike
        ],
        caption="Settings that descend decided",
    )
    same = Table(
        header=["setting", "used"],
        rows=[[name.replace("_", " "), _value_text(used[name])] for name in alike],
        caption="All other settings, used as asked",
        folded=True,
    )
    machine = record.get("machine") or {}
    where = Table(
        header=["part", "version or name"],
        rows=[
            ["descend", str(record.get("descend", ""))],
            *([name, str(version)] for name, version in record.get("versions", {}).items()),
            ["device", str(record.get("device", ""))],
            *([[key, _machine_text(key, machine[key])] for key in machine if machine[key]]),
            *([["started", str(record["started"])]] if record.get("started") else []),
            *([["ended", str(record["ended"])]] if record.get("ended") else []),
        ],
        caption="When and where it ran",
    )
    command = record.get("command")
    typed = [f"descend {shlex.join(str(word) for word in command)}"] if command else []
    tables = [*([changed] if unlike else []), where, same]
    return Section("Settings", code=typed, tables=tables)


def _machine_text(key: str, value: Any) -> str:
    return bytes_text(value) if key == "memory" else str(value)


def _source_text(data: Record) -> str:
    return f"Read from {data['source']}." if data.get("source") else ""


def _value_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ", ".join(str(one) for one in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:,}" if isinstance(value, int) else number_text(value)


def _beside(name: str, trivial: float | None) -> str:
    """The metric of the trivial prediction; its R² is 0 but for chance."""
    if trivial is not None and name == "r2" and abs(trivial) < 0.01:
        return "trivial: 0"
    return f"trivial: {number_text(_three(trivial))}"


def _three(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.3g} %"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
