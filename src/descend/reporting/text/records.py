"""Runs, models and tables as text, for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from descend.errors import option_text, shell_text
from descend.io.units import bytes_text, count_text, percent_text, span_text
from descend.reporting.checks import checks_of
from descend.reporting.loss_curve import ending_text
from descend.reporting.text.tables import paragraph, table_text
from descend.types import History

_MOST_REASONS = 10

NAMES = {
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "auc": "AUC",
    "pinball": "pinball loss",
    "hinge": "hinge loss",
    "exact_match": "all labels right",
}


BELOW = re.compile(r"below_(0?\.\d+)")
"""The metric of the rows whose target is below a predicted quantile."""


def metric_text(name: str) -> str:
    """The name of a metric as people write it.

    >>> metric_text("rmse"), metric_text("log_loss (kind)"), metric_text("of my own")
    ('RMSE', 'log loss (kind)', 'of my own')
    >>> metric_text("below_0.9")
    'share below quantile 0.9'
    """
    metric, of, target = name.partition(" (")
    if level := BELOW.fullmatch(metric):
        metric = f"share below quantile {level[1]}"
    return f"{NAMES.get(metric, metric)}{of}{target}"


def subject(record: Mapping[str, Any]) -> str:
    """What is learned: `cnt from bike_sharing.csv`, or the name of a custom model."""
    if record.get("own"):
        name = record["own"]["model"]
        return "a custom model" if name == "own" else f"a custom model, {name}"
    target = record.get("settings", {}).get("target", "the target")
    data = record.get("data")
    if data is None:
        return str(target)
    # Both kinds of path separators: the page may be built on another system than the run.
    source = str(data.get("source") or "").replace("\\", "/")
    return f"{target} from {PurePath(source).name if source else 'a table'}"


def metrics_text(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The metrics of the model beside those of the trivial prediction."""
    model, baseline = metrics["model"], metrics["baseline"]
    rows = [
        [
            metric_text(name),
            *(_figure(round_metric(name, one)) for one in (value, baseline[name])),
        ]
        for name, value in sorted(model.items(), key=_place)
    ]
    return table_text(["", "model", trivial_text(model, "commonest class")], rows, numbers=2)


def trivial_text(names: Iterable[str], of_classes: str = "most frequent class") -> str:
    """What the trivial prediction of these metrics is.

    >>> trivial_text(["r2", "rmse"]), trivial_text(["r2 (price)", "accuracy (kind)"])
    ('always the mean', 'always the mean or most frequent class')
    """
    known = {name.partition(" (")[0] for name in names}
    said = (("r2", "mean"), ("pinball", "quantiles of all rows"), ("accuracy", of_classes))
    return f"always the {' or '.join(text for name, text in said if name in known) or 'same'}"


def summary_text(
    record: Mapping[str, Any], folder: Path | None, history: History = (), assessment: Any = None
) -> str:
    """What a user wants to know when a run is over.

    Args:
        record: what run.json holds.
        folder: of the run, or None.
        history: of the run.
        assessment: what assessment.json holds, or None.
    """
    result, settings = record["result"], record["settings"]
    rows = record["data"]["rows"]
    ending = ending_text(result, history)
    lines = [
        metrics_text(result["metrics"])
        if result["metrics"].get("model")
        else f"validation loss {_figure(result['best_validation_loss'])}",
        f"on {count_text(rows['validation'], 'validation row')}; "
        f"trained on {count_text(rows['training'], 'row')}{_skipped(rows)}.",
        "",
        paragraph(
            f"{count_text(result['updates'], 'update')} of "
            f"{batch_text(settings['batch_size'], history)}, "
            f"{epochs_text(result['epochs'])}, {span_text(result['seconds'])}, "
            f"{settings['optimizer']}, {_rate(record)}."
        ),
        paragraph(ending),
    ]
    checks = [
        one
        for one in checks_of(record, history, assessment)
        if one.tone != "good" and one.text not in ending
    ]
    if checks:
        lines += [
            "",
            *(paragraph(f"! {one.name[0].upper()}{one.name[1:]}. {one.text}") for one in checks),
        ]
    left_out = left_out_text(record["data"].get("columns", ()))
    if left_out:
        lines += ["", paragraph(left_out)]
    if folder is not None:
        lines += [
            "",
            f"Run      {folder}",
            f"Report   {folder / 'report.html'}",
        ]
    if folder is not None and not record.get("own"):
        command = f"descend predict {shell_text(str(folder))} DATA -o predictions.csv"
        lines.append(f"Predict  {command}")
    return "\n".join(lines)


