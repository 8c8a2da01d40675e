"""The rows that trials are made of."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

from descend.reporting.progress import SilentProgress
from descend.runtime import trial_setup
from descend.runtime.trial_setup import table_setup
from descend.settings import Settings


def test_the_rows_of_a_split_go_before_those_of_the_next_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{row / 7},{row / 3}\n" for row in range(60)))
    setup = table_setup(path)(Settings("y", model="linear"), SilentProgress())
    read = trial_setup.prepare
    made: list[weakref.ref[Any]] = []

    def prepare(*given: Any, **named: Any) -> Any:
        assert all(one() is None for one in made)
        prepared = read(*given, **named)
        made.append(weakref.ref(prepared))
        return prepared

    monkeypatch.setattr(trial_setup, "prepare", prepare)
    for seed in (1, 2, 3):
        assert setup.again("sgd", seed).store is setup.again("momentum", seed).store
    assert len(made) == 3


def test_a_trial_trains_one_of_several_networks_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{row / 7},{row / 3}\n" for row in range(60)))
    said: list[str] = []
    progress = SilentProgress()
    progress.message = said.append  # type: ignore[method-assign]
    setup = table_setup(path)(Settings("y", networks=3), progress)
    assert setup.settings.networks == 1
    assert any("Of the 3 networks, one is trained in each trial" in text for text in said)
