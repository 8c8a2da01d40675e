"""Which files this program wrote, and what may be replaced.

Whatever is written here carries a mark inside: the metadata of a model, a checkpoint, a Parquet
file or a picture, the generator of a page, the producer of an ONNX graph, the first keys of a
record. CSV has no room for one; there it is an extended attribute of the file. What has no mark is
the user's, and is never replaced.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from descend.errors import InputError, option_text
from descend.io.atomic import whole_file, write_error
from descend.io.paths import named_path

PREDICTIONS, PAGE, PICTURE, GRAPH = "predictions", "a page", "a picture", "an ONNX graph"
RECORD, MODEL, CHECKPOINT = "a record", "a model", "a checkpoint"
HISTORY, EVENTS = "a history", "event files"
PROGRAM = "a program of JAX"
EVENTS_END = ".descend"
OLD_ADVICE = {"advice", "settings", "rows", "task", "own"}
ATTRIBUTE = "user.descend"
PARQUET_MARK = {b"descend": PREDICTIONS.encode()}
PICTURE_MARK = "descend"
_HEAD = 4096
_LONGEST_RECORD = 1 << 28


def check_replaceable(
    path: str | os.PathLike[str],
    kind: str,
    option: str,
    *,
    reads: Sequence[str | os.PathLike[str]] = (),
    force: bool = False,
    looks_alike: Callable[[Path], bool] | None = None,
) -> Path:
    """Refuse a name whose file must not be replaced, before any work is done.

    A file of the kind that is written is replaced. One that the command reads, or of another
    kind, is replaced by force alone, and only where this program wrote it. What lies behind a link
    is asked about, and a pipe or a device is written to.

    Args:
        path: where the user wants the file.
        kind: what will be written.
        option: where the name was typed, for the message.
        reads: files that the command reads.
        force: what `--force` says.
        looks_alike: whether a file without a mark is what would be written, to the letter of its
            header; then force is believed.

    Returns:
        The path.

    Raises:
        InputError: it would replace what is not ours, or what is read.
    """
    path = named_path(path, option)
    if path.is_dir():
        raise InputError(f"{option} must name a file; {path} is a folder.")
    if not path.is_file():
        return path
    other = "Name another file."
    found = kind_of_file(path)
    read = any(_same(path, one) for one in reads)
    if read and not (force and found):
        raise InputError(f"{path} is read by this command; {kind} would replace it. {other}")
    alike = found is None and looks_alike is not None and looks_alike(path)
    if found is None and not (force and alike):
        hint = (
            f"It may be from elsewhere; {option_text('force', True)} replaces it. " if alike else ""
        )
        raise InputError(
            f"{path} exists and has no mark of descend, so it is not replaced. {hint}{other} "
            "Or delete it yourself."
        )
    if found not in (None, kind) and not force:
        raise InputError(
            f"{path} is {found}; {kind} would replace it. {other} Or type "
            f"{option_text('force', True)} to replace it."
        )
    return path


@contextmanager
def output_file(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """The file that the user named, for a file of a kind: whole or not at all, and marked.

    A link stays and what it leads to is written; into a pipe or a device the bytes go as they come.

    Raises:
        InputError: it cannot be written.
    """
    try:
        special = path.exists() and not stat.S_ISREG(path.stat().st_mode)
        if special:
            with path.open("wb") as sink:
                yield sink
            return
        target = path.resolve() if path.is_symlink() else path
    except BrokenPipeError:
        raise
    except OSError as error:
        raise write_error(path, error) from error
    with whole_file(target) as sink:
        set_mark(sink, kind)
        yield sink


def set_mark(sink: IO[bytes], kind: str) -> None:
    """Mark a file as written by this program, where its file system can hold a mark."""
    with suppress(OSError, AttributeError):
        os.setxattr(sink.fileno(), ATTRIBUTE, kind.encode())


def kind_of_file(path: Path) -> str | None:
    """What this program wrote in a file, told by its mark; None where it has none."""
    with suppress(OSError, AttributeError, UnicodeDecodeError):
        return os.getxattr(path, ATTRIBUTE).decode()
    try:
        with path.open("rb") as source:
            head = source.read(_HEAD)
            if path.name.endswith(EVENTS_END) and b"brain.Event:2" in head[:64]:
                return EVENTS
            return _kind_by_first_bytes(head) or _kind_by_content(path, head)
    except OSError:
        return None


def _kind_by_first_bytes(head: bytes) -> str | None:
    """By the first bytes."""
    if head.startswith(b"<!doctype html>") and b'<meta name="generator" content="descend' in head:
        return PAGE
    if head.startswith(b"\x89PNG") and f"Software\0{PICTURE_MARK}".encode() in head:
        return PICTURE
    if head[8:].startswith(b'{"__metadata__":{"descend":'):
        return CHECKPOINT if b"descend-checkpoint" in head else MODEL
    if head[:1] == b"\x08" and head[2:11] == b"\x12\x07descend":
        return GRAPH
    if head.startswith(b"update,epoch,examples,seconds,train_loss,validation_loss,batch_size"):
        return HISTORY
    return None


def _kind_by_content(path: Path, head: bytes) -> str | None:
    """By a record's keys, or the metadata at the end of a Parquet file."""
    if head.startswith(b"PAR1"):
        from pyarrow import ArrowException, parquet

        with suppress(ArrowException, OSError):
            metadata = parquet.read_metadata(path).metadata or {}
            return PREDICTIONS if PARQUET_MARK.items() <= metadata.items() else None
    if head.lstrip().startswith(b"{") and path.stat().st_size < _LONGEST_RECORD:
        with suppress(ValueError, RecursionError, OSError):
            record = json.loads(path.read_bytes())
            if isinstance(record, dict) and is_record(record):
                return RECORD
    return None


def is_record(record: dict[str, object]) -> bool:
    """Whether JSON is a record that this program wrote.

    Runs have a checksum, comparisons, landscapes and advices their kind; what version 0.1 wrote of
    an advice has its keys alone.
    """
    version = isinstance(record.get("descend"), str)
    sealed = isinstance(record.get("seal"), str) and {"asked", "settings", "data"} <= record.keys()
    kind = record.get("kind") in ("compare", "landscape", "advice", "assessment")
    old_advice = {"advice", "settings", "own"} <= record.keys() <= OLD_ADVICE
    return (version and (sealed or kind)) or old_advice


def _same(one: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
