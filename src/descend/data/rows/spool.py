"""Rows whose number is not known in advance, held on disk until the last has arrived."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import final

import numpy as np

from descend.data.rows.mapped_store import as_bytes
from descend.data.rows.store_header import Group, batch_of, groups_of, leaves_of
from descend.errors import DataError, option_text
from descend.io.atomic import write_error
from descend.types import Batch


@final
class Spool:
    """Writes batches one after the other, and reads them back in order.

    The number of rows must be known before a row store is written. The files have no name, so
    the system deletes them when the process ends in any way.

    Args:
        folder: on the disk to use.
    """

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        self._folder = folder
        self._groups: tuple[Group, ...] = ()
        self._files: Mapping[str, FileIO] = {}
        self._open = ExitStack()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def add(self, batch: Batch) -> None:
        """Append rows; all batches have the same arrays.

        Raises:
            DataError: the disk is full or read-only.
        """
        try:
            if not self._files:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._groups = groups_of(batch)
                self._files = {group.name: self._file() for group in self._groups}
            leaves = leaves_of(batch)
            for name, file in self._files.items():
                view = as_bytes(np.ascontiguousarray(leaves[name]))
                while len(view):
                    view = view[file.write(view) :]
        except OSError as error:
            raise DataError(
                f"{write_error(self._folder, error)} {option_text('store')} names another folder."
            ) from error
        self.rows += len(batch.weight)

    def read(self, rows: int) -> Iterator[Batch]:
        """All rows, a number of them at a time."""
        for file in self._files.values():
            file.seek(0)
        for start in range(0, self.rows, rows):
            count = min(rows, self.rows - start)
            yield batch_of({group.name: self._taken(group, count) for group in self._groups})

    def _file(self) -> FileIO:
        file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - kept open
        self._open.callback(file.close)
        return file

    def _taken(self, group: Group, count: int) -> np.ndarray:
        content = bytearray(count * group.row_bytes)
        view = memoryview(content)
        while view:
            done = self._files[group.name].readinto(view)
            if not done:
                raise DataError(f"The rows kept in {self._folder} were cut short.")
            view = view[done:]
        return np.frombuffer(content, group.dtype).reshape(count, *group.shape)
