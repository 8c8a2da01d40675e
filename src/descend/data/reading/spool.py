"""The temporary files of a table, and copying data to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from descend.errors import DataError
from descend.io.atomic import PARTIAL

BLOCK = 1 << 20
"""Bytes that are copied at a time."""


@final
class Spool:
    """The temporary files of one table, and the user's names for them.

    Attributes:
        notes: sentences for the user about how they were made.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._folders: list[tempfile.TemporaryDirectory[str]] = []
        self._shown: dict[str, str] = {}

    def new(self, name: str, shown: str) -> str:
        """A path for a temporary copy, and the user's name for it."""
        if not self._folders:
            self._folders.append(_temporary_folder(prefix="descend-"))
        folder = Path(self._folders[-1].name) / str(len(self._shown))
        folder.mkdir()
        path = str(folder / name)
        self._shown[path] = shown
        return path

    def make_room(self, beside: Path, size: int) -> bool:
        """Make further copies beside a row store; returns whether its disk has room for them.

        Copies that a killed process of this host has left there are removed.
        """
        name = f".{beside.name}-text-{socket.gethostname()}-"
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            for left in beside.parent.glob(f"{name}*{PARTIAL}"):
                if not _is_running(left.name.removeprefix(name).partition("-")[0]):
                    shutil.rmtree(left, ignore_errors=True)
            if shutil.disk_usage(beside.parent).free < size:
                return False
            prefix = f"{name}{os.getpid()}-"
            folder = _temporary_folder(dir=beside.parent, prefix=prefix, suffix=PARTIAL)
        except OSError:
            return False
        self._folders.append(folder)
        return True

    def origin(self, path: str) -> str:
        """The user's name for a file."""
        return self._shown.get(path, path)

    def told(self, text: str) -> str:
        """A text with temporary files replaced by the user's names."""
        for path, shown in self._shown.items():
            text = text.replace(path, shown)
        return text

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Inside the `with`, every DataError names files as the user does."""
        try:
            yield
        except DataError as error:
            error.args = (self.told(str(error)),)
            raise


def has_room(size: int) -> bool:
    """Whether the disk of temporary files has at least twice this many bytes free."""
    return 2 * size <= shutil.disk_usage(tempfile.gettempdir()).free


def _temporary_folder(**where: Any) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True, **where)


def _is_running(process: str) -> bool:
    """Whether a process of this host is; what is no number of one counts as running."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, OSError):
        return True
    return True


def copy_stream(stream: Any, path: str) -> str:
    """Copy a stream to a file, and return its hash."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "wb") as sink:
        while block := stream.read(BLOCK):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()


def hash_of(path: str) -> str:
    """A hash of the content of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def first_bytes(path: str) -> bytes:
    """The first 16 bytes of a file, which tell its format."""
    try:
        with open(path, "rb") as stream:
            return stream.read(16)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
