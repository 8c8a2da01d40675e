"""Batches of rows from any PyTorch data set, collated as its data loader does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from descend.errors import InputError

SAMPLE_ROWS = 8192
"""Most rows that are read."""
FEWEST_ROWS = 20
VALIDATION_PART = 0.2
FEWEST_VALIDATION_ROWS = 4

Clock = Callable[[], float]


class Rows:
    """Rows by number, in batches on a device.

    Args:
        data: a map-style or iterable data set, or a data loader, whose data set and collate
            function are used.
        collate: makes a batch of a list of rows; None takes the loader's, or PyTorch's own.
        device: where batches go.
        dtype: to which float64 tensors are converted for the model.
        until: time at which reading an iterable data set ends.
        clock: seconds.

    Raises:
        InputError: not a data set, or too few rows.
    """

    def __init__(
        self, data: Any, collate: Any, device: Any, dtype: Any, until: float, clock: Clock
    ) -> None:
        import torch

        self._torch = torch
        self._device, self._dtype = device, dtype
        if isinstance(data, torch.utils.data.DataLoader):
            collate = collate or data.collate_fn
            data = data.dataset
        self._collate = collate or torch.utils.data.default_collate
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            self._data, self.count = data, len(data)
        elif hasattr(data, "__iter__"):
            self._data = list(_read(data, until, clock))
            self.count = len(self._data)
        else:
            raise InputError(
                "Expected a data set with __getitem__ and __len__, an iterable one, or a "
                f"DataLoader; found {type(data).__name__}."
            )
        if self.count < FEWEST_ROWS:
            raise InputError(
                f"Expected a data set of at least {FEWEST_ROWS} rows, found {self.count}."
            )

    def batch(self, numbers: Sequence[int] | np.ndarray) -> Any:
        """The rows with these numbers, collated."""
        return self.placed(self._collate([self._data[int(number)] for number in numbers]))

    def batch_until(self, numbers: np.ndarray, until: float, clock: Clock) -> tuple[Any, int]:
        """As many of these rows as can be read in time, at least a few, and their number."""
        rows = []
        for number in numbers:
            rows.append(self._data[int(number)])
            if clock() > until and len(rows) >= FEWEST_VALIDATION_ROWS:
                break
        return self.placed(self._collate(rows)), len(rows)

    def placed(self, part: Any) -> Any:
        """The tensors of a batch on the device, with float64 converted to the model's type."""
        if isinstance(part, self._torch.Tensor):
            wide = part.dtype == self._torch.float64
            return part.to(self._device, self._dtype if wide else None)
        if isinstance(part, Mapping):
            return {name: self.placed(one) for name, one in part.items()}
        if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
            return type(part)(self.placed(one) for one in part)
        if hasattr(part, "_fields"):
            return type(part)(*(self.placed(one) for one in part))
        return part.to(self._device) if hasattr(part, "to") else part


def _read(data: Any, until: float, clock: Clock) -> Any:
    """The first rows of an iterable data set, as many as can be read in time."""
    for number, row in enumerate(itertools.islice(data, SAMPLE_ROWS)):
        yield row
        if clock() > until and number + 1 >= 4 * FEWEST_ROWS:
            return
