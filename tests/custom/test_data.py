"""Rows for own models: chunks in memory or on disk are the same rows, and odd ones are refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.custom import data
from descend.custom.data import CustomRows, custom_rows
from descend.data.rows.budget import MIB, Budget
from descend.data.rows.layout import Layout
from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.split import is_validation
from descend.errors import DataError, SettingsError
from descend.settings import Settings
from descend.types import Batch

ROWS = 500


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small images whose first pixel is their number."""
    pixels = np.random.default_rng(0).integers(0, 255, (ROWS, 4, 6)).astype(np.uint8)
    pixels[:, 0, 0] = np.arange(ROWS) % 251
    return pixels, np.arange(ROWS), np.linspace(0.5, 2.0, ROWS)


def cut(data: tuple[np.ndarray, ...], size: int = 70) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, len(data[0]), size):
        yield tuple(part[start : start + size] for part in data)


def rows(data: Any, **options: Any) -> CustomRows:
    validation = options.pop("validation", 0.1)
    layout = options.pop("layout", None)
    settings = Settings("y", **options)
    return custom_rows(data, settings, validation, layout=layout, say=lambda text: None)


def everything(store: RowStore) -> Batch:
    """All rows of a store in the order of their numbers, which y holds."""
    batch = store.gather(np.arange(len(store)))
    order = np.argsort(batch.y)
    return Batch(
        {name: leaf[order] for name, leaf in batch.x.items()}, batch.y[order], batch.weight[order]
    )


def check_same(one: RowStore, other: RowStore) -> None:
    first, second = everything(one), everything(other)
    assert first.y.tolist() == second.y.tolist()
    assert first.weight.tolist() == second.weight.tolist()
    for name, values in first.x.items():
        assert values.dtype == second.x[name].dtype
        assert (values == second.x[name]).all()


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that holds 100 of the images, and windows of 150."""
    row = 4 * 6 + 4 + 4
    budget = Budget(640 * MIB, 0, 100 * row, 64 * row, 1 << 20, 150 * (row + 8), 40 * row)
    monkeypatch.setattr(data, "keep_to", lambda memory: budget)
    monkeypatch.setattr("descend.data.rows.write_store.PIECE_BYTES", 16 * row)


def test_the_split_is_that_of_tables() -> None:
    found = rows(images(), seed=3)
    held_out = is_validation(np.arange(ROWS), 0.1, 3)
    assert everything(found.validation).y.tolist() == np.flatnonzero(held_out).tolist()
    assert everything(found.training).y.tolist() == np.flatnonzero(~held_out).tolist()


def test_chunks_that_fit_stay_in_memory_as_the_rows_they_are() -> None:
    whole, parts = rows(images()), rows(cut(images()))
    assert isinstance(parts.training, MemoryStore)
    assert parts.layout == Layout(stored=False)
    check_same(whole.training, parts.training)
    check_same(whole.validation, parts.validation)


@pytest.mark.usefixtures("little_memory")
def test_chunks_that_do_not_fit_go_to_a_row_store(tmp_path: Path) -> None:
    whole = rows(images())
    said: list[str] = []
    found = custom_rows(cut(images()), Settings("y"), 0.1, layout=None, say=said.append)
    assert isinstance(found.training, MappedStore)
    assert found.layout.windows is not None
    assert found.training.windows == found.layout.windows
    check_same(whole.training, found.training)
    check_same(whole.validation, found.validation)
    assert any("Rows are kept in" in text for text in said)
    again = custom_rows(cut(images(), 33), Settings("y"), 0.1, layout=None, say=said.append)
    assert "written earlier from the same data" in said[-1]
    check_same(found.training, again.training)


def test_a_store_that_is_asked_for_is_made_of_few_rows_too(tmp_path: Path) -> None:
    found = rows(cut(images()), store=str(tmp_path / "kept"), validation=images())
    (folder,) = (path for path in (tmp_path / "kept").iterdir() if path.is_dir())
    assert (folder / "header.json").is_file()
    assert found.layout == Layout(stored=True)
    check_same(rows(images()).validation, rows(images()).validation)
    assert (len(found.training), len(found.validation)) == (ROWS, ROWS)


def test_a_run_that_goes_on_keeps_its_layout() -> None:
    assert isinstance(rows(cut(images()), layout=Layout(True)).layout, Layout)
    assert rows(images(), layout=Layout(True)).layout.stored


@pytest.mark.parametrize("size", [1, 33, ROWS])
def test_the_fingerprint_does_not_depend_on_the_chunks(size: int) -> None:
    assert rows(cut(images(), size)).fingerprint == rows(images()).fingerprint


def shuffled(epochs: int) -> Iterator[tuple[np.ndarray, ...]]:
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(ROWS)
        yield from cut(tuple(part[order] for part in images()))


def test_an_iterator_that_has_given_much_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows may never come again, as those of random augmentation, and yet never end."""
    monkeypatch.setattr("descend.custom.endless.MANY_ROWS", ROWS)
    new = (tuple(part + number for part in images()) for number in range(5))
    with pytest.warns(UserWarning, match="so far. If it never ends: Ctrl-C.") as warned:
        rows(new)
    assert len(warned) == 2  # After 2 and 3 times as many rows; the next would be after 5.


