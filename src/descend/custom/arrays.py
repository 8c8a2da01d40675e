"""Convert a user's arrays to 32 bits, and refuse values that these cannot hold."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descend.custom.trees import TARGET, Form, are_alike, check_columns, take_apart
from descend.data.reading.numpy_arrays import refuse_masked
from descend.errors import DataError
from descend.types import Batch

INT32 = np.iinfo(np.int32)
EXACT = float(1 << 24)
"""float32 holds every whole number up to this one."""
BLURRED = 0.01
"""Above `EXACT`, values whose rounding error in float32 exceeds this fraction of their deviation
can no longer be told apart."""


WEIGHTS = "Expected a weight for each row, 0 or more and not all of them 0."


class TargetFacts(NamedTuple):
    """Facts about one array of targets, over all rows.

    Attributes:
        labels: the smallest and the largest if they are whole numbers; else None.
        one_hot: whether every row, or place of a sequence, has a single 1 and otherwise 0.
        range: the smallest and the largest; None where they are not known.
        binary: whether all are 0 or 1.
    """

    labels: tuple[int, int] | None = None
    one_hot: bool = False
    range: tuple[float, float] | None = None
    binary: bool = False


def facts_of(values: NDArray[Any]) -> TargetFacts:
    """The facts about targets, at least one row."""
    low, high = (float(values.min()), float(values.max())) if values.size else (np.inf, -np.inf)
    return TargetFacts(labels_of(values), is_one_hot(values), (low, high), is_binary(values))


def join_facts(first: TargetFacts, second: TargetFacts) -> TargetFacts:
    """The facts about targets of which some rows are known and others."""
    labels, span = second.labels, second.range
    if first.range is not None and span is not None:
        span = min(first.range[0], span[0]), max(first.range[1], span[1])
    if first.labels is not None and labels is not None:
        labels = min(first.labels[0], labels[0]), max(first.labels[1], labels[1])
    return TargetFacts(
        labels, first.one_hot and second.one_hot, span, first.binary and second.binary
    )


class UserBatch(NamedTuple):
    """A user's rows as 32-bit arrays.

    Attributes:
        batch: the rows; further targets are among the inputs, with their own names.
        inputs: structure of the inputs.
        targets: structure of the targets.
    """

    batch: Batch
    inputs: Form
    targets: Form


def read_batch(data: Any, *, chunk: bool = False) -> UserBatch:
    """Read `X`, `(X, y)` or `(X, y, weight)` as 32-bit arrays.

    Args:
        data: these.
        chunk: whether it is one of several, which may have no rows, or none that count.

    Raises:
        DataError: the arrays have different lengths, or values that are not finite or do not fit
            in 32 bits.
    """
    X, y, weight = _parts(data)
    inputs, arrays = take_apart(X, "x")
    x = {name: narrow_numbers(values, name) for name, values in arrays.items()}
    if y is X:
        targets, ys = inputs, dict(x)
    else:
        targets, arrays = take_apart(y, "y")
        ys = {
            name: narrow_numbers(values, _name_in_message(name, targets))
            for name, values in arrays.items()
        }
    first, *others = ys.values()
    more = {f"{TARGET}{number}": values for number, values in enumerate(others, start=1)}
    targets = Form(("y", *more), targets.structure, targets.columns)
    rows = len(next(iter(x.values())))
    w = np.ones(rows, np.float32) if weight is None else _weights(weight)
    told = {_name_in_message(name, targets): values for name, values in ys.items()}
    lengths = {name: len(values) for name, values in {**x, **told, "weight": w}.items()}
    if len(set(lengths.values())) > 1 or (rows == 0 and not chunk):
        raise DataError(f"Expected arrays of equal length, at least one row; found {lengths}.")
    if w.ndim != 1 or not (w >= 0).all() or not (chunk or w.any()):
        raise DataError(WEIGHTS)
    return UserBatch(Batch({**x, **more}, first, w), inputs, targets)


def join_batches(parts: Sequence[UserBatch]) -> UserBatch:
    """Join batches of the same form.

    Raises:
        DataError: they have other forms.
    """
    first = parts[0]
    for one in parts:
        if not (are_alike(one.inputs, first.inputs) and are_alike(one.targets, first.targets)):
            raise DataError("Expected inputs and targets of one form in all chunks; found several.")
        check_columns(one.inputs, first.inputs, "all chunks")
        check_columns(one.targets, first.targets, "all chunks")
    batches = [one.batch for one in parts]
    try:
        x = {name: np.concatenate([one.x[name] for one in batches]) for name in batches[0].x}
        y = np.concatenate([one.y for one in batches])
    except ValueError as error:
        raise DataError(f"Expected chunks that are alike: {error}") from None
    return first._replace(batch=Batch(x, y, np.concatenate([one.weight for one in batches])))


def read_inputs(X: Any, like: Form) -> dict[str, NDArray[Any]]:
    """Inputs for predictions, by their names in training.

    Raises:
        DataError: they have another form, or no axis of rows.
    """
    form, arrays = take_apart(X, "x")
    if form.structure != like.structure:
        raise DataError(
            f"Expected inputs as in training, {', '.join(like.names)}; found "
            f"{', '.join(form.names)}."
        )
    check_columns(form, like, "the rows to predict")
    x = {name: narrow_numbers(values, name) for name, values in arrays.items()}
    lengths = {name: len(values) for name, values in x.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"Expected arrays of equal length; found {lengths}.")
    return x


def narrow_numbers(values: Any, name: str) -> NDArray[Any]:
    """An array of numbers in at most 32 bits; small integers such as pixels keep their type.

    Args:
        values: an array, or what NumPy makes one of.
        name: for messages.

    Raises:
        DataError: not numbers, no axis of rows, or values that do not fit in 32 bits.
    """
    array = as_array(values, name)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DataError(
            f"Expected {name} as an array of numbers, rows first; found {_described(values, array)}"
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


def _described(values: Any, array: NDArray[Any]) -> str:
    """What was found in place of an array of numbers, and what to write."""
    if hasattr(values, "toarray"):
        return (
            "a sparse matrix. A custom model takes arrays: give X.toarray(), or leave the rows "
            "sparse with MiniBatchClassifier or MiniBatchRegressor."
        )
    found = f"{array.dtype} of shape {array.shape}."
    if array.dtype.kind in "USO" and array.ndim:
        codes = "np.unique(values, return_inverse=True)[1]"
        return f"{found} Give codes for text, {codes}, or leave it out."
    if array.dtype.kind in "mM":
        days = "(values - values.min()) / np.timedelta64(1, 'D')"
        return f"{found} Give times as numbers, such as {days}."
    if array.dtype.kind == "c":
        return f"{found} Give the real and the imaginary part as two arrays."
    return found


def as_array(values: Any, name: str) -> NDArray[Any]:
    """An array of whatever NumPy makes one of, a tensor of PyTorch included."""
    if hasattr(values, "detach"):  # A PyTorch tensor, possibly on a device.
        values = values.detach().cpu()
        if str(values.dtype).startswith(("torch.bfloat16", "torch.float8")):  # NumPy has no such.
            values = values.float()
    refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no array of numbers: {error}") from None
    if array.dtype.kind == "O" and array.size:
        return _of_objects(array)
    # The kind of bfloat16 and the like is 'V'; float32 holds their values exactly.
    if array.dtype.kind == "V" and "float" in array.dtype.name:
        return array.astype(np.float32)
    return array


def _of_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers that are objects, as NumPy makes of nullable columns of pandas; others as they are.

    What stands for a missing value there becomes NaN.
    """
    kinds = {type(one) for one in array.ravel()}
    absent = {one for one in kinds if one.__name__ in ("NAType", "NoneType")}
    present = kinds - absent
    if not present or not all(
        issubclass(one, numbers.Real | np.number | np.bool_) for one in present
    ):
        return array
    if absent:
        flat = [np.nan if type(one) in absent else float(one) for one in array.ravel()]
        return np.asarray(flat, np.float64).reshape(array.shape)
    whole = all(issubclass(one, numbers.Integral | np.integer | np.bool_) for one in present)
    made = np.asarray(array.ravel().tolist())
    if whole and made.dtype.kind in "iub":
        return made.reshape(array.shape)
    return np.asarray(array, np.float64)


