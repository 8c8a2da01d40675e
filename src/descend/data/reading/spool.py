"""The temporary files of a table, and copying data to them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from descend.errors import DataError

BLOCK = 1 << 20
"""Bytes that are copied at a time."""


@final
class Spool:
    """The temporary files of one table, and the user's names for them."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._shown: dict[str, str] = {}

    def new(self, name: str, shown: str) -> str:
        """A path for a temporary copy, and the user's name for it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(
                prefix="descend-", ignore_cleanup_errors=True
            )
        folder = Path(self._folder.name) / str(len(self._shown))
        folder.mkdir()
        path = str(folder / name)
        self._shown[path] = shown
        return path

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


def first_bytes(path: str, count: int = 16) -> bytes:
    """The first bytes of a file."""
    try:
        with open(path, "rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
