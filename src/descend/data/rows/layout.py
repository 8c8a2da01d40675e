"""Where the rows of a run are stored and in which order it reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from descend.data.rows.budget import Budget
from descend.data.rows.windows import Windows, even_windows
from descend.data.rows.write_store import piece_rows_of
from descend.errors import FileFormatError

_PLACE_BYTES = 8
"""Bytes per row for the order of a window's rows."""


@dataclass(frozen=True)
class Layout:
    """Where rows are stored and how they are read: decided once, recorded, and kept on resume.

    Attributes:
        stored: True for a store on disk, in shuffled order; False for memory, in the order of
            the source.
        windows: in which an epoch reads the rows; None where all rows are in memory.
        processes: among which the rows are shared out; 0 where each has all of them.
    """

    stored: bool
    windows: Windows | None = None
    processes: int = 0

    def as_json(self) -> dict[str, Any]:
        """The layout as values that JSON holds."""
        windows = None if self.windows is None else self.windows._asdict()
        shared = {"processes": self.processes} if self.processes else {}
        return {"stored": self.stored, "windows": windows, **shared}


def layout_from(record: Mapping[str, Any]) -> Layout:
    """Read back what `Layout.as_json` wrote.

    Raises:
        FileFormatError: something is absent or impossible.
    """
    try:
        windows = record["windows"]
        if windows is not None:
            windows = Windows(int(windows["piece_rows"]), int(windows["span"]))
        if windows is not None and min(windows) < 1:
            raise ValueError(windows)
        return Layout(bool(record["stored"]), windows, int(record.get("processes", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"The record of the run is damaged: layout {record!r}.") from error


def decide_layout(
    training: int, validation: int, row_bytes: int, budget: Budget, *, stored: bool
) -> Layout:
    """The layout for a table of this size.

    Args:
        training: number of training rows.
        validation: number of validation rows.
        row_bytes: bytes of one encoded row.
        budget: memory for each part of the work.
        stored: whether to use a store even if the rows fit in memory.
    """
    if (training + validation) * row_bytes <= budget.table:
        return Layout(stored)
    rows = budget.window // (row_bytes + _PLACE_BYTES)
    return Layout(True, even_windows(training, piece_rows_of(row_bytes), rows))
