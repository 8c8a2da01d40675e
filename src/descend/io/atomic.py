"""Files written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from descend.errors import InputError

PARTIAL = ".descend-part"
"""The end of the name of a file that is being written."""
_TOKENS = 1 << 11
"""Words, numbers and signs of JSON that are joined at once."""


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name when the block ends without an error.

    It is written beside its place, synced to the disk and renamed, so that neither a crash nor a
    power loss leaves half a file; after an error nothing is left. What a killed process was
    writing for the same name is removed.

    Raises:
        InputError: the folder is missing or read-only, or the disk is full.
    """
    temporary: Path | None = None
    try:
        remove_abandoned(path.parent, path.name)
        handle, name = tempfile.mkstemp(PARTIAL, f".{_stem(path.name)}.", path.parent)
        temporary = Path(name)
        with open(handle, "wb") as sink:
            # Held while it is written: what nobody holds was left by a process that was killed.
            fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
            temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: the folder is missing or read-only, or the disk is full.
    """
    with whole_file(path) as sink:
        sink.write(content.encode("utf-8") if isinstance(content, str) else content)


def partial_name(path: Path) -> str | None:
    """The name of the file that `whole_file` was writing here, cut where it was long; or None.

    >>> partial_name(Path("runs/.run.json.k3_x8w2q.descend-part"))
    'run.json'
    """
    found = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}" + re.escape(PARTIAL), path.name, re.DOTALL)
    return found[1] if found else None


def remove_abandoned(folder: Path, *names: str) -> None:
    """Remove what processes that were killed had begun to write for files of these names."""
    stems = {_stem(name) for name in names}
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if entry.name[:1] == "."]
    except OSError:
        return
    for entry in entries:
        if partial_name(entry) in stems:
            with suppress(OSError), entry.open("rb") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                entry.unlink(missing_ok=True)


def _stem(name: str) -> str:
    """As much of a name as leaves room for what is added to it: names end at 255 bytes."""
    return name.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "ignore")


def sync_file(path: Path) -> None:
    """Make the content of a file survive power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive power loss."""
    # Some systems cannot open folders; the rename itself has been done.
    with suppress(OSError):
        sync_file(folder)


def write_error(path: Path, error: OSError) -> InputError:
    """What the system said while a file was written, as one short text."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"The disk is full: {path} could not be written. Free some space.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} cannot be written: no permission. Name another place.")
    if error.errno == errno.ENOENT:
        return InputError(f"{path} cannot be written: there is no folder {path.parent}.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return InputError(
            f"{path} cannot be written: a file stands where a folder is needed. Name another place."
        )
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{path} cannot be written: the name is too long. Name another place.")
    return InputError(f"{path} could not be written: {error.strerror or error}.")


def json_text(value: Any) -> str:
    """JSON with sorted keys; numbers that JSON cannot hold become null."""
    return "".join(_json_pieces(value))


def json_digest(value: Any) -> str:
    """The SHA-256 of the JSON of a value, the same before it is written and after it is read."""
    digest = hashlib.sha256()
    for piece in _json_pieces(value):
        digest.update(piece.encode("utf-8"))
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    with whole_file(path) as sink:
        for piece in _json_pieces(value):
            sink.write(piece.encode("utf-8"))
        sink.write(b"\n")


def _json_pieces(value: Any) -> Iterator[str]:
    """The JSON of a value, in parts: as one text, that of a million categories takes 200 MB."""
    encoder = json.JSONEncoder(
        indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str
    )
    tokens = encoder.iterencode(_finite(value))
    while some := "".join(itertools.islice(tokens, _TOKENS)):
        yield some


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _finite(value.item())
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
