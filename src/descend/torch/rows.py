"""Batches of rows from any PyTorch data set, collated as its data loader does."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
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
        data: a map-style or iterable data set, or a data loader, whose data set, sampler and
            collate function are used.
        collate: makes a batch of a list of rows; None takes the loader's, or PyTorch's own.
        device: where batches go.
        dtype: of the model, to which floats of 64 bits and of fewer bits are converted.
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
        drawn: list[Any] | None = None
        _refuse_several(data)
        if isinstance(data, torch.utils.data.DataLoader):
            if data.batch_size is None and data.batch_sampler is None:
                give = (
                    "its sampler gives the numbers of whole batches. Give the data set by itself."
                    if isinstance(data.sampler, torch.utils.data.BatchSampler)
                    else "its data set makes the batches, so no other size can be tried. Give a "
                    "data set of single rows."
                )
                raise InputError(f"The DataLoader has batch_size=None: {give}")
            collate = collate or data.collate_fn
            drawn = _drawn(data)
            data = data.dataset
        # A collate function of the user's may leave out rows that are None.
        self._skips = collate is not None
        self._collate = collate or torch.utils.data.default_collate
        if _are_arrays(data):
            raise InputError(
                f"Expected a data set of rows, found {len(data)} arrays. Give "
                "torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(y))."
            )
        length = _length(data)
        if hasattr(data, "__getitem__") and length is not None:
            self._data, self.count = data, length
            if drawn is not None:
                self._data, self.count = _Chosen(data, drawn), len(drawn)
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
        return self.joined(self._read_rows([int(number) for number in numbers]))

    def _read_rows(self, numbers: list[int]) -> list[Any]:
        """These rows, read all at once where the data set does so, as a data loader reads them."""
        at_once = getattr(self._data, "__getitems__", None)
        if not callable(at_once):
            return [self._row(number) for number in numbers]
        try:
            rows = list(at_once(numbers))
        except Exception as error:
            raise InputError(
                f"The data set fails at rows {numbers[:5]}: {type(error).__name__}: {error}"
            ) from error
        return [
            self._row(number) if row is None and self._skips else row
            for number, row in zip(numbers, rows, strict=True)
        ]

    def _row(self, number: int) -> Any:
        """A row; the next that is one in place of None, which a user's collate leaves out."""
        for later in range(self.count if self._skips else 1):
            place = (number + later) % self.count
            try:
                row = self._data[place]
            except Exception as error:
                raise InputError(
                    f"The data set fails at row {place}: {type(error).__name__}: {error}"
                ) from error
            if row is not None:
                break
        return row

    def read_until(self, numbers: np.ndarray, until: float, clock: Clock) -> list[Any]:
        """As many of these rows as can be read in time, at least a few."""
        rows: list[Any] = []
        for number in numbers:
            rows += self._read_rows([int(number)])
            if clock() > until and len(rows) >= FEWEST_VALIDATION_ROWS:
                break
        return rows

    def joined(self, rows: list[Any]) -> Any:
        """Rows that were read as a batch."""
        if not self._skips and any(row is None for row in rows):
            raise InputError(
                "The data set gives None for some rows. Give collate= (collate_fn of a "
                "DataLoader), a function of a list of rows that leaves these out."
            )
        try:
            batch = self._collate(rows)
        except Exception as error:
            raise InputError(
                f"Rows cannot be made into a batch: {type(error).__name__}: {error}. Where they "
                "differ in size, collate= says how, as in a DataLoader (collate_fn)."
            ) from error
        if batch is None:
            raise InputError(
                f"The collate function gives None for {len(rows)} rows. Batches of 1 row and more "
                "are tried: leave out in the data set what is no row (torch.utils.data.Subset, or "
                "None in its place), so that every batch has one."
            )
        return self.placed(batch)

    def placed(self, part: Any) -> Any:
        """The tensors of a batch on the device, with float64 converted to the model's type."""
        torch = self._torch
        if isinstance(part, torch.Tensor):
            return part.to(self._device, self._kind_for(part.dtype))
        if isinstance(part, torch.nn.utils.rnn.PackedSequence):
            return part.to(self._device, self._kind_for(part.data.dtype))
        if isinstance(part, MutableMapping):
            made = copy.copy(part)  # It may be read by its attributes, as those of Hugging Face.
            made.update({name: self.placed(one) for name, one in part.items()})
            return made
        if isinstance(part, Mapping):
            return {name: self.placed(one) for name, one in part.items()}
        if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
            return type(part)(self.placed(one) for one in part)
        if hasattr(part, "_fields"):
            return type(part)(*(self.placed(one) for one in part))
        if hasattr(part, "to"):
            part = part.to(self._device)
        if not dataclasses.is_dataclass(part):
            return part
        fields, part = dataclasses.fields(part), copy.copy(part)
        for field in fields:  # It may be frozen.
            object.__setattr__(part, field.name, self.placed(getattr(part, field.name)))
        return part

    def _kind_for(self, dtype: Any) -> Any:
        """The model's type for floats of 64 bits, and for those that it holds exactly; else None.

        A model computes with one type, and a loop that works converts its rows to it.
        """
        torch = self._torch
        floats = dtype.is_floating_point or dtype.is_complex
        if not floats or self._dtype.is_complex != dtype.is_complex:
            return None
        wide = dtype in (torch.float64, torch.complex128)
        exact = torch.promote_types(dtype, self._dtype) == self._dtype
        return self._dtype if wide or exact else None


