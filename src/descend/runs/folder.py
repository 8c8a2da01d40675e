"""A run directory: create it, lock it, open it, and find what is in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, final

import descend
from descend.errors import FileFormatError, InputError, command_text, option_text
from descend.io.atomic import remove_abandoned, write_error, write_json, write_whole
from descend.io.checksum import seal_of
from descend.io.paths import named_path
from descend.runs.checkpoint import SLOTS
from descend.runs.contents import (
    ASSESSMENT,
    CHECKPOINT,
    LOCK,
    LOCK_MARK,
    MODEL,
    RECORD,
    REPORT,
    RUN_FILES,
    clear_run,
    foreign_entries,
)
from descend.runs.history import append_history, open_history, write_history
from descend.runs.records import read_kind
from descend.types import History, HistoryLine

RUNNING = "running"
"""The state of a run from its first record to its last."""


@final
class RunFolder:
    """A run directory, held by this process until it is released or the process ends.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, lock: int, made: Sequence[Path] = ()) -> None:
        self.path = path
        self._lock: int | None = lock
        self._made = tuple(made)

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
        write_history(self.path, history)

    def open_history(self) -> BinaryIO:
        """history.csv, open to append lines to it."""
        return open_history(self.path)

    def append_history(self, sink: BinaryIO, line: HistoryLine, names: Sequence[str] = ()) -> None:
        """Append a line to history.csv.

        Args:
            sink: from `open_history`.
            line: the newest.
            names: of the metrics that the file has a column for.
        """
        append_history(self.path, sink, line, names)

    def write_assessment(self, assessment: Mapping[str, Any]) -> None:
        """Write assessment.json."""
        written = {"kind": "assessment", "descend": descend.__version__, **assessment}
        write_json(self.path / ASSESSMENT, written)

    def write_report(self, page: str) -> None:
        """Write report.html."""
        write_whole(self.path / REPORT, page)

    def begin(self) -> None:
        """Make room for a new run: what an earlier one wrote is deleted, but for row stores.

        Raises:
            InputError: a file cannot be deleted.
        """
        self._made = ()
        try:
            clear_run(self.path)
        except OSError as error:
            raise write_error(self.path, error) from error

    def release(self) -> None:
        """Let another process write to the folder; one in which nothing was begun goes again."""
        if self._lock is not None:
            for made in self._made:
                with suppress(OSError):
                    made.unlink() if made.name == LOCK else made.rmdir()
            os.close(self._lock)
            self._lock = None


def claim_run(out: Path | None, stem: str, *, force: bool = False) -> RunFolder:
    """A run directory for a run that is still to be prepared, held by this process.

    Whatever could keep the run from being written is found here, before the work. What stands in
    the folder stays until `begin`; where that is never called, no new folder stays.

    Args:
        out: the folder; None takes the first free `runs/<stem>-<n>`.
        stem: names the folder where `out` is None.
        force: replace a run that stands there; nothing but a run is ever replaced.

    Raises:
        InputError: the folder holds something else, is in use, or cannot be written.
    """
    if out is None:
        return _next_free(Path("runs"), stem)
    out = named_path(out, option_text("out"))
    check_replaceable(out, force=force)
    made: list[Path] = []
    try:
        for place in (*reversed(out.parents), out):
            if not place.is_dir():
                place.mkdir(exist_ok=True)
                made.insert(0, place)
        folder = _lock_folder(out, made)
    except OSError as error:
        _undone(made)
        raise write_error(out, error) from error
    except InputError:
        _undone(made)
        raise
    try:
        check_replaceable(out, force=force)  # Another run may have ended here just now.
    except InputError:
        folder.release()
        raise
    return folder


def create_run(out: Path | None, stem: str, *, force: bool = False) -> RunFolder:
    """A new run directory, held by this process and empty but for row stores; see `claim_run`."""
    folder = claim_run(out, stem, force=force)
    try:
        folder.begin()
    except InputError:
        folder.release()
        raise
    return folder


def _undone(made: Sequence[Path]) -> None:
    for place in made:
        with suppress(OSError):
            place.rmdir()


