"""The content of a training run's page, from its record and history."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import count_text, span_text
from descend.reporting.html import number_text
from descend.reporting.page_model import KeyFigure, Page, Section, Summary, Table
from descend.reporting.pages.advice import advice_sections
from descend.reporting.plots.figures import best_line, loss_plot, rate_plot
from descend.reporting.text.records import NAMES, rounded, subject
from descend.types import History

Record = Mapping[str, Any]

TONES = {"NO_IMPROVEMENT": "good", "TARGET_REACHED": "good", "DIVERGED": "bad"}


def train_page(record: Record, history: History) -> Page:
    """The page of a training run.

    Args:
        record: what run.json holds; one of a run that is not finished will do.
        history: of the run.
    """
    return Page(
        train_title(record),
        train_summary(record),
        train_sections(record, history),
        f"Made by descend {record.get('descend', '')} from run.json and history.csv.",
    )


def train_title(record: Record) -> str:
    """Like `Predicting cnt from bike_sharing.csv`."""
    return f"{'Training' if record.get('own') else 'Predicting'} {subject(record)}"


def train_summary(record: Record) -> Summary:
    """How good the model is, what it cost, and why training ended."""
    result = record.get("result")
    if result is None:
        return Summary(
            "This run is not finished: there is no model to judge yet.",
            _setting_figures(record),
            outcome=f"State: {record.get('state', 'unknown')}. {_goes_on(record)} goes on.",
        )
    return Summary(
        _verdict(record),
        [*_metric_figures(result["metrics"]), *_cost_figures(result), *_setting_figures(record)],
        outcome=result["stop_text"],
        tone=TONES.get(result["stop_reason"], "neutral"),
    )


def train_sections(record: Record, history: History) -> list[Section]:
    """The evidence: how it learned, how good it is, on what its settings stand, from which data."""
    return [
        _training_section(record, history),
        *_quality_sections(record),
        *advice_sections(record.get("advice") or {}),
        _data_section(record),
        _settings_section(record),
    ]


def _goes_on(record: Record) -> str:
    return "descend.fit(..., resume=True)" if record.get("own") else "`descend resume`"


def _verdict(record: Record) -> str:
    metrics, rows = record["result"]["metrics"], record["data"]["rows"]["validation"]
    held_out = f"On {rows:,} rows it had not learned from"
    if not metrics:
        loss = number_text(record["result"]["best_validation_loss"])
        return f"{held_out}, the model has a mean loss of {loss}."
    model, baseline = metrics["model"], metrics["baseline"]
    target = "the target" if record.get("own") else record["settings"]["target"]
    if "accuracy" in model:
        return (
            f"{held_out}, the model names {target} rightly {_percent(model['accuracy'])} of the "
            f"time; always saying the commonest class is right {_percent(baseline['accuracy'])}."
        )
    return (
        f"{held_out}, the model's predictions of {target} are off by "
        f"{number_text(model.get('mae'))} on average; always predicting the mean is off by "
        f"{number_text(baseline.get('mae'))}."
    )


def _metric_figures(metrics: Mapping[str, Mapping[str, float | None]]) -> list[KeyFigure]:
    model, baseline = metrics.get("model", {}), metrics.get("baseline", {})
    return [
        KeyFigure(NAMES[name], number_text(model[name]), _beside(name, baseline.get(name)))
        for name in ("r2", "rmse", "accuracy", "log_loss", "auc")
        if name in model
    ]


def _cost_figures(result: Record) -> list[KeyFigure]:
    note = f"{count_text(result['updates'], 'update')}, {number_text(result['epochs'])} epochs"
    return [KeyFigure("Training time", span_text(result["seconds"]), note)]


def _setting_figures(record: Record) -> list[KeyFigure]:
    settings = record["settings"]
    return [
        KeyFigure(
            name.replace("_", " ").capitalize(), _value_text(settings[name]), _origin(record, name)
        )
        for name in ("batch_size", "learning_rate")
    ]


def _origin(record: Record, name: str) -> str:
    """Where a setting comes from; of a measured one, which others would do as well."""
    if record["asked"].get(name) != "auto":
        return "as asked"
    if not record.get("advice"):
        return "a fixed default"
    region = {"batch_size": "flat_region", "learning_rate": "interval"}[name]
    low, high = (_value_text(end) for end in record["advice"][region])
    return "measured" if low == high else f"measured: {low} to {high} do about as well"


def _training_section(record: Record, history: History) -> Section:
    if not history:
        return Section("How it learned", text=["Nothing has been measured yet."])
    best = best_line(history)
    text = []
    if best is not None:
        text.append(
            f"The best weights are those after {count_text(best.update, 'update')} "
            f"({number_text(best.epoch)} epochs): validation loss "
            f"{number_text(best.validation_loss)}."
        )
    result = record.get("result") or {}
    if result.get("lowerings"):
        text.append(
            f"The learning rate was lowered {_times(result['lowerings'])} "
            "when the validation loss no longer improved."
        )
    if result.get("rescues"):
        text.append(
            f"The loss exploded {_times(result['rescues'])}: training went back to the last good "
            "weights and on with a lower learning rate."
        )
    runs = {"this run": history}
    return Section("How it learned", text=text, plots=[loss_plot(runs), rate_plot(runs)])


def _quality_sections(record: Record) -> list[Section]:
    result = record.get("result")
    if result is None or not result["metrics"]:
        return []
    model, baseline = result["metrics"]["model"], result["metrics"]["baseline"]
    trivial = "commonest class" if "accuracy" in model else "mean"
    names = [name for name in NAMES if name in model] + sorted(set(model) - set(NAMES))
    table = Table(
        header=["on validation rows", "model", f"always the {trivial}"],
        rows=[
            [NAMES.get(name, name), *(rounded(name, one.get(name)) for one in (model, baseline))]
            for name in names
        ],
        caption="The model beside the trivial prediction",
    )
    return [Section("How good it is", tables=[table])]


def _data_section(record: Record) -> Section:
    data = record["data"]
    rows = data["rows"]
    counts = Table(
        header=["rows", "count"],
        rows=[
            ["to learn from", rows["training"]],
            ["to judge by (validation)", rows["validation"]],
            ["left out: no target", rows.get("missing_target", 0)],
            ["left out: no weight", rows.get("unweighted", 0)],
            ["in the table", rows["total"]],
        ],
        caption="Where the rows went",
    )
    columns = Table(
        header=["column", "type", "becomes", "values", "missing", "distinct", "remark"],
        rows=[
            [
                *(str(column[name]) for name in ("name", "type", "becomes", "values")),
                column["missing"],
                column["distinct"],
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


def _settings_section(record: Record) -> Section:
    asked, used = record["asked"], record["settings"]
    settings = Table(
        header=["setting", "used", "asked"],
        rows=[
            [
                name.replace("_", " "),
                _value_text(value),
                "the same" if asked.get(name) == value else _value_text(asked.get(name)),
            ]
            for name, value in used.items()
        ],
        caption="Settings: what was asked, and what was used",
    )
    versions = Table(
        header=["part", "version"],
        rows=[
            ["descend", str(record.get("descend", ""))],
            *([name, str(version)] for name, version in record.get("versions", {}).items()),
            ["device", str(record.get("device", ""))],
        ],
        caption="Where it ran",
    )
    command = record.get("command")
    typed = [f"descend {shlex.join(str(word) for word in command)}"] if command else []
    return Section("Settings", code=typed, tables=[settings, versions])


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
    """What the trivial prediction gets; of its R², which is 0 but for chance, no digits."""
    if trivial is not None and name == "r2" and abs(trivial) < 0.01:
        return "trivial: 0"
    return f"trivial: {number_text(trivial)}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.3g} %"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
