"""Who is slow or silent is named by one of those that wait."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest

from descend.errors import LostProcessError
from descend.training.processes import watch
from descend.training.processes.watch import (
    Seen,
    Steps,
    Watch,
    seen_before,
    silent_processes,
    slow_processes,
)


def seen(steps: int, at: float = 0.0) -> Seen:
    return Seen(steps, "an update", "host", 1, at)


def test_the_process_with_fewer_steps_is_slow() -> None:
    assert slow_processes({0: seen(8), 1: seen(7), 2: seen(8)}) == [1]
    assert slow_processes({0: seen(8), 1: seen(8)}) == []


def test_a_beat_counts_from_when_it_was_first_seen() -> None:
    said = {"steps": 1, "doing": "an update", "host": "host", "beat": 5}
    found = seen_before({}, {1: said, 2: said}, 10.0)
    found = seen_before(found, {1: said, 2: said | {"beat": 6}}, 60.0)
    assert [found[1].at, found[2].at] == [10.0, 60.0]
    assert silent_processes(found, 61.0, 45.0) == [1]


class Store:
    """The key-value store, where the other processes have said something once."""

    def __init__(self, others: dict[int, int], answers: bool = True) -> None:
        self._values = {
            f"descend/steps/{index}": json.dumps(
                {"steps": count, "doing": "reading the table", "host": "far", "beat": 1}
            )
            for index, count in others.items()
        }
        self._answers = answers

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        while not self._answers:
            time.sleep(0.01)
        self._values[key] = value

    def key_value_dir_get(self, key: str) -> Sequence[tuple[str, str]]:
        return list(self._values.items())


def watched(
    store: Store, index: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[int]]:
    """What a process says, and how it ends, that waits at its ninth step."""
    monkeypatch.setattr(watch, "BEAT", 0.01)
    monkeypatch.setattr(watch, "SLOW", 0.1)
    monkeypatch.setattr(watch, "steps", Steps(9, "an update", time.monotonic()))
    monkeypatch.setenv(watch.DEADLINE, "0.4")
    texts: list[str] = []
    ended: list[int] = []
    one = Watch(store, index, 3, texts.append, ended.append)
    one.start()
    for _ in range(300):
        if ended:
            break
        time.sleep(0.01)
    one.stop()
    return texts, ended


def test_a_slow_process_is_named_and_a_silent_one_ends_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, ended = watched(Store({1: 9, 2: 8}), 0, monkeypatch)
    assert texts[0].startswith("Process 2 on far is behind the others, at reading the table")
    assert texts[-1].startswith("Process 1 on far (and 1 more) says nothing any more")
    assert ended == [LostProcessError.exit_status]


def test_process_0_is_named_where_its_store_gives_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, ended = watched(Store({}, answers=False), 1, monkeypatch)
    assert texts == [
        "Process 0 says nothing any more (for 0 seconds), so the others cannot go on. If it "
        "trained a run whose folder has a checkpoint, the run goes on from there: resume it in 3 "
        "processes. Anything else, such as an advice, starts again."
    ]
    assert ended == [LostProcessError.exit_status]