def batch_text(batch_size: int, history: History) -> str:
    """The rows of an update, from the first to the last where the batch grew.

    >>> batch_text(32, ())
    '32 rows'
    """
    last = history[-1].batch_size if history else batch_size
    grew = f"{batch_size:,} to " if last != batch_size else ""
    return f"{grew}{count_text(last, 'row')}"


def _rate(record: Mapping[str, Any]) -> str:
    rate = chosen_rate(record)
    return "the learning rate of your optimizer" if rate is None else f"learning rate {rate:.3g}"


def chosen_rate(record: Mapping[str, Any]) -> float | None:
    """The learning rate of a run; None where it is inside the optimizer that the user passed.

    A custom optimizer without a rate of its own is multiplied by 1.
    """
    settings = record["settings"]
    if (record.get("own") or {}).get("optimizer") and settings["learning_rate"] == 1.0:
        return None
    rate: float = settings["learning_rate"]
    return rate


def inspection_text(
    record: Mapping[str, Any], history: History = (), assessment: Any = None
) -> str:
    """What `descend inspect` prints of a table, a model or a run.

    Args:
        record: what `descend.commands.inspect` found.
        history: of a run.
        assessment: what assessment.json of a run holds, or None.
    """
    if record["kind"] == "run":
        return _run_text(record, history, assessment)
    if record["kind"] == "row store":
        return _store_text(record)
    counts = record["rows"]
    besides = " besides the target" if "training" in counts else ""
    columns = count_text(len(record["columns"]), "column")
    rows = count_text(counts["total"], "row")
    lines = [paragraph(f"{record['path']}: {rows}, {columns}{besides}")]
    if record["kind"] == "model":
        lines = [
            paragraph(
                f"{record['path']}: a {record['model']} model with {record['weights']:,} weights "
                f"for {record['task']} of {', '.join(record['target'])}"
            )
        ]
    if "task_reason" in record:
        lines += [
            paragraph(record["task_reason"]),
            paragraph(
                f"{counts['training']:,} training rows, {counts['validation']:,} validation rows"
                f"{_skipped(counts)}."
            ),
        ]
    rows = counts.get("training", counts["total"])
    lines += ["", columns_text(record["columns"], rows, record.get("explains"))]
    if record.get("explains"):
        lines.append(paragraph("explains: the share of the target's variation, each column alone."))
    if record.get("first_rows"):
        lines += ["", _first_rows_text(record["first_rows"])]
    lines += [f"\n{paragraph(note)}" for note in record.get("notes", ())]
    lines += [f"\n{paragraph(f'Warning: {warning}')}" for warning in record["warnings"]]
    lines += [f"\n{paragraph(f'Hint: {hint}')}" for hint in record.get("hints", ())]
    return "\n".join(lines)


def _skipped(counts: Mapping[str, int]) -> str:
    parts = [
        f"{counts[name]:,} {why}"
        for name, why in (("missing_target", "without target"), ("unweighted", "without weight"))
        if counts.get(name)
    ]
    return f"; skipped: {', '.join(parts)}" if parts else ""


def _store_text(record: Mapping[str, Any]) -> str:
    counts = record["rows"]
    files = ", ".join(file["path"] for file in record["made_from"]["files"])
    shapes = [f"{name} {kind}{shape}" for name, (kind, shape) in record["columns"].items()]
    return (
        f"{record['path']}: a row store, {bytes_text(record['bytes'])}\n"
        f"{counts['training']:,} training rows in shuffled order, {counts['validation']:,} "
        f"validation rows; {record['row_bytes']:,} bytes each: {', '.join(shapes)}.\n"
        f"Made from {files or 'data in memory'}. It can be deleted: the next run that needs it "
        "makes it again."
    )


