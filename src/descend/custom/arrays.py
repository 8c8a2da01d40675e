"""Arrays of a user as JAX computes with them: 32 bits, and nothing that these cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descend.custom.trees import TARGET, Form, taken_apart
from descend.errors import DataError
from descend.types import Batch

INT32 = np.iinfo(np.int32)
EXACT = float(1 << 24)
"""float32 holds every whole number up to here."""
BLURRED = 0.01
"""Values of more than `EXACT` whose rounding to float32 is a larger part of their deviation than
this have lost what tells them apart."""


class TargetFacts(NamedTuple):
    """What is known of one array of targets, over all rows.

    Attributes:
        labels: the least and the largest, where they are whole numbers; else None.
        one_hot: whether every row has one 1 and otherwise 0.
    """

    labels: tuple[int, int] | None = None
    one_hot: bool = False


def facts_of(values: NDArray[Any], before: TargetFacts | None = None) -> TargetFacts:
    """The facts of some targets and of those before them."""
    labels, one_hot = labels_of(values), is_one_hot(values)
    if before is None:
        return TargetFacts(labels, one_hot)
    if labels is not None and before.labels is not None:
        labels = min(labels[0], before.labels[0]), max(labels[1], before.labels[1])
    return TargetFacts(labels, one_hot and before.one_hot)


class UserBatch(NamedTuple):
    """Rows as a user gives them, read.

    Attributes:
        batch: the rows; targets beside the first are among the inputs, under names of their own.
        inputs: how the inputs hang together.
        targets: how the targets do.
    """

    batch: Batch
    inputs: Form
    targets: Form


def read_batch(data: Any) -> UserBatch:
    """`X`, `(X, y)` or `(X, y, weight)` as JAX computes with it.

    Raises:
        DataError: the arrays do not fit each other, hold no finite numbers, or hold numbers that
            32 bits cannot.
    """
    X, y, weight = _parts(data)
    inputs, arrays = taken_apart(X, "x")
    x = {name: narrowed(values, name) for name, values in arrays.items()}
    if y is X:
        targets, ys = inputs, dict(x)
    else:
        targets, arrays = taken_apart(y, "y")
        ys = {name: narrowed(values, _shown(name, targets)) for name, values in arrays.items()}
    first, *others = ys.values()
    more = {f"{TARGET}{number}": values for number, values in enumerate(others, start=1)}
    targets = Form(("y", *more), targets.structure)
    rows = len(next(iter(x.values())))
    w = np.ones(rows, np.float32) if weight is None else _weights(weight)
    lengths = {name: len(values) for name, values in {**x, **ys, "weight": w}.items()}
    if len(set(lengths.values())) > 1 or rows == 0:
        raise DataError(f"Expected arrays of equal length, at least one row; found {lengths}.")
    if w.ndim != 1 or not (w.min() >= 0) or w.max() == 0:
        raise DataError("Expected a weight for each row, 0 or more and not all of them 0.")
    return UserBatch(Batch({**x, **more}, first, w), inputs, targets)


def joined(parts: Sequence[UserBatch]) -> UserBatch:
    """Several reads of rows of one form as one.

    Raises:
        DataError: they have other forms.
    """
    first = parts[0]
    if any((one.inputs, one.targets) != (first.inputs, first.targets) for one in parts):
        raise DataError("Expected inputs and targets of one form in all chunks; found several.")
    batches = [one.batch for one in parts]
    try:
        x = {name: np.concatenate([one.x[name] for one in batches]) for name in batches[0].x}
        y = np.concatenate([one.y for one in batches])
    except ValueError as error:
        raise DataError(f"Expected chunks that are alike: {error}") from None
    return first._replace(batch=Batch(x, y, np.concatenate([one.weight for one in batches])))


def read_inputs(X: Any, like: Form) -> dict[str, NDArray[Any]]:
    """Inputs for predictions, by the names that they had in training.

    Raises:
        DataError: they have another form.
    """
    form, arrays = taken_apart(X, "x")
    if form.structure != like.structure:
        raise DataError(
            f"Expected inputs as in training, {', '.join(like.names)}; found "
            f"{', '.join(form.names)}."
        )
    return {name: narrowed(values, name) for name, values in arrays.items()}


def narrowed(values: Any, name: str) -> NDArray[Any]:
    """An array of numbers in 32 bits or less; small integers such as pixels stay small.

    Args:
        values: an array, or what NumPy makes one of.
        name: for messages.

    Raises:
        DataError: no numbers, rows that are not first, or values that 32 bits cannot hold.
    """
    array = as_array(values, name)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DataError(
            f"Expected {name} as an array of numbers, rows first; found {array.dtype} of shape "
            f"{array.shape}."
        )
    if array.dtype.kind == "f":
        return _floats(array, name)
    if array.dtype.itemsize < 8 or array.size == 0:
        return array
    least, most = int(array.min()), int(array.max())
    if least < INT32.min or most > INT32.max:
        raise DataError(
            f"{name} holds whole numbers from {least:,} to {most:,}; JAX computes with 32 bits, "
            f"from {INT32.min:,} to {INT32.max:,}. Subtract an offset, or give {name} as floats "
            f"of moderate size: ({name} - {name}.mean()) / {name}.std()."
        )
    return array.astype(np.int32)


def as_array(values: Any, name: str) -> NDArray[Any]:
    """An array of whatever NumPy makes one of, a tensor of PyTorch included."""
    if hasattr(values, "detach"):  # A tensor of PyTorch, which may be on a device.
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no array of numbers: {error}") from None
    # NumPy calls bfloat16 and its like 'V'; they are floats that float32 holds exactly.
    if array.dtype.kind == "V" and "float" in array.dtype.name:
        return array.astype(np.float32)
    return array


def _floats(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Floats of 32 bits or less, all finite and still apart."""
    if not np.isfinite(array).all():
        raise DataError(
            f"{name} has {int((~np.isfinite(array)).sum()):,} values that are NaN or infinite; "
            "replace them or leave these rows out."
        )
    if array.dtype.itemsize <= 4:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        worst = float(array.ravel()[np.abs(array).argmax()])
        raise DataError(f"{name} holds {worst:.3g}, more than float32 can (3.4e38). Divide it.")
    if array.size and float(np.abs(array).max()) > EXACT:
        _check_apart(array, narrow, name)
    return narrow


