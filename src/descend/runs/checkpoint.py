"""Checkpoints: the state that a run resumes from, saved in the background; two are kept.

Two slots are written in turn, each whole or not at all, so that a slot that was damaged later
still leaves the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from descend.errors import FileFormatError, InputError, option_text
from descend.io.atomic import sync_folder
from descend.io.json_records import read_as
from descend.io.tensors import Arrays, load_tensors, save_tensors

SLOTS = ("a.safetensors", "b.safetensors")

Saved = tuple[Arrays, dict[str, Any]]


class Numbered(Struct):
    """The description in a checkpoint's file."""

    number: int
    record: dict[str, Any]


def save_checkpoint(folder: Path, number: int, arrays: Arrays, record: dict[str, Any]) -> None:
    """Write one checkpoint into the slot of its number."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)  # The folder too must survive power loss.
    slot = folder / SLOTS[number % len(SLOTS)]
    save_tensors(slot, "checkpoint", arrays, {"number": number, "record": record})


def load_checkpoint(folder: Path) -> Saved | None:
    """The newest checkpoint that is whole, or None where none was written.

    Raises:
        FileFormatError: there are checkpoints, and all of them are damaged.
    """
    found = _readable(folder)
    if found:
        _, arrays, record = max(found, key=lambda one: one[0])
        return arrays, record
    if any((folder / slot).exists() for slot in SLOTS):
        raise FileFormatError(
            f"The checkpoints in {folder} are damaged. Train again with "
            f"{option_text('force', True)}."
        )
    return None


def next_number(folder: Path) -> int:
    """The number after that of the newest checkpoint."""
    return max((number for number, _, _ in _readable(folder)), default=-1) + 1


def _readable(folder: Path) -> list[tuple[int, Arrays, dict[str, Any]]]:
    found = []
    for slot in SLOTS:
        try:
            arrays, description = load_tensors(folder / slot, "checkpoint")
            numbered = read_as(Numbered, description)
            found.append((numbered.number, arrays, numbered.record))
        except (InputError, ValueError):
            continue
    return found


class CheckpointWriter:
    """Writes checkpoints in a thread; where the disk is slow, the newest one waiting wins.

    What went wrong there is raised at the next call, in the thread that trains.

    Args:
        folder: of the checkpoints.
        beside: what the description of each of them holds too.
    """

    def __init__(self, folder: Path, beside: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._beside = dict(beside or {})
        self._number = next_number(folder)
        self._waiting: Saved | None = None
        self._error: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="descend-checkpoint", daemon=True)
        self._thread.start()

    def save(self, arrays: Arrays, record: dict[str, Any]) -> None:
        """Hand over a checkpoint; returns at once. The arrays must not change afterwards."""
        with self._changed:
            self._raise_error()
            self._waiting = (arrays, record)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until the newest checkpoint is on the disk."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._waiting is None and not self._closed:
                    self._changed.wait()
                if self._waiting is None:
                    return
                (arrays, record), self._waiting = self._waiting, None
            try:
                save_checkpoint(self._folder, self._number, arrays, {**record, **self._beside})
                self._number += 1
            except OSError as error:
                self._keep_error(InputError(f"The checkpoint could not be saved: {error}."))
            except Exception as error:
                # Whatever it was: a thread that ended in silence would save nothing any more.
                self._keep_error(error)

    def _keep_error(self, error: Exception) -> None:
        with self._changed:
            self._error = error
