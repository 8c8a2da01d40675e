from pathlib import Path

import numpy as np
import pytest

from descend.data.rows.store import MemoryStore
from tests.problems import labels, numbers, rows_of, store_of


def test_rows_are_joined_from_batches_in_their_order() -> None:
    whole = numbers(10)
    parts = [rows_of(whole, range(3)), rows_of(whole, range(3, 4)), rows_of(whole, range(4, 10))]
    joined = MemoryStore.from_batches(part for part in parts)
    assert len(joined) == 10
    for name in ("numeric", "category"):
        assert np.array_equal(joined.x[name], whole.x[name])
    assert np.array_equal(joined.y, whole.y)
    assert np.array_equal(joined.weight, whole.weight)


def test_a_row_is_as_large_as_its_parts() -> None:
    store = numbers(10, columns=3)
    assert store.row_bytes == 3 * 4 + 4 + 4
    assert labels(10, columns=5).row_bytes == 5 * 4 + 4 + 4
    assert store_of(np.zeros((0, 3)), np.zeros((0, 1))).row_bytes >= 1


@pytest.mark.parametrize(
    ("weight", "mean"),
    [([1, 1, 1, 1], 1.0), ([2, 2, 0, 2], 2.0), ([0.5, 1.5, 0, 4], 2.0), ([0, 0, 0, 0], 1.0)],
)
def test_the_mean_weight_leaves_out_rows_that_count_for_nothing(
    weight: list[float], mean: float
) -> None:
    assert store_of(np.zeros((4, 1)), np.zeros((4, 1)), weight).mean_weight == mean


def test_the_mean_of_many_weights_keeps_its_digits() -> None:
    rows = (1 << 24) + 1000
    weight = np.full(rows, 0.1, np.float32)
    store = MemoryStore({}, np.broadcast_to(np.float32(0), (rows,)), weight)
    assert store.mean_weight == pytest.approx(float(np.float32(0.1)), rel=1e-9)


def test_rows_come_from_a_memory_map_as_from_memory(tmp_path: Path) -> None:
    whole = numbers(50)
    np.save(tmp_path / "numeric.npy", whole.x["numeric"])
    mapped = np.load(tmp_path / "numeric.npy", mmap_mode="r")
    store = MemoryStore({**whole.x, "numeric": mapped}, whole.y, whole.weight)
    rows = [49, 0, 7]
    assert np.array_equal(rows_of(store, rows).x["numeric"], rows_of(whole, rows).x["numeric"])
