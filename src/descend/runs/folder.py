"""A run directory: what stands in it, who may write to it, and how it is found again."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from descend.errors import FileFormatError, InputError
from descend.io.atomic import is_partial, read_json, write_error, write_json, write_whole
from descend.io.checksum import seal_of
from descend.types import History, HistoryLine

RECORD = "run.json"
HISTORY = "history.csv"
MODEL = "model.safetensors"
REPORT = "report.html"
CHECKPOINT = "checkpoint"
LOCK = ".lock"
OWN = {RECORD, HISTORY, MODEL, REPORT, CHECKPOINT, LOCK, "plots", "store", "tensorboard"}


@final
class RunFolder:
    """A run directory, held by this process until it is released or the process ends.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def model(self) -> Path:
        """The file of the best model."""
        return self.path / MODEL

    @property
    def checkpoint(self) -> Path:
        """The folder of what resume needs."""
        return self.path / CHECKPOINT

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write run.json."""
        write_json(self.path / RECORD, {**record, "seal": seal_of(record)})

    def read_record(self) -> dict[str, Any]:
        """What run.json holds."""
        return read_run_record(self.path)

    def write_history(self, history: History) -> None:
        """Write history.csv, a line per evaluation."""
        names = [field.name for field in dataclasses.fields(HistoryLine)]
        write_whole(self.path / HISTORY, _csv([names, *map(_history_row, history)]))

    def append_history(self, line: HistoryLine) -> None:
        """Append a line to history.csv.

        It reaches the disk when the system writes it; a last line that a power loss cut off is
        left out by `read_history`.
        """
        path = self.path / HISTORY
        try:
            with path.open("ab", buffering=0) as sink:
                sink.write(_csv([_history_row(line)]).encode("ascii"))
        except OSError as error:
            raise write_error(path, error) from error

    def write_report(self, page: str) -> None:
        """Write report.html."""
        write_whole(self.path / REPORT, page)

    def release(self) -> None:
        """Let another process write to the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def create_run(out: Path | None, stem: str, *, force: bool = False) -> RunFolder:
    """A new run directory, held by this process.

    Args:
        out: the folder; None takes the first free `runs/<stem>-<n>`.
        stem: names the folder where `out` is None.
        force: replace a run that stands there; nothing but a run is ever replaced.

    Raises:
        InputError: the folder exists, is in use, or cannot be written.
    """
    if out is None:
        return _next_free(Path("runs"), stem)
    check_replaceable(out, force=force)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = _held(out)
    except OSError as error:
        raise write_error(out, error) from error
    try:
        check_replaceable(out, force=force)  # Another run may have ended here just now.
        _empty(out)
    except OSError as error:
        folder.release()
        raise write_error(out, error) from error
    except InputError:
        folder.release()
        raise
    return folder


def open_run(path: Path) -> RunFolder:
    """An existing run directory, held by this process.

    Raises:
        InputError: there is no run, or another process is writing to it.
    """
    if not is_run(path):
        raise InputError(_no_run(path))
    try:
        return _held(path)
    except OSError as error:
        raise write_error(path, error) from error


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory."""
    return (path / RECORD).is_file()


def read_run_record(path: Path) -> dict[str, Any]:
    """What run.json of a run holds.

    Raises:
        InputError: there is no run.
        FileFormatError: run.json is damaged.
    """
    if not is_run(path):
        raise InputError(_no_run(path))
    record = read_json(path / RECORD)
    if not isinstance(record, dict) or not {"asked", "settings", "data", "state"} <= record.keys():
        raise FileFormatError(f"{path / RECORD} is damaged: it is no record of a run.")
    if record.get("seal") not in (None, seal_of(record)):
        raise FileFormatError(
            f"{path / RECORD} is damaged or was altered: its checksum is wrong. Bring the old "
            "file back; to train with other settings: descend train --like."
        )
    return record


def read_history(path: Path) -> History:
    """The history of a run, as far as it was written.

    Raises:
        FileFormatError: history.csv is damaged.
    """
    kinds = {field.name: str(field.type) for field in dataclasses.fields(HistoryLine)}
    try:
        content = (path / HISTORY).read_bytes()
        whole = content[: content.rfind(b"\n") + 1].decode("utf-8")
        lines = list(csv.DictReader(whole.splitlines()))
        return tuple(HistoryLine(**_numbers(line, kinds)) for line in lines)
    except FileNotFoundError:
        raise InputError(f"The run {path} has no {HISTORY} yet.") from None
    except OSError as error:
        raise InputError(f"{path / HISTORY} cannot be read: {error.strerror}.") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise FileFormatError(f"{path / HISTORY} is damaged: {error}.") from error


def _history_row(line: HistoryLine) -> list[str]:
    return [repr(value) for value in vars(line).values()]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _numbers(line: Mapping[str, str], kinds: Mapping[str, str]) -> dict[str, Any]:
    return {name: (int if kind == "int" else float)(line[name]) for name, kind in kinds.items()}


def find_model(path: Path) -> Path:
    """The model file of a run directory, or the file itself.

    Raises:
        InputError: there is no model.
    """
    if path.is_dir():
        if (path / MODEL).is_file():
            return path / MODEL
        if is_run(path):
            raise InputError(f"The run {path} has no model yet. To go on: descend resume {path}")
        raise InputError(_no_run(path))
    if not path.is_file():
        raise InputError(f"There is no model {path}. Name a .safetensors file or a run directory.")
    return path


def _no_run(path: Path) -> str:
    found = "no folder" if not path.exists() else "a folder without run.json"
    if path.is_file():
        found = "a file"
    return f"{path} should be a run directory, as descend train leaves one; found {found}."


def _next_free(base: Path, stem: str) -> RunFolder:
    number = 1
    while True:
        path = base / f"{stem}-{number}"
        try:
            base.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return _held(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise write_error(path, error) from error


def check_replaceable(out: Path, *, force: bool) -> None:
    """Refuse a folder that a new run may not have, before any work is done.

    Raises:
        InputError: it exists and is no run, or is one and `force` is not given.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"--out must name a folder; {out} is a file.")
    held = {entry.name for entry in out.iterdir() if not is_partial(entry)}
    # Our names alone make no run: a folder of somebody's plots has neither record nor lock.
    strangers = sorted(held - OWN if held & {RECORD, LOCK} else held)
    if strangers:
        raise InputError(
            f"{out} exists and is no run directory: it holds {strangers[0]!r}. "
            "Name another with --out."
        )
    if is_run(out) and not force:
        raise InputError(f"The run {out} exists. Type --force to replace it, or another --out.")


def _empty(out: Path) -> None:
    for entry in out.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _held(path: Path) -> RunFolder:
    """Take the lock of a folder; the system drops it when the process ends, however it ends."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise InputError(
            f"Another descend is writing to {path}. Wait for it, or name another --out."
        ) from None
    # What a killed process was writing; no other process is, now that the lock is ours.
    for entry in path.rglob(".*"):
        if is_partial(entry):
            entry.unlink(missing_ok=True)
    return RunFolder(path, lock)
