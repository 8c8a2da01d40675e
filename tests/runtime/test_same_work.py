"""Processes that were started to do different things are refused before they read a row."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from descend.data.rows.mapped_store import open_store
from descend.data.rows.store import MemoryStore
from descend.data.rows.windows import Windows
from descend.data.rows.write_store import write_store
from descend.errors import InputError, LostProcessError
from descend.runtime import same_work, together
from descend.runtime.same_work import check_same_start, weights_checksum
from descend.settings import Settings
from descend.training.problem import Problem
from descend.training.processes.place import ALONE, Place
from descend.types import Batch


def check_against(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Check a process of two whose other one was started with changed settings."""
    settings = Settings("y", l2=0.5, store="/here", memory=1 << 30)

    def answers(own: bytes) -> list[bytes]:
        other = json.loads(own)
        return [own, json.dumps({**other, **changed}).encode()]

    monkeypatch.setattr(same_work, "bytes_from_all", answers)
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

    monkeypatch.setattr(same_work, "bytes_from_all", answers)
    for store, memory, validation in (("/a", 1 << 30, "/x.csv"), ("/b", 1 << 31, "/y.csv")):
        settings = Settings("y", store=store, memory=memory, validation=validation)
        check_same_start("train", settings.as_json(), Place(0, 2))
    check_same_start("train", Settings("y").as_json(), ALONE)
    assert len(sent) == 2


def test_what_the_environment_makes_of_jax_has_to_be_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="in JAX's option jax_enable_x64: True there, False in"):
        check_against(monkeypatch, **{"JAX's option jax_enable_x64": "True"})
    with pytest.raises(InputError, match="in the kind of device: gpu there, cpu in process 0"):
        check_against(monkeypatch, **{"the kind of device": "gpu"})


