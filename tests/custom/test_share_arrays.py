"""Processes that share arrays out have the rows of one process between them, each a range."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descend.custom import data as custom_data
from descend.custom import share_arrays
from descend.custom.data import CustomRows, custom_rows
from descend.data.reading.sharing import Sharing
from descend.data.rows.layout import Layout
from descend.data.rows.shared_store import SharedStore
from descend.errors import InputError, SettingsError
from descend.settings import Settings
from tests.sharing import in_processes

SETTINGS = Settings(target="y", share_rows="yes", seed=2)
_own = threading.local()


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread is a process."""
    found = lambda: getattr(_own, "sharing", None)  # noqa: E731
    monkeypatch.setattr(custom_data, "sharing_with_others", found)


def rows_of(
    data: Any, validation: Any = 0.2, settings: Settings = SETTINGS, layout: Layout | None = None
) -> CustomRows:
    return custom_rows(data, settings, validation, layout=layout, say=lambda text: None)


def shared(data: Any, count: int, *arguments: Any) -> list[CustomRows]:
    def work(sharing: Sharing) -> CustomRows:
        _own.sharing = sharing
        return rows_of(data[sharing.index] if isinstance(data, list) else data, *arguments)

    return in_processes(count, work)


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Any, ...]:
    """Arrays in files: inputs, labels and weights."""
    random = np.random.default_rng(0)
    made = (
        random.normal(size=(307, 2, 3)),
        random.integers(0, 5, 307),
        random.integers(0, 3, 307) / 2,
    )
    for number, values in enumerate(made):
        np.save(tmp_path / f"{number}.npy", values)
    return tuple(np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(3))


def assert_same_rows(found: list[CustomRows], alone: CustomRows) -> None:
    training = alone.training.gather(np.arange(len(alone.training)))
    validation = alone.validation.gather(np.arange(len(alone.validation)))
    parts = []
    for one in found:
        assert isinstance(one.training, SharedStore)
        assert len(one.training) == len(alone.training)
        assert len(one.training.own) < 1.3 * len(alone.training) / len(found)
        parts.append(one.training.own.gather(np.arange(len(one.training.own))))
        held_out = one.validation.gather(np.arange(len(one.validation)))
        assert np.array_equal(held_out.y, validation.y)
        assert one.facts == alone.facts
        assert one.layout.processes == len(found)
        assert one.fingerprint == found[0].fingerprint
    assert np.array_equal(np.concatenate([part.y for part in parts]), training.y)
    assert np.array_equal(np.concatenate([part.weight for part in parts]), training.weight)
    for name, values in training.x.items():
        assert np.array_equal(np.concatenate([part.x[name] for part in parts]), values)


@pytest.mark.parametrize("count", [2, 4])
def test_mapped_arrays(count: int, mapped: tuple[Any, ...]) -> None:
    found = shared(mapped, count)
    assert_same_rows(found, rows_of(mapped))
    # In another number of processes, one included, the run knows its rows again.
    assert found[0].fingerprint == shared(mapped, 3)[0].fingerprint
    layout = Layout(stored=False, processes=count)
    alone = rows_of(mapped, layout=layout)
    assert alone.fingerprint == found[0].fingerprint
    assert alone.layout.processes == 0
    changed = (mapped[0], (mapped[1] + (np.arange(307) == 150)), mapped[2])
    assert rows_of(changed, layout=layout).fingerprint != found[0].fingerprint


def test_blocks_of_many_rows(mapped: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_arrays, "MOST_BLOCKS", 40)
    assert share_arrays.rows_of_block(307) == 7
    found = shared(mapped, 3)
    assert_same_rows(found, rows_of(mapped))
    assert found[0].fingerprint == shared(mapped, 2)[0].fingerprint


def test_validation_rows_of_their_own(mapped: tuple[Any, ...]) -> None:
    few = tuple(values[:31] for values in mapped)
    assert_same_rows(shared(mapped, 3, few), rows_of(mapped, few))


def test_a_store_of_each_part(mapped: tuple[Any, ...], tmp_path: Path) -> None:
    settings = SETTINGS.replace(store=str(tmp_path / "stores"))
    found = shared(mapped, 2, 0.2, settings)
    assert len([one for one in (tmp_path / "stores").iterdir() if one.is_dir()]) == 2
    parts = []
    for one in found:
        assert isinstance(one.training, SharedStore)
        parts.append(one.training.own.gather(np.arange(len(one.training.own))).y)
    alone = rows_of(mapped).training
    whole = np.sort(alone.gather(np.arange(len(alone))).y)
    assert np.array_equal(np.sort(np.concatenate(parts)), whole)


def test_inputs_that_are_their_own_targets_and_trees() -> None:
    X = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    for data in (X, (X, X), {"a": X, "y": X[:, 0]}):
        found, alone = shared(data, 2), rows_of(data)
        assert (found[0].inputs, found[0].targets) == (alone.inputs, alone.targets)
        assert_same_rows(found, alone)


def test_a_table(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    table = pa.table({"x": random.normal(size=200), "y": random.normal(size=200)})
    pq.write_table(table, tmp_path / "t.parquet")
    data = str(tmp_path / "t.parquet")
    found, alone = shared(data, 2), rows_of(data)
    assert_same_rows(found, alone)
    assert len(found[0].sampled) == len(alone.sampled)


def test_small_arrays_are_shared_if_asked_alone(mapped: tuple[Any, ...]) -> None:
    found = shared(mapped, 2, 0.2, SETTINGS.replace(share_rows="auto"))
    assert [one.layout.processes for one in found] == [0, 0]


def test_what_cannot_be_shared_is_refused(mapped: tuple[Any, ...]) -> None:
    def chunks() -> Iterator[Any]:
        yield mapped[0], mapped[1]

    with pytest.raises(SettingsError, match=r"share_rows='yes' .* found an iterator.*mmap_mode"):
        shared([chunks(), chunks()], 2)
    other = (mapped[0] + 1, mapped[1])
    with pytest.raises(InputError, match="2 processes of this job have different arrays"):
        shared([mapped[:2], other], 2)
    with pytest.raises(InputError, match="found 3 rows and 4 processes"):
        shared((mapped[0][:3], mapped[1][:3]), 4)
