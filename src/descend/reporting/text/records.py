"""What the command line prints: records as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

NAMES = {
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "auc": "AUC",
}


def subject(record: Mapping[str, Any]) -> str:
    """What is learned: like `cnt from bike_sharing.csv`, or the name of an own model."""
    if record.get("own"):
        name = record["own"]["model"]
        return "an own model" if name == "own" else f"an own model, {name}"
    target = record.get("settings", {}).get("target", "the target")
    data = record.get("data")
    if data is None:
        return str(target)
    # Both kinds of separators: a report may be built elsewhere than the run was made.
    source = str(data.get("source") or "").replace("\\", "/")
    return f"{target} from {PurePath(source).name if source else 'a table'}"


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Columns of text; the last `numbers` columns are set to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    left = len(header) - numbers

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), line(["─" * width for width in widths]), *map(line, rows)])


def metrics_text(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The model's figures beside those of the trivial prediction."""
    model, baseline = metrics["model"], metrics["baseline"]
    trivial = "mean" if "r2" in model else "commonest class"
    rows = [
        [NAMES.get(name, name), *(_figure(rounded(name, one)) for one in (value, baseline[name]))]
        for name, value in sorted(model.items(), key=_place)
    ]
    return table_text(["", "model", f"always the {trivial}"], rows, numbers=2)


def summary_text(record: Mapping[str, Any], folder: Path | None) -> str:
    """What a person wants to know when a run is over."""
    result, settings = record["result"], record["settings"]
    rows = record["data"]["rows"]
    lines = [
        metrics_text(result["metrics"])
        if result["metrics"]
        else f"validation loss {_figure(result['best_validation_loss'])}",
        f"on {rows['validation']:,} validation rows; {rows['training']:,} rows were learned from.",
        "",
        f"{result['updates']:,} updates of {settings['batch_size']:,} rows, "
        f"{result['epochs']:.4g} epochs, {result['seconds']:.1f} s, {settings['optimizer']}, "
        f"learning rate {settings['learning_rate']:.3g}.",
        result["stop_text"],
    ]
    if folder is not None:
        lines += [
            "",
            f"Run      {folder}",
            f"Report   {folder / 'report.html'}",
        ]
    if folder is not None and not record.get("own"):
        lines.append(f"Predict  descend predict {folder} DATA -o predictions.csv")
    return "\n".join(lines)


def inspection_text(record: Mapping[str, Any]) -> str:
    """What `descend inspect` prints of a table, a model or a run."""
    if record["kind"] == "run":
        return _run_text(record)
    if record["kind"] == "row store":
        return _store_text(record)
    counts = record["rows"]
    lines = [f"{record['path']}: {counts['total']:,} rows, {len(record['columns'])} columns"]
    if record["kind"] == "model":
        lines = [
            f"{record['path']}: a {record['model']} model with {record['weights']:,} weights for "
            f"{record['task']} of {', '.join(record['target'])}"
        ]
    if "task_reason" in record:
        lines += [
            record["task_reason"],
            f"{counts['training']:,} rows to learn from, {counts['validation']:,} to judge by; "
            f"skipped: {counts['missing_target']:,} without target, "
            f"{counts['unweighted']:,} without weight.",
        ]
    lines += ["", columns_text(record["columns"])]
    lines += [f"\nWarning: {warning}" for warning in record["warnings"]]
    return "\n".join(lines)


def _store_text(record: Mapping[str, Any]) -> str:
    counts = record["rows"]
    files = ", ".join(file["path"] for file in record["made_from"]["files"])
    shapes = [f"{name} {kind}{shape}" for name, (kind, shape) in record["columns"].items()]
    return (
        f"{record['path']}: a row store, {record['bytes'] / 1e9:.2g} GB\n"
        f"{counts['training']:,} rows to learn from in shuffled order, {counts['validation']:,} to "
        f"judge by; {record['row_bytes']:,} bytes each: {', '.join(shapes)}.\n"
        f"Made from {files or 'data in memory'}. It can be deleted: the next run that needs it "
        "makes it anew."
    )


def columns_text(columns: Sequence[Mapping[str, Any]]) -> str:
    """A line for each column."""
    rows = [
        [
            _shortened(column["name"], 24),
            column["type"],
            column["becomes"],
            _shortened(column["values"], 40),
            _shortened(column["remark"], 60),
            _count(column["missing"]),
            _count(column["distinct"]),
        ]
        for column in columns
    ]
    header = ["column", "type", "becomes", "values", "remark", "missing", "distinct"]
    return table_text(header, rows, numbers=2)


def _run_text(record: Mapping[str, Any]) -> str:
    path = Path(record["path"])
    if "result" in record:
        return f"{path}: {record['state']}\n\n{summary_text(record, path)}"
    if record.get("own"):
        return (
            f"{path}: {record['state']}. To go on: descend.fit(..., out={str(path)!r}, resume=True)"
        )
    return f"{path}: {record['state']}. To go on: descend resume {path}"


def _place(figure: tuple[str, float]) -> int:
    return list(NAMES).index(figure[0]) if figure[0] in NAMES else len(NAMES)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def rounded(name: str, value: float | None) -> float | None:
    """A part of 1 to four places: what is nearly 0 is not a figure of its own.

    >>> rounded("r2", -0.0000123), rounded("rmse", 0.0000123)
    (0.0, 1.23e-05)
    """
    return round(value, 4) + 0.0 if name == "r2" and value is not None else value


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
