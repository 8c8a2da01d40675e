"""Arrays as JAX computes with them: what 32 bits cannot hold is refused, the rest is exact."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from descend.custom.arrays import as_array, narrow_numbers, read_batch
from descend.custom.data import custom_rows
from descend.errors import DataError
from descend.settings import Settings

X = np.ones((5, 2))


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "int32", "uint32", "float16", "float32", "bool"]
)
def test_narrow_types_stay(dtype: str) -> None:
    values = np.array([0, 1, 1], dtype)
    assert narrow_numbers(values, "x").dtype == values.dtype


@pytest.mark.parametrize("place", [0, 1, 2])
def test_masked_values_are_refused(place: int) -> None:
    """NumPy would compute with what the mask hides."""
    parts: list[Any] = [X, np.arange(5.0), np.ones(5)]
    shown = ("x", "y", "weight")[place]
    open_ = np.ma.masked_array(parts[place], mask=np.zeros(parts[place].shape, bool))
    read_batch((*parts[:place], open_, *parts[place + 1 :]))
    open_[1] = np.ma.masked
    with pytest.raises(DataError, match=f"{shown} has [12] masked values"):
        read_batch((*parts[:place], open_, *parts[place + 1 :]))


@pytest.mark.parametrize("most", [0, 7, 2**31 - 1])
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_whole_numbers_of_64_bits_are_exact_where_32_hold_them(most: int, dtype: str) -> None:
    found = narrow_numbers(np.array([0, most], dtype), "x")
    assert (found.dtype, found.tolist()) == (np.int32, [0, most])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([0, 3_000_000_000]), "from 0 to 3,000,000,000"),
        (np.array([-(2**31) - 1, 0]), "from -2,147,483,649 to 0"),
        (np.array([0, 2**64 - 1], np.uint64), "18,446,744,073,709,551,615"),
        (np.array([0, 2**32 + 1]), "4,294,967,297"),
        (np.array([1e39, 0.0]), "more than float32"),
        (1.7e12 + np.arange(5.0), "differences float32"),
        (np.array([1.0, np.nan]), "1 values that are NaN or infinite"),
        (np.array([1.0, np.inf, -np.inf]), "2 values"),
        (np.array(["a"]), "array of numbers"),
        (np.array(3.0), "rows first"),
        (np.array(["2020-01-01"], "datetime64[D]"), "found datetime64"),
        ([[1, 2], [3]], "no array of numbers"),
    ],
)
def test_what_32_bits_cannot_hold_is_refused(values: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        narrow_numbers(values, "y")


def test_floats_of_64_bits_are_rounded_where_that_loses_nothing_that_matters() -> None:
    for values in (np.array([0.1, 0.1 + 1e-12]), np.array([3e9, 5e9]), np.full(3, 1.7e12)):
        assert narrow_numbers(values, "x").dtype == np.float32


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((X, X, np.full(5, 1e-320)), "beyond what float32"),
        ((X, X, np.full(5, 1e300)), "beyond what float32"),
        ((X, X, np.full(5, np.nan)), "NaN"),
        ((X, X, np.array(["a"] * 5)), "weight as numbers"),
        ((X, {"a": np.zeros(5), "b": np.array([0, 2**40, 0, 0, 0])}), r"y\['b'\]"),
        (({"y__1": X}, X), "identifiers"),
        (([], X), "equal length"),
    ],
)
def test_odd_rows_are_refused(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_batch(data)


def rows(data: Any) -> Any:
    return custom_rows(data, Settings("y"), 0.5, layout=None, say=lambda text: None)


class Pairs:
    """A sequence as Keras has them, and no iterator."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        return X + number, np.full(5, number)


def loader() -> Any:
    """What a data loader gives: lists, and again as often as it is asked."""
    return [[X + number, np.full(5, number)] for number in range(3)]


class Loader:
    def __iter__(self) -> Any:
        return iter(loader())


@pytest.mark.parametrize(
    "data", [Pairs(), Loader(), iter(loader()), [tuple(one) for one in loader()]]
)
def test_what_can_be_gone_through_is_taken(data: Any) -> None:
    whole = np.concatenate([one[0] for one in loader()]), np.repeat(np.arange(3), 5)
    assert rows(data).fingerprint == rows(whole).fingerprint


def test_an_iterator_without_an_end_is_refused() -> None:
    with pytest.raises(DataError, match="first chunk again"):
        rows((X, X) for _ in itertools.count())


def test_an_iterator_that_would_fill_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("descend.custom.data._disk_limit", lambda folder: 2000.0)
    with pytest.raises(DataError, match="the rest of the disk"):
        rows((X + number, X) for number in itertools.count())


@pytest.mark.parametrize(
    ("data", "said"),
    [([X, X], "a tuple, found a list"), (loader, "Call it"), (3, "an iterator")],
)
def test_what_is_no_data_is_named(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rows(data)


def test_targets_may_have_any_names_also_those_of_inputs() -> None:
    x = np.arange(6.0).reshape(3, 2)
    read = read_batch(({"a": x}, {"y": x[:, 0], "weight": x[:, 1], "a": x}))
    found = read.targets.assembled({"y": read.batch.y, **read.batch.x})
    assert np.array_equal(found["weight"], x[:, 1])
    assert np.array_equal(found["a"], x)
    with pytest.raises(DataError, match=r"equal length.*'a': 3.*\"y\['a'\]\": 2"):
        read_batch(({"a": x}, {"a": x[:2]}, np.ones(3)))


def test_tensors_of_types_that_numpy_lacks_are_float32() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[1.0], [2.5]], dtype=torch.bfloat16, requires_grad=True)
    found = as_array(tensor, "x")
    assert found.dtype == np.float32
    assert found.tolist() == [[1.0], [2.5]]


def test_numbers_that_are_objects_are_numbers() -> None:
    """NumPy makes objects of the columns of pandas that may hold missing values."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.5, 2.0], "b": [3.0, 4.0]}).astype("Float64")
    assert as_array(frame, "x").tolist() == [[1.5, 3.0], [2.0, 4.0]]
    codes = as_array(pandas.Series([2, 1, 0], dtype="Int64").astype(object), "y")
    assert (codes.dtype.kind, codes.tolist()) == ("i", [2, 1, 0])
    frame.iloc[1, 0] = pandas.NA
    with pytest.raises(DataError, match="x has 1 values that are NaN"):
        narrow_numbers(frame, "x")
    with pytest.raises(DataError, match="Give codes for text"):
        narrow_numbers(np.array([["a", 1.0]], object), "x")
