"""The files of a run directory, and which of them this program wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from descend.io import ownership
from descend.io.atomic import partial_name
from descend.runs.checkpoint import SLOTS

RECORD = "run.json"
HISTORY = "history.csv"
ASSESSMENT = "assessment.json"
MODEL = "model.safetensors"
REPORT = "report.html"
CHECKPOINT = "checkpoint"
PLOTS, STORE, TENSORBOARD = "plots", "store", "tensorboard"
LOCK = ".lock"
RUN_FILES = (RECORD, HISTORY, ASSESSMENT, MODEL, REPORT)
LOCK_MARK = b"descend run\n"
"""What the lock of a run holds, so that it is told from another program's; empty in version 0.1."""

_KINDS = {
    RECORD: ownership.RECORD,
    HISTORY: ownership.HISTORY,
    ASSESSMENT: ownership.RECORD,
    MODEL: ownership.MODEL,
    REPORT: ownership.PAGE,
}
_OLD_PARTIAL = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part")
"""What version 0.1 called a file that it was writing."""


def foreign_entries(out: Path) -> Iterator[Path]:
    """The files and folders in a run directory that this program did not write.

    In a folder whose lock is marked, a record or a checkpoint that was damaged is still ours.
    """
    marked = _read(out / LOCK) == LOCK_MARK
    for entry in sorted(out.iterdir()):
        if not _is_ours(entry, marked):
            yield entry
        elif entry.is_dir() and not entry.is_symlink():
            is_ours = _FOLDERS[entry.name]
            yield from (one for one in sorted(entry.iterdir()) if not is_ours(one, marked))


def clear_run(out: Path) -> None:
    """Delete what a run wrote, but not its row stores: the next run may use them again.

    Nothing is deleted that `foreign_entries` names.
    """
    foreign = set(foreign_entries(out))
    for entry in out.iterdir():
        if entry.name in (LOCK, STORE) or entry in foreign:
            continue
        if entry.is_dir() and not entry.is_symlink():
            if not any(one.parent == entry for one in foreign):
                shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_ours(entry: Path, marked: bool) -> bool:
    name = entry.name
    if entry.is_symlink():  # The link alone would go.
        return name in _FOLDERS
    if entry.is_dir():
        return name in _FOLDERS
    if name == LOCK:
        return _read(entry) in (b"", LOCK_MARK)
    if _partial_of(entry) in RUN_FILES:
        return True
    if name == RECORD and marked:
        return True
    return name in _KINDS and ownership.kind_of_file(entry) == _KINDS[name]


def _is_checkpoint(entry: Path, marked: bool) -> bool:
    if _partial_of(entry) in SLOTS:
        return True
    ours = marked or ownership.kind_of_file(entry) == ownership.CHECKPOINT
    return entry.name in SLOTS and entry.is_file() and ours


def _is_picture(entry: Path, marked: bool) -> bool:
    return entry.is_file() and ownership.kind_of_file(entry) == ownership.PICTURE


def _is_events(entry: Path, marked: bool) -> bool:
    return entry.is_file() and ownership.kind_of_file(entry) == ownership.EVENTS


def _is_store(entry: Path, marked: bool) -> bool:
    """A row store, its lock, or one that is being written."""
    if entry.is_dir():
        return is_store(entry) or partial_name(entry) is not None
    return re.fullmatch(r"\..+\.lock", entry.name) is not None and not entry.stat().st_size


def is_store(folder: Path) -> bool:
    """Whether the header of a row store stands in a folder."""
    try:
        header = json.loads((folder / "header.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("format") == "descend row store"


_FOLDERS: dict[str, Callable[[Path, bool], bool]] = {
    CHECKPOINT: _is_checkpoint,
    PLOTS: _is_picture,
    STORE: _is_store,
    TENSORBOARD: _is_events,
}


def _partial_of(entry: Path) -> str | None:
    old = _OLD_PARTIAL.fullmatch(entry.name)
    return partial_name(entry) or (old[1] if old else None)


def _read(path: Path) -> bytes | None:
    """The content of a small file; None where it is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(handle, "rb") as source:
        return source.read(64) if path.is_file() else None