def _refuse_several(data: Any) -> None:
    """Raise InputError where it is several data sets, or an iterator, which is read but once."""
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    parts = list(data.items()) if isinstance(data, Mapping) else []
    if isinstance(data, list | tuple):
        parts = list(enumerate(itertools.islice(data, FEWEST_ROWS)))
    if parts and all(isinstance(one, DataLoader | Dataset) for _, one in parts):
        names = ", ".join(repr(name) for name, _ in parts[:5])
        raise InputError(
            f"Expected one data set or DataLoader; found several, {names}. Give the one to train "
            f"on, such as data[{parts[0][0]!r}]."
        )
    if isinstance(data, Iterator) and not isinstance(data, IterableDataset):
        raise InputError(
            f"Expected a data set or a DataLoader; found an iterator ({type(data).__name__}), "
            "which can be read only once, and your loop would miss its rows. Give what it was "
            "made of."
        )


def _are_arrays(data: Any) -> bool:
    """Whether it is `(X, y)` or `(X, y, weight)`, arrays of equally many rows, maybe by name."""
    if not isinstance(data, tuple | list | Mapping) or len(data) not in (2, 3):
        return False
    parts = data.values() if isinstance(data, Mapping) else data
    return len({tuple(getattr(part, "shape", ()))[:1] for part in parts} - {()}) == 1


def _length(data: Any) -> int | None:
    """The number of rows of a data set by number; None where it has none."""
    from torch.utils.data import IterableDataset

    if isinstance(data, IterableDataset):
        return None  # It may have a length all the same.
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None


class _Chosen:
    """Some rows of a data set, by their place among these."""

    def __init__(self, data: Any, numbers: Sequence[Any]) -> None:
        self._data, self._numbers = data, numbers
        at_once = getattr(data, "__getitems__", None)
        if callable(at_once):
            self.__getitems__ = lambda places: at_once([numbers[place] for place in places])

    def __getitem__(self, place: int) -> Any:
        return self._data[self._numbers[place]]


def _drawn(loader: Any) -> list[Any] | None:
    """The rows that the sampler of a loader draws, a sample of them; None where it takes all.

    The random state of the sampler stays as it was.
    """
    from torch.utils.data import BatchSampler, IterableDataset, RandomSampler, SequentialSampler

    if isinstance(loader.dataset, IterableDataset):
        return None
    own = type(loader.batch_sampler) is not BatchSampler
    sampler: Any = loader.batch_sampler.sampler if not own else None
    if type(sampler) is SequentialSampler:
        return None
    if type(sampler) is RandomSampler and not sampler.replacement:
        return None
    drawing = loader.batch_sampler if own else sampler
    source = getattr(drawing, "generator", None)
    if source is None:
        source = getattr(getattr(drawing, "sampler", None), "generator", None)
    state = source.get_state() if source is not None else None
    found: Any = itertools.chain.from_iterable(loader.batch_sampler) if own else sampler
    try:
        return list(itertools.islice(found, SAMPLE_ROWS))
    finally:
        if source is not None:
            source.set_state(state)


def _read(data: Any, until: float, clock: Clock) -> Any:
    """The first rows of an iterable data set, as many as can be read in time."""
    for number, row in enumerate(itertools.islice(data, SAMPLE_ROWS)):
        yield row
        if clock() > until and number + 1 >= 4 * FEWEST_ROWS:
            return
