"""Write a row store atomically, in one pass over the source, with its rows shuffled."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from descend.data.rows.part_writer import PartWriter, changed_table_error
from descend.data.rows.store_header import (
    PARTS,
    Group,
    Header,
    groups_of,
    write_header,
)
from descend.errors import DataError, option_text
from descend.io.atomic import PARTIAL, sync_file, sync_folder, write_error
from descend.types import Batch

PIECE_BYTES = 1 << 20
BUCKET_BYTES = 128 << 20

Part = tuple[str, Batch]


def write_store(
    folder: Path,
    parts: Iterable[Part],
    *,
    key: Mapping[str, Any],
    rows: Mapping[str, int],
    seed: int,
    bucket_bytes: int = BUCKET_BYTES,
) -> None:
    """Write a row store under a temporary name, and rename it when it is complete.

    A permutation of (seed, n) decides the position of the n-th training row, so the files are
    the same for any `bucket_bytes`. Validation rows keep their order.

    Args:
        folder: the store; an existing one is replaced.
        parts: pairs of `training` or `validation` and rows, in the order of the source.
        key: identifies what the store is made from.
        rows: the number of rows of each part.
        seed: for the order in the files.
        bucket_bytes: memory for shuffling.

    Raises:
        DataError: the disk is full or read-only, or there are not as many rows as announced.
    """
    with _in_its_place(folder) as building:
        writers: dict[str, PartWriter] = {}
        header: Header | None = None
        try:
            for part, batch in parts:
                if header is None:
                    header = _header(groups_of(batch), key, rows)
                    check_room(folder, header.bytes + 4 * rows["training"])
                    writers = {
                        name: PartWriter(building, header, name, seed, bucket_bytes)
                        for name in PARTS
                    }
                writers[part].add(batch)
            if header is None or any(writer.missing for writer in writers.values()):
                raise changed_table_error(
                    rows, {name: writer.count for name, writer in writers.items()}
                )
            sums = [writers[name].finish() for name in PARTS]
        finally:
            for writer in writers.values():
                writer.close()
        means = {name: writers[name].mean_weight for name in PARTS}
        final_header = Header(key, header.groups, header.piece_rows, dict(rows), means)
        write_header(building, final_header, np.concatenate(sums))
        _sync(building)


def piece_rows_of(row_bytes: int) -> int:
    """Rows of a piece, about a mebibyte."""
    return max(1, PIECE_BYTES // row_bytes)


def check_room(folder: Path, size: int) -> None:
    """Raise DataError if the disk lacks room for a store and for shuffling it."""
    free = shutil.disk_usage(folder.parent).free
    if free < size:
        raise _no_room(folder, f" It needs {size:,} bytes; {free:,} are free.")


def _header(groups: tuple[Group, ...], key: Mapping[str, Any], rows: Mapping[str, int]) -> Header:
    row_bytes = sum(group.row_bytes for group in groups)
    return Header(key, groups, piece_rows_of(row_bytes), dict(rows), {})


@contextmanager
def _in_its_place(folder: Path) -> Iterator[Path]:
    """A folder to build in; it becomes `folder` when the block ends without an error.

    Only one process builds at a time (see `store_cache`); remains of a killed one are removed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{folder.name}.*{PARTIAL}"):
            shutil.rmtree(left, ignore_errors=True)
        building = Path(
            tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=PARTIAL)
        )
        try:
            yield building
            _replace(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(folder) from error
        raise DataError(
            f"{write_error(folder, error)} {option_text('store')} names another folder."
        ) from error


def _sync(folder: Path) -> None:
    """Sync the files of a folder, so that they survive a power loss."""
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder)


def _replace(building: Path, folder: Path) -> None:
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=PARTIAL))
        os.rename(folder, old / "old")
        os.rename(building, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(building, folder)
    sync_folder(folder.parent)


def _no_room(folder: Path, need: str = "") -> DataError:
    return DataError(
        f"The disk is too full for the row store {folder}.{need} Free some space, or name a "
        f"folder on another disk with {option_text('store')}."
    )
