"""A run that was stopped goes on: same data, same settings, same bytes at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from descend.commands.train import Run, continue_run
from descend.data.prepare import prepare
from descend.data.rows.layout import Layout, layout_from
from descend.data.schema.columns import Schema, schema_from_json
from descend.errors import FileFormatError, InputError
from descend.reporting.progress import Progress
from descend.runs.checkpoint import load_checkpoint
from descend.runs.fingerprint import check_unchanged
from descend.runs.folder import RECORD, open_run
from descend.runtime.live_page import Onlooker
from descend.settings import Settings, settings_from
from descend.training.jax_setup import set_up


def resume(path: Path, *, progress: Progress, onlookers: Sequence[Onlooker] = ()) -> Run:
    """Go on with the run in a folder.

    Args:
        path: of the run.
        progress: who is told what happens.
        onlookers: a live page, event files.

    Raises:
        InputError: there is no run, its data was not a file, or its model is not ours.
        DataError: the data changed since.
    """
    set_up()
    with open_run(path) as folder:
        record = folder.read_record()
        if record.get("own"):
            raise InputError(
                f"{path} is a run of an own model, which only your program can build. Call "
                f"descend.fit again with out={str(path)!r} and resume=True."
            )
        source, fingerprint, settings, schema, layout = _recorded(path, record)
        if source is None:
            raise InputError(
                f"The run {path} was trained on data in memory, which is gone. Train again."
            )
        prepared = prepare(
            source,
            settings,
            schema=schema,
            layout=layout,
            check=lambda now: check_unchanged(path, fingerprint, now),
            say=progress.message,
        )
        saved = load_checkpoint(folder.checkpoint)
        return continue_run(prepared, settings, record, folder, progress, saved, onlookers)


def _recorded(
    path: Path, record: dict[str, Any]
) -> tuple[str | None, Any, Settings, Schema, Layout]:
    """Source, fingerprint, settings, schema and layout of a run."""
    if "seal" not in record:
        raise FileFormatError(f"{path / RECORD} is damaged: it has no checksum.")
    try:
        data = record["data"]
        return (
            data["source"],
            data["fingerprint"],
            settings_from(record["settings"]),
            schema_from_json(record["schema"]),
            layout_from(data["layout"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path / RECORD} is damaged ({type(error).__name__}: {error}). "
            "Bring the file back from a copy, or train again with --force."
        ) from error