def columns_text(
    columns: Sequence[Mapping[str, Any]], rows: int = 0, explains: Mapping[str, float] | None = None
) -> str:
    """A line for each column.

    Args:
        columns: what each is.
        rows: training rows, for the share that is missing and as the most distinct values.
        explains: how much of the target each explains alone, from 0 to 1.
    """
    header = ["column", "becomes", "values", "remark", "missing", "distinct"]
    header += ["explains"] if explains else []
    lines = []
    for column in columns:
        missing, distinct = column["missing"], column["distinct"]
        if distinct is not None and rows:
            distinct = min(distinct, rows)
        share = f" ({percent_text(missing / rows)})" if missing and rows else ""
        line = [
            _shorten(column["name"], 24),
            column["becomes"],
            _whole_words(column["values"], 40),
            _whole_words(_as_typed(str(column["remark"]), column["name"]), 100),
            f"{_count(missing)}{share}",
            f"{'about ' if column.get('estimated') else ''}{_count(distinct)}",
        ]
        if explains:
            share_of = explains.get(column["name"])
            line.append("" if share_of is None else percent_text(share_of))
        lines.append(line)
    return table_text(header, lines, numbers=3 if explains else 2)


def _first_rows_text(first: Mapping[str, Sequence[str | None]]) -> str:
    """The first rows of a table, upright: a line for each column."""
    count = max(map(len, first.values()))
    lines = [
        [_shorten(name, 24), *(_shorten(_one_line(value), 16) for value in values)]
        for name, values in first.items()
    ]
    return table_text(["column", *(f"row {place + 1}" for place in range(count))], lines)


def _whole_words(text: str, width: int) -> str:
    if len(text) <= width and " ".join(text.split()) == text:
        return text
    return textwrap.shorten(text, width, placeholder=" …", break_on_hyphens=False)


def _one_line(value: str | None) -> str:
    return "" if value is None else " ".join(value.split())


def left_out_text(columns: Sequence[Mapping[str, Any]]) -> str:
    """One line with the columns that are not learned from, and why; empty where there are none.

    Those that the user left out with `exclude` come last, by name alone.
    """
    left_out = [column for column in columns if column["becomes"] == "left out"]
    reasons = [
        f"{_shorten(column['name'], 60)} ({_as_typed(column['remark'], column['name'])})"
        for column in left_out
        if column["remark"] != "excluded"
    ]
    shown = reasons[:_MOST_REASONS]
    if len(reasons) > len(shown):
        shown.append(f"{len(reasons) - len(shown):,} more, see descend inspect")
    excluded = sum(column["remark"] == "excluded" for column in left_out)
    if excluded:
        shown.append(f"{excluded:,} by {option_text('exclude')}")
    return f"Left out: {'; '.join(shown)}." if shown else ""


def _as_typed(remark: str, name: str) -> str:
    """A remark with the option that it recommends as the caller types it."""
    return re.sub(r"the option (numeric)\b", lambda found: option_text(found[1], [name]), remark)


def _run_text(record: Mapping[str, Any], history: History, assessment: Any) -> str:
    path = Path(record["path"])
    if "result" in record:
        summary = summary_text(record, path, history, assessment)
        return f"{path}: {record['state']}\n\n{summary}"
    command = f"descend resume {shell_text(str(path))}"
    if record.get("own"):
        command = f"descend.fit(..., out={str(path)!r}, resume=True)"
    state = record["state"]
    lines = [f"{path}: {state}." + ("" if state == "running" else f" To go on: {command}")]
    if "progress" in record:
        last = record["progress"]
        lines.append(
            f"{count_text(last['update'], 'update')}, {epochs_text(last['epoch'])}, "
            f"{span_text(last['seconds'])} so far; validation loss "
            f"{last['validation_loss']:.4g}, at best {last['best_validation_loss']:.4g}."
        )
    return "\n".join(lines)


def _place(figure: tuple[str, float]) -> int:
    return list(NAMES).index(figure[0]) if figure[0] in NAMES else len(NAMES)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def epochs_text(epochs: float) -> str:
    """A number of epochs.

    >>> epochs_text(1.0), epochs_text(0.25), epochs_text(40)
    ('1 epoch', '0.25 epochs', '40 epochs')
    """
    return f"{epochs:.4g} epoch{'' if epochs == 1 else 's'}"


def round_metric(name: str, value: float | None) -> float | None:
    """R² to four places, so that a value of almost 0 is shown as 0; other metrics unchanged.

    >>> round_metric("r2", -0.0000123), round_metric("rmse", 0.0000123)
    (0.0, 1.23e-05)
    """
    return round(value, 4) + 0.0 if _is_r2(name) and value is not None else value


def _is_r2(name: str) -> bool:
    return name.partition(" (")[0] == "r2"


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