def _check_apart(array: NDArray[Any], narrow: NDArray[Any], name: str) -> None:
    """Refuse large numbers whose differences float32 does not hold, such as milliseconds."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    lost = np.abs(rows - narrow.reshape(len(array), -1)).max(axis=0)
    deviation = rows.std(axis=0)
    blurred = (np.abs(rows).max(axis=0) > EXACT) & (lost > BLURRED * deviation) & (deviation > 0)
    if blurred.any():
        place = int(np.argmax(blurred))
        column = rows[:, place]
        raise DataError(
            f"{name} holds numbers from {column.min():.15g} to {column.max():.15g}, whose "
            "differences float32 (7 digits) cannot hold. Subtract the mean and divide by the "
            "standard deviation first."
        )


def _weights(weight: Any) -> NDArray[np.float32]:
    array = as_array(weight, "weight")
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DataError(f"Expected weight as numbers, one for each row; found {array.dtype}.")
    if not np.isfinite(array).all():
        raise DataError("weight has values that are NaN or infinite; replace them.")
    with np.errstate(over="ignore", under="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all() or ((narrow == 0) != (array == 0)).any():
        raise DataError(
            f"weight reaches from {array.min():.3g} to {array.max():.3g}, beyond what float32 "
            "holds. Divide the weights by their mean."
        )
    return narrow


def _parts(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple):
        return data, data, None
    if len(data) not in (2, 3):
        raise DataError(f"Expected (X, y) or (X, y, weight), found {len(data)} parts.")
    return data if len(data) == 3 else (*data, None)


def _shown(name: str, form: Form) -> str:
    return name if form.single else f"y[{name!r}]"


def labels_of(values: NDArray[Any]) -> tuple[int, int] | None:
    """The least and the largest of whole numbers, which may name classes; None of others."""
    if values.dtype.kind not in "iub" or values.size == 0:
        return None
    return int(values.min()), int(values.max())


def is_one_hot(values: NDArray[Any]) -> bool:
    """Whether each row of `[B, k]`, k at least 2, has one 1 and otherwise 0."""
    if values.ndim != 2 or values.shape[1] < 2:
        return False
    ones = values == 1
    return bool((ones | (values == 0)).all() and (ones.sum(axis=1) == 1).all())
