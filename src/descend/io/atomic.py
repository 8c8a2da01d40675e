"""Files written whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from descend.errors import FileFormatError, InputError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name when the block ends without an error.

    It is written beside its place, synced to the disk and renamed, so that neither a crash nor a
    power loss leaves half a file; after an error nothing is left.

    Raises:
        InputError: the folder is missing or read-only, or the disk is full.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as sink:
            temporary = Path(sink.name)
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


def is_partial(path: Path) -> bool:
    """Whether a file is one that `whole_file` had not finished when its process was killed."""
    return path.name.startswith(".") and path.suffix == ".part"


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
    """An error of the disk as one short text."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"The disk is full: {path} could not be written. Free some space.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} cannot be written: no permission. Name another place.")
    if error.errno == errno.ENOENT:
        return InputError(f"{path} cannot be written: there is no folder {path.parent}.")
    return InputError(f"{path} could not be written: {error.strerror or error}.")


def json_text(value: Any) -> str:
    """JSON with sorted keys; numbers that JSON cannot hold become null."""
    return json.dumps(
        _finite(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str
    )


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_whole(path, json_text(value) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        FileFormatError: the file is not JSON.
        InputError: there is no such file.
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no file {path}.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {error}.") from error


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
