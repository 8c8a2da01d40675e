"""Processes that were started to do different things are refused before they read a row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from descend.data.rows.store import MemoryStore
from descend.errors import InputError
from descend.runtime import together
from descend.runtime.together import check_same_start
from descend.settings import Settings
from descend.training.parallel import ALONE, Place


def check_against(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Check a process of two whose other one was started with changed settings."""
    settings = Settings("y", l2=0.5, store="/here", memory=1 << 30)

    def answers(own: bytes) -> list[bytes]:
        other = json.loads(own)
        return [own, json.dumps({**other, **changed}).encode()]

    monkeypatch.setattr(together, "bytes_from_all", answers)
    check_same_start("train", settings.as_json(), Place(0, 2))


def test_what_decides_about_the_weights_has_to_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    check_against(monkeypatch)
    with pytest.raises(
        InputError, match=r"Process 1 differs from process 0 in l2: 0\.1 there, 0\.5"
    ):
        check_against(monkeypatch, l2=0.1)
    with pytest.raises(InputError, match="in the command: resume there, train in process 0"):
        check_against(monkeypatch, **{"the command": "resume"})
    with pytest.raises(InputError, match=r"in the version of jax: 0\.1 there"):
        check_against(monkeypatch, **{"the version of jax": "0.1"})
    with pytest.raises(InputError, match="in a newer option: 1 there, None in process 0"):
        check_against(monkeypatch, **{"a newer option": 1})


def test_disks_and_memory_of_hosts_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    def answers(own: bytes) -> list[bytes]:
        sent.append(own)
        return [sent[0], own]

    monkeypatch.setattr(together, "bytes_from_all", answers)
    for store, memory, validation in (("/a", 1 << 30, "/x.csv"), ("/b", 1 << 31, "/y.csv")):
        settings = Settings("y", store=store, memory=memory, validation=validation)
        check_same_start("train", settings.as_json(), Place(0, 2))
    check_same_start("train", Settings("y").as_json(), ALONE)
    assert len(sent) == 2


def test_a_row_in_the_middle_counts() -> None:
    rows = np.arange(1000, dtype=np.float32)
    stores = [MemoryStore({"numeric": rows[:, None]}, rows[:, None], rows + 1) for _ in range(2)]
    assert together._compared(stores[0]) == together._compared(stores[1])
    other = rows.copy()
    other[500] = 7.5
    changed = MemoryStore({"numeric": other[:, None]}, rows[:, None], rows + 1)
    assert together._compared(stores[0]) != together._compared(changed)