def _floats(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Floats in at most 32 bits, all finite and distinguishable."""
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
        raise DataError(
            f"{name} holds {worst:.3g}, more than float32 can hold (3.4e38). Divide by a constant."
        )
    if array.size and float(np.abs(array).max()) > EXACT:
        _check_apart(array, narrow, name)
    return narrow


def _check_apart(array: NDArray[Any], narrow: NDArray[Any], name: str) -> None:
    """Refuse large numbers that float32 cannot tell apart, such as milliseconds since 1970."""
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


def _name_in_message(name: str, form: Form) -> str:
    return name if form.single else f"y[{name!r}]"


def labels_of(values: NDArray[Any]) -> tuple[int, int] | None:
    """The smallest and the largest of whole numbers, which may be classes; None for others."""
    if values.dtype.kind not in "iub" or values.size == 0:
        return None
    return int(values.min()), int(values.max())


def is_binary(values: NDArray[Any]) -> bool:
    """Whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def is_one_hot(values: NDArray[Any]) -> bool:
    """Whether `[B, ..., k]`, k at least 2, has a single 1 and otherwise 0 along its last axis."""
    if values.ndim < 2 or values.shape[-1] < 2:
        return False
    ones = values == 1
    return bool((ones | (values == 0)).all() and (ones.sum(axis=-1) == 1).all())
