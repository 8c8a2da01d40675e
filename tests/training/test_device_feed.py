"""Rows that stay on the device: the same batches to the bit, sent as numbers."""

from __future__ import annotations

import gc
from typing import Any

import jax
import numpy as np
import pytest

from descend.data.rows import batches as batches_module
from descend.data.rows.store import MemoryStore
from descend.training import device_feed
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from tests.problems import linear_problem, numbers, store_of

ROWS = 203


def weighted() -> MemoryStore:
    plain = numbers(ROWS)
    weight = np.random.default_rng(1).integers(0, 3, ROWS).astype(np.float32)
    return store_of(plain.x["numeric"], plain.y, weight)


def end_of(store: MemoryStore, batch_size: int) -> list[np.ndarray]:
    problem = linear_problem(store)
    run = problem.loop_config(batch_size, 0.05, limits=Limits(patience=99, epochs=4))
    loop, _ = fit(run, problem.begin())
    return [np.asarray(leaf) for leaf in jax.tree.leaves(loop.state)]


@pytest.mark.slow  # Two programs that end with the same bits: so they are optimised, as for users.
@pytest.mark.parametrize("parts", [False, True], ids=["whole batches", "in parts"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, ROWS])
def test_rows_gathered_on_the_device_train_the_same(
    batch_size: int, parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = weighted()
    if parts:
        monkeypatch.setattr(batches_module, "MAX_BATCH_BYTES", 4 * store.row_bytes)
    expected = end_of(store, batch_size)
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)
    found = end_of(store, batch_size)
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_table_stays_on_the_device_as_long_as_its_store() -> None:
    store = weighted()
    assert device_feed._on_device(store) is device_feed._on_device(store)
    held = len(device_feed._tables)
    del store
    gc.collect()
    assert len(device_feed._tables) == held - 1


def test_a_table_that_is_on_the_device_needs_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    store = weighted()
    full = {"bytes_limit": 1 << 30, "bytes_in_use": 1 << 30}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [Device(full)])
    assert not device_feed.fits_device(store)
    device_feed._on_device(store)
    assert device_feed.fits_device(store)


class Device:
    """A device with a memory of its own."""

    def __init__(self, statistics: dict[str, int] | None) -> None:
        self._statistics = statistics

    def memory_stats(self) -> dict[str, int] | None:
        """What JAX says of it."""
        return self._statistics


@pytest.mark.parametrize(
    ("statistics", "fits"),
    [
        ({"bytes_limit": 1 << 30}, True),
        ({"bytes_limit": 1 << 30, "bytes_in_use": (1 << 30) - 100}, False),
        ({"bytes_limit": 1000}, False),
        (None, False),
    ],
)
def test_a_table_goes_to_a_device_that_has_room(
    statistics: Any, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = weighted()
    monkeypatch.setattr(jax, "devices", lambda: [Device(statistics)])
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert not device_feed.fits_device(store)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert device_feed.fits_device(store) is fits