def test_an_iterator_that_starts_over_in_another_order_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"come again 8 times, within 4,\d\d\d rows.*islice"):
        rows(shuffled(epochs=9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows(shuffled(epochs=8))
        rows((one[:, 0, 0] % 3, two % 2) for one, two, _ in shuffled(epochs=9))


def test_another_row_is_another_fingerprint() -> None:
    X, y, weight = images()
    other = X.copy()
    other[7, 3, 5] ^= 1
    assert rows((other, y, weight)).fingerprint != rows((X, y, weight)).fingerprint
    given = rows((X, y, weight), validation=(X, y, weight)).fingerprint
    assert given != rows((X, y, weight), validation=(other, y, weight)).fingerprint


def test_a_mapping_stays_a_mapping() -> None:
    X, y, _ = images()
    arrays = {"x": X}
    assert rows((X, y)).inputs.assembled(arrays) is X
    assert rows((X, y)).inputs.single
    assert rows(({"x": X}, y)).inputs.assembled(arrays) == arrays
    inputs = rows(([X, {"other": X}], y)).inputs
    assert inputs.assembled({"x_0": 1, "x_1__other": 2}) == [1, {"other": 2}]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((5, 4)), np.zeros(4)), "equal length"),
        ((np.full((50, 4), np.nan), np.zeros(50)), "NaN or infinite"),
        (iter([]), "gave no rows"),
        ((np.zeros((1, 4)), np.zeros(1)), "leaves none"),
        (iter([(np.zeros((9, 4)), np.zeros(9)), (np.zeros((9, 5)), np.zeros(9))]), "alike"),
        (({"weight": np.zeros((9, 4))}, np.zeros(9)), "other than y and weight"),
        (({}, np.zeros(9)), "empty mapping"),
        ((np.zeros((9, 4)), np.zeros(9), -np.ones(9)), "0 or more"),
        ((np.zeros((9, 4)), np.zeros(9), 1, 1), "found 4 parts"),
        ((np.array(["a", "b"]), np.zeros(2)), "array of numbers"),
    ],
)
def test_rows_that_cannot_be_used(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rows(data)


def test_a_bound_below_the_floor_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 640 MiB"):
        rows(images(), memory=1000)


@pytest.mark.parametrize("fraction", [-0.1, 0.0, 0, True, 1.0, 3, float("nan")])
def test_a_fraction_that_is_none_is_named(fraction: Any) -> None:
    X, y, _ = images()
    with pytest.raises(DataError, match="validation must be a fraction between 0 and 1, or rows"):
        rows((X, y), validation=fraction)
