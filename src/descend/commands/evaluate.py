"""Metrics on raw rows, and whether a model has learned from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.data.reading.find_source import local_files
from descend.errors import DataWarning, FileFormatError, warn_user
from descend.model import load
from descend.runs.folder import find_model, is_run, read_run_record


def evaluate(
    path: Path, data: Any, *, memory: int | None, options: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Metrics of a saved model; a warning where the rows are those that it was trained on.

    Args:
        path: of a model or a run directory.
        data: whatever `descend.train` takes, with the target.
        memory: bytes that the whole process may use.
        options: how a text file is written, where it is not as in training.

    Raises:
        InputError: there is no model.
        DataError: the table cannot be read, lacks a column, or has no row to be scored on.
    """
    found = find_model(path)
    metrics = load(found).evaluate(data, memory=memory, options=options)
    sentence = training_rows_text(found.parent, data)
    if sentence:
        warn_user(sentence, DataWarning)
    return metrics


def training_rows_text(run: Path, data: Any) -> str:
    """That rows are those which the model of a run was trained on; empty if they are not.

    Args:
        run: the folder of the model; it may hold no run.
        data: whatever is evaluated. What is no file on this machine is not recognized.
    """
    if not is_run(run):
        return ""
    try:
        record = read_run_record(run)
    except FileFormatError:
        return ""  # The model is another file, and whole.
    before = record["data"].get("fingerprint", {}).get("data", {}).get("files") or ()
    known = {(os.path.realpath(one["path"]), one["size"]) for one in before}
    # A file of another size holds other rows by now.
    if known.isdisjoint((os.path.realpath(one), os.path.getsize(one)) for one in local_files(data)):
        return ""
    rows = record["data"]["rows"]
    return (
        f"The model was trained on this table: {rows['training']:,} of its {rows['total']:,} rows "
        f"were training rows, which it may know by heart. The {rows['validation']:,} validation "
        "rows tell more: descend inspect shows their metrics. Rows of another table are a test."
    )