@pytest.mark.parametrize(
    ("given", "taken"),
    [([None, None], None), ([3 << 30, None], 3 << 30), ([2 << 30, 1 << 30], 1 << 30)],
)
def test_the_least_memory_counts_everywhere(
    given: list[int | None], taken: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [json.dumps(one).encode() for one in given]
    monkeypatch.setattr(same_work, "bytes_from_all", lambda own: sent)
    for index, memory in enumerate(given):
        settings = Settings("y").replace(memory=memory)
        assert same_work.least_memory(settings, Place(index, 2)).memory == taken


def test_a_row_in_the_middle_counts() -> None:
    rows = np.arange(1000, dtype=np.float32)
    stores = [MemoryStore({"numeric": rows[:, None]}, rows[:, None], rows + 1) for _ in range(2)]
    assert same_work._compared(stores[0]) == same_work._compared(stores[1])
    other = rows.copy()
    other[500] = 7.5
    changed = MemoryStore({"numeric": other[:, None]}, rows[:, None], rows + 1)
    assert same_work._compared(stores[0]) != same_work._compared(changed)


def test_a_row_in_the_middle_of_a_store_counts(tmp_path: Path) -> None:
    rows = np.arange(3000, dtype=np.float32)[:, None]
    found = []
    for number, value in enumerate((0.0, 0.0, 7.5)):
        y = rows.copy()
        y[1500] = value
        batch = Batch({"numeric": rows}, y, np.ones(3000, np.float32))
        counts = {"training": 3000, "validation": 0}
        # Where a store lies, and what it was made from, counts for nothing.
        folder = tmp_path / str(number)
        write_store(folder, [("training", batch)], key={"path": number}, rows=counts, seed=0)
        found.append(same_work._compared(open_store(folder)[0]))
    assert found[0] == found[1]
    assert found[0] != found[2]


Change = Callable[[np.ndarray], np.ndarray]


def with_another(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """A second process, which has what a change makes of the numbers of this one."""
    monkeypatch.setattr(same_work, "from_all", lambda own: np.stack([own, change(own)]))


def test_weights_that_part_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = made_problem(squared, optax.sgd(1.0)).begin()
    asked = []

    def other_has(change: Change) -> None:
        def both(own: np.ndarray) -> np.ndarray:
            asked.append(own)
            return np.stack([own, change(own)])

        monkeypatch.setattr(together, "from_all", both)

    # Process 0 alone has the user's callbacks, so its factor counts.
    other_has(lambda own: np.array([np.nan, own[1]]))
    assert together.same_factor(loop, 0.5) == 0.5
    assert together.same_factor(loop, None) is None
    other_has(lambda own: np.array([own[0], own[1] + 1]))
    with pytest.raises(LostProcessError, match="The weights of process 1 are not those of process"):
        together.same_factor(loop, None)
    assert len(asked) == 3, "one message an evaluation"


@pytest.mark.parametrize("kind", [np.float32, jnp.bfloat16])
def test_the_last_bit_of_a_weight_counts(kind: Any) -> None:
    loop = made_problem(squared, optax.sgd(1.0)).begin()

    def checksum(*weights: float) -> int:
        params = {"w": np.array(weights, kind), "b": np.zeros((), kind)}
        return weights_checksum(loop._replace(state=loop.state._replace(params=params)))

    smallest = float(jnp.finfo(kind).eps)
    assert checksum(0.5, 1.0) == checksum(0.5, 1.0)
    assert checksum(0.5, 1.0) != checksum(0.5, 1.0 + smallest)


def made_problem(loss: Callable[..., Any], rule: optax.GradientTransformation) -> Problem:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), random.normal(size=(40, 1))
    store = MemoryStore({"x": x.astype(np.float32)}, y.astype(np.float32), np.ones(40, np.float32))
    return Problem(
        store,
        store,
        lambda seed: {"w": np.full((3, 1), 0.5, np.float32)},
        lambda params, x: x["x"] @ params["w"],
        loss,
        rule,
    )


def squared(outputs: Any, y: Any) -> Any:
    return ((outputs - y) ** 2)[:, 0]


def product(outputs: Any, y: Any) -> Any:
    return ((outputs - y) * (outputs - y))[:, 0]


def absolute(outputs: Any, y: Any) -> Any:
    return abs(outputs - y)[:, 0]


@pytest.mark.parametrize(
    ("loss", "rule", "differs"),
    [
        (squared, optax.sgd(1.0), None),
        (product, optax.sgd(1.0), None),
        (absolute, optax.sgd(1.0), "model, loss or penalty"),
        (squared, optax.sgd(1.0, momentum=0.9), "optimizer"),
        (squared, optax.sgd(0.9), "optimizer"),
    ],
)
def test_another_program_in_a_process_is_refused(
    loss: Callable[..., Any],
    rule: optax.GradientTransformation,
    differs: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal programs, or ones that compute the same in other words, train together."""
    problems = made_problem(squared, optax.sgd(1.0)), made_problem(loss, rule)
    meeting, sent = threading.Barrier(2, timeout=60), {}

    def from_all(own: np.ndarray) -> np.ndarray:
        sent[threading.get_ident()] = own
        meeting.wait()
        # The first process is the one with the known loss; threads have no other order.
        found = np.stack([sent[one] for one in places])
        meeting.wait()
        return found

    places: list[int] = []
    monkeypatch.setattr(same_work, "from_all", from_all)

    def check(index: int) -> None:
        while len(places) < index:
            time.sleep(0.001)
        places.append(threading.get_ident())
        same_work.check_same_update(problems[index], problems[index].begin().state)

    with ThreadPoolExecutor(2) as pool:
        errors = [one.exception() for one in [pool.submit(check, index) for index in range(2)]]
    if differs is None:
        assert errors == [None, None]
        return
    for error in errors:
        assert isinstance(error, InputError)
        assert f"Process 1 differs from process 0 in its {differs}" in str(error)


@pytest.mark.parametrize("name", ["rows", "weights", "plan"])
def test_what_is_compared_before_the_first_update(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, sent = made_problem(squared, optax.sgd(1.0)), []
    monkeypatch.setattr(same_work, "check_same_update", lambda problem, state: None)
    monkeypatch.setattr(same_work, "from_all", lambda own: sent.append(own) or own[None])
    config, loop = problem.loop_config(8, 0.1), problem.begin()
    same_work.check_same(problem, config, loop)
    assert isinstance(problem.store, MemoryStore)
    if name == "rows":
        problem.store.y[20] += 1
    elif name == "weights":
        loop = loop._replace(best=loop.best._replace(params={"w": np.zeros((3, 1), np.float32)}))
    else:
        plan = dataclasses.replace(config.plan, windows=Windows(2, 3))
        config = dataclasses.replace(config, plan=plan)
    same_work.check_same(problem, config, loop)
    monkeypatch.setattr(same_work, "from_all", lambda own: np.stack(sent))
    what = {"rows": "training rows", "weights": "initial weights", "plan": "orders of rows"}[name]
    with pytest.raises(InputError, match=f"2 processes of this job have different {what}"):
        same_work.check_same(problem, config, loop)
