"""What a run was given: its batch size and rate, data, settings and machine, as sections."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from descend.errors import option_text
from descend.io.units import bytes_text, count_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, KeyFigure, Section, Table
from descend.reporting.text.records import chosen_rate

Record = Mapping[str, Any]

IN_OPTIMIZER = "in your optimizer"
"""Where the learning rate of a run is, if the user passed an Optax transformation."""
CODED = " and category"
LEFT_OUT_ROWS = {
    "missing_target": "left out: no target",
    "unweighted": "left out: no weight",
}


def rate_figures(record: Record) -> list[KeyFigure]:
    """The batch size and the learning rate, and where each comes from."""
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
        return "a rule, not measured"
    region = {"batch_size": "flat_region", "learning_rate": "interval"}[name]
    low, high = (_value_text(end) for end in record["advice"][region])
    return "measured" if low == high else f"measured: {low} to {high} do about as well"


def rate_section(record: Record) -> Section:
    """The batch size and the learning rate, and how to train again without measuring."""
    figures = rate_figures(record)
    rows: list[list[Cell]] = [[one.label, one.value, one.note] for one in figures]
    table = Table(["", "used", "from"], rows, caption="Batch size and learning rate")
    again = []
    if record.get("advice") and not record.get("own"):
        size, rate = (record["settings"][name] for name in ("batch_size", "learning_rate"))
        again = [
            "# to train again without measuring, add\n"
            f"{option_text('batch_size', size)} {option_text('learning_rate', float(f'{rate:g}'))}"
        ]
    return Section(
        "Batch size and learning rate",
        tables=[table],
        code=again,
    )


def data_section(record: Record, coded: Collection[str] = ()) -> Section:
    """What became of the rows and of the columns.

    Args:
        record: what run.json holds.
        coded: columns of numbers whose values the model learns each by itself, too.
    """
    data = record["data"]
    rows = data["rows"]
    counts = Table(
        header=["rows", "count"],
        rows=[
            ["training", rows["training"]],
            ["validation", rows["validation"]],
            *([why, rows[name]] for name, why in LEFT_OUT_ROWS.items() if rows.get(name)),
            ["in the table", rows["total"]],
        ],
        caption="What became of the rows",
    )
    columns = Table(
        header=["column", "type", "becomes", "values", "missing", "distinct", "remark"],
        rows=[
            [
                str(column["name"]),
                str(column["type"]),
                str(column["becomes"]) + (CODED if column["name"] in coded else ""),
                str(column["values"]),
                column["missing"],
                distinct_cell(column, rows["training"]),
                str(column["remark"]),
            ]
            for column in data["columns"]
        ],
        caption="The arrays of a row"
        if record.get("own")
        else f"{count_text(len(data['columns']), 'column')} besides the target; "
        "values, missing and distinct are of the training rows",
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
    if distinct is None:
        return None
    shown = min(int(distinct), max(int(rows), 0) or int(distinct))
    return f"about {shown:,}" if column.get("estimated") else shown


def settings_section(record: Record) -> Section:
    """The settings as asked and as used, and when and where the run was made."""
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
            ["device", _device_text(str(record.get("device", "")))],
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


def _device_text(device: str) -> str:
    """`cpu: cpu` says nothing twice."""
    kind, _, name = device.partition(": ")
    return kind if name == kind else device


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
