from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.split import is_validation, is_validation_sql


def by_sql(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE numbers (place BIGINT, number BIGINT)")
    connection.executemany("INSERT INTO numbers VALUES (?, ?)", list(enumerate(rows.tolist())))
    test = is_validation_sql("number", fraction, seed)
    found = connection.execute(f"SELECT {test} FROM numbers ORDER BY place").fetchall()
    return np.array([one for (one,) in found])


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2**62), min_size=1, max_size=20),
    st.floats(0, 1),
    st.integers(0, 2**80),
)
def test_sql_chooses_the_same_rows_as_numpy(rows: list[int], fraction: float, seed: int) -> None:
    numbers = np.array(rows, np.int64)
    assert (by_sql(numbers, fraction, seed) == is_validation(numbers, fraction, seed)).all()


@pytest.mark.parametrize("start", [0, 2**32 - 50_000, 2**45])
def test_sql_chooses_the_same_of_many_rows(start: int) -> None:
    test = is_validation_sql("number", 0.1, 7)
    found = duckdb.sql(
        f"SELECT {test} FROM (SELECT range + {start} AS number FROM range(100000)) ORDER BY number"
    ).fetchall()
    assert (np.array(found)[:, 0] == is_validation(start + np.arange(100_000), 0.1, 7)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_share_is_the_fraction_in_every_stretch(seed: int, fraction: float) -> None:
    chosen = is_validation(np.arange(1_000_000), fraction, seed).reshape(100, 10_000)
    spread = np.sqrt(10_000 * fraction * (1 - fraction))
    assert (abs(chosen.sum(axis=1) - 10_000 * fraction) < 5 * spread).all()


@pytest.mark.parametrize("period", [2, 3, 7, 10, 24, 64, 365, 1000, 1024])
def test_no_period_is_preferred(period: int) -> None:
    rows = np.arange(1000 * period)
    chosen = is_validation(rows, 0.1, 0)
    shares = np.bincount(rows % period, chosen) / 1000
    assert abs(shares - 0.1).max() < 6 * np.sqrt(0.09 / 1000)


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 1024, 65536])
def test_neighbours_are_independent(lag: int) -> None:
    chosen = is_validation(np.arange(1_000_000), 0.1, 3) - 0.1
    assert abs((chosen[lag:] * chosen[:-lag]).mean() / 0.09) < 0.006


def test_seeds_choose_independently() -> None:
    rows = np.arange(200_000)
    chosen = np.stack([is_validation(rows, 0.5, seed) for seed in range(12)])
    correlation = np.corrcoef(chosen)
    assert abs(correlation - np.eye(12)).max() < 0.02


def test_none_and_all() -> None:
    rows = np.arange(1000)
    assert not is_validation(rows, 0.0, 1).any()
    assert is_validation(rows, 1.0, 1).all()
