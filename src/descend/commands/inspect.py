"""What a table, a model or a run contains, as a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.assessment.table_hints import column_hints, table_hints
from descend.data.reading.open_table import open_table
from descend.data.reading.options import reading_options
from descend.data.reading.staging import in_memory
from descend.data.reading.table import ROW, Table
from descend.data.rows.budget import keep_to
from descend.data.rows.store_header import describe_store, is_store
from descend.data.schema.columns import Schema
from descend.data.schema.describe import describe
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import InputError
from descend.runs.folder import current_record, find_model, is_run
from descend.runs.history import read_history
from descend.runs.records import read_kind
from descend.settings import settings_from

if TYPE_CHECKING:
    from descend.model import Model

ROWS_SHOWN, MOST_SHOWN = 3, 100
"""Rows and columns of the table that are shown as they are."""
VIEWS = ("compare", "landscape", "advice")
"""Commands whose folders are described by the record in them."""


def inspect(what: str, target: str | None = None, **options: Any) -> dict[str, Any]:
    """Describe a run, a comparison, an advice, a model, a row store or a table: what is there.

    Args:
        what: a path, or whatever `open_table` takes.
        target: the column to predict; None describes the columns alone.
        **options: settings that say how a table is read: `exclude`, `delimiter` and the like, and
            `memory`, bytes that the whole process may use.
    """
    path = Path(what)
    if is_store(path):
        return describe_store(path)
    if is_run(path):
        return {"kind": "run", "path": what, **current_record(path), **_progress(path)}
    for kind in VIEWS:
        if (path / f"{kind}.json").is_file():
            return {**read_kind(path / f"{kind}.json"), "kind": kind, "path": what}
    if path.suffix == ".safetensors":
        from descend.model import load

        loaded = load(find_model(path))
        return {
            "kind": "model",
            "path": what,
            **describe_model(loaded),
            **_schema_record(loaded.schema),
        }
    settings = settings_from({"target": target or "-", **options})
    memory = keep_to(settings.memory).reading
    table = open_table(what, memory=memory, options=reading_options(settings))
    with in_memory(table, settings) as copy:
        if target is not None:
            schema = learn_schema(copy, settings)
            hints = table_hints(copy, schema)
            seen = {**_schema_record(schema, table.notes), **hints}
            seen |= first_rows(copy, settings.exclude)
            return {"kind": "table", "path": what, **seen}
        found = inspect_columns(copy, settings)
        return {
            "kind": "table",
            "path": what,
            "rows": {"total": copy.count()},
            "columns": [vars(line) for line in describe(found.columns, copy.count())],
            "warnings": [*table.notes, *found.warnings],
            "notes": list(found.notes),
            "hints": column_hints(found.columns),
            **first_rows(copy, settings.exclude),
        }


def describe_model(model: Model) -> dict[str, Any]:
    """What a model is, without its columns."""
    import jax

    return {
        "task": model.schema.task,
        "target": list(model.schema.target.names),
        "model": model.settings.model,
        "weights": sum(int(leaf.size) for leaf in jax.tree.leaves(model.params)),
        "settings": dataclasses.asdict(model.settings),
    }


def first_rows(table: Table, without: Sequence[str] = ()) -> dict[str, Any]:
    """The first rows as text, `first_rows`: for each of the first columns its values.

    Args:
        table: to be shown.
        without: columns that are left out; a staged copy does not have them.
    """
    shown = [column for column in table.columns if column.name not in without][:MOST_SHOWN]
    values = ", ".join(
        f"CAST({column.sql} AS VARCHAR) AS v{place}" for place, column in enumerate(shown)
    )
    rows = table.query(
        f"SELECT {values} FROM {table.rows} WHERE {ROW} < {ROWS_SHOWN} ORDER BY {ROW}"
    ).to_pylist()
    return {
        "first_rows": {
            column.name: [_plain(row[f"v{place}"], column.type) for row in rows]
            for place, column in enumerate(shown)
        }
    }


def _plain(value: str | None, kind: str) -> str | None:
    """A value as text, whole numbers without a point."""
    return value.removesuffix(".0") if value and kind == "number" else value


def _progress(path: Path) -> dict[str, Any]:
    """The newest line of a run's history and the least validation loss, where there are any."""
    try:
        history = read_history(path)
    except InputError:
        return {}
    if not history:
        return {}
    best = min(line.validation_loss for line in history)
    return {"progress": {**vars(history[-1]), "best_validation_loss": best}}


def _schema_record(schema: Schema, notes: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "rows": dataclasses.asdict(schema.rows),
        "task": schema.task,
        "task_reason": schema.task_reason,
        "columns": [vars(line) for line in describe(schema)],
        "warnings": [*notes, *schema.warnings],
        "notes": list(schema.notes),
    }
