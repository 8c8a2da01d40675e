"""Training on a table."""

from __future__ import annotations

from typing import Any

from descend.reporting.progress import Progress
from descend.runtime.early_reading import EarlyReading
from descend.runtime.own_metrics import Asked
from descend.runtime.planning import input_notes, within_budget
from descend.runtime.run import Options, start_run
from descend.runtime.table_run import NOTHING_ASKED, Run, TableRun, table_run
from descend.settings import Settings


def train(
    data: Any,
    settings: Settings,
    options: Options,
    asked: Asked = NOTHING_ASKED,
    reading: EarlyReading | None = None,
) -> Run:
    """Train a model on a table; see `start_run`.

    Args:
        data: whatever `open_table` takes.
        settings: as the user gave them.
        options: where and how.
        asked: what is to be measured beside the usual.
        reading: of the same table with the same settings, where it has begun.
    """

    def make(settings: Settings, progress: Progress) -> TableRun:
        run = within_budget(table_run(data, settings, progress, asked, reading), settings)
        for note in (*run.prepared.schema.notes, *input_notes(run)):
            progress.message(note)
        for warning in run.prepared.schema.warnings:
            progress.message(f"Warning: {warning}")
        return run

    return start_run(make, settings, options)