def open_run(path: Path) -> RunFolder:
    """An existing run directory, held by this process.

    Raises:
        InputError: there is no run, or another process is writing to it.
        FileFormatError: run.json is damaged; then nothing was touched.
    """
    read_run_record(path)
    for name in (CHECKPOINT, "tensorboard", LOCK):
        if (path / name).is_symlink():
            raise InputError(
                f"{path / name} is a link, and what it leads to would be written. Put "
                f"{'a file' if name == LOCK else 'a folder'} in its place."
            )
    try:
        return _lock_folder(path)
    except OSError as error:
        raise write_error(path, error) from error


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory."""
    return os.path.isfile(path / RECORD)


def read_run_record(path: Path) -> dict[str, Any]:
    """What run.json of a run holds.

    Raises:
        InputError: there is no run.
        FileFormatError: run.json is damaged, or of a newer version.
    """
    if not is_run(path):
        raise InputError(_no_run(path))
    record = read_kind(path / RECORD)
    if record.get("seal") not in (None, seal_of(record)):
        raise FileFormatError(
            f"{path / RECORD} is damaged or was altered: its checksum is wrong. Bring the old "
            "file back; to train with other settings, start a new run."
        )
    return record


def current_record(path: Path) -> dict[str, Any]:
    """What run.json of a run holds now: a run that no process goes on with is interrupted.

    Raises:
        InputError: there is no run.
        FileFormatError: run.json is damaged, or of a newer version.
    """
    record = read_run_record(path)
    if record.get("state") == RUNNING and not _is_held(path):
        return {**record, "state": "interrupted"}
    return record


def _is_held(path: Path) -> bool:
    """Whether a process is writing to a run directory."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(lock)
    return False


def read_assessment(path: Path) -> dict[str, Any]:
    """What assessment.json of a run holds; empty where there is none.

    Raises:
        FileFormatError: it is damaged.
    """
    return read_kind(path / ASSESSMENT) if (path / ASSESSMENT).is_file() else {}


def find_model(path: Path) -> Path:
    """The model file of a run directory, or the file itself.

    Raises:
        InputError: there is no model.
    """
    path = named_path(path)
    if path.is_dir():
        if (path / MODEL).is_file():
            return path / MODEL
        if is_run(path):
            raise InputError(
                f"The run {path} has no model yet. To go on: {command_text('resume', path)}"
            )
        raise InputError(_no_run(path))
    if not path.is_file():
        raise InputError(f"There is no model {path}. Name a .safetensors file or a run directory.")
    return path


def _no_run(path: Path) -> str:
    found = "a folder without run.json"
    if os.path.isfile(path):
        found = "a file"
    elif not os.path.exists(path):
        found = "no folder"
    return f"{path} should be a run directory, as descend train leaves one; found {found}."


def _next_free(base: Path, stem: str) -> RunFolder:
    number = 1
    made: list[Path] = []
    while True:
        path = base / f"{stem}-{number}"
        try:
            if not base.is_dir():
                base.mkdir(exist_ok=True)
                made = [base]
            path.mkdir()
            return _lock_folder(path, [path, *made])
        except FileExistsError:
            number += 1
        except OSError as error:
            raise write_error(path, error) from error


def check_replaceable(out: Path, *, force: bool) -> None:
    """Refuse a folder that a new run may not have, before any work is done.

    Raises:
        InputError: it holds something that is not a run's, or is one and `force` is not given.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InputError(f"{option_text('out')} must name a folder; {out} is a file.")
    try:
        stranger = next(foreign_entries(out), None)
    except OSError as error:
        raise write_error(out, error) from error
    if stranger is not None:
        raise InputError(
            f"{out} holds {str(stranger.relative_to(out))!r}, which descend did not write: it is "
            f"not replaced. Name another folder with {option_text('out')}."
        )
    if is_run(out) and not force:
        raise InputError(
            f"The run {out} exists. Type {option_text('force', True)} to replace it, or another "
            f"{option_text('out')}."
        )


def _lock_folder(path: Path, made: Sequence[Path] = ()) -> RunFolder:
    """Take the lock of a folder; the system drops it when the process ends, however it ends."""
    new = not os.path.lexists(path / LOCK)
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise InputError(
            f"Another descend is writing to {path}. Wait for it, or name another "
            f"{option_text('out')}."
        ) from None
    if not os.fstat(lock).st_size:
        os.write(lock, LOCK_MARK)
    # What a killed process was writing; no other process is, now that the lock is ours.
    remove_abandoned(path, *RUN_FILES)
    remove_abandoned(path / CHECKPOINT, *SLOTS)
    return RunFolder(path, lock, [path / LOCK, *made] if new else made)
