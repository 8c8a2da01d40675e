"""Compiling the updates of a run in a thread: once, and the same run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import pytest

from descend.runtime.compile_ahead import compiled_ahead
from descend.training.loop import fit
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from tests.problems import mlp_problem, numbers

pytestmark = pytest.mark.slow  # Each compiles networks of its own.

COMPILED = "/jax/core/compile/backend_compile_duration"


def problem(columns: int) -> Problem:
    """A network whose programs no other test has compiled, for a number of columns."""
    return mlp_problem(numbers(120, columns), numbers(40, columns), hidden=(5,))


@contextmanager
def updates_compiled() -> Iterator[list[str]]:
    """The threads in which programs of updates are compiled in this block."""
    threads: list[str] = []

    def listen(event: str, _seconds: float, **facts: Any) -> None:
        if event == COMPILED and facts.get("fun_name") == "jit(small)":
            threads.append(threading.current_thread().name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield threads
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def weights_after(made: Problem, meanwhile: Callable[[], object] | None) -> bytes:
    """The weights after two epochs."""
    config = made.loop_config(8, 0.01, limits=Limits(epochs=2))
    loop = made.begin()
    with compiled_ahead(config, loop.state, meanwhile) as ready:
        loop, _ = fit(ready, loop)
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(loop.best.mean))


def test_updates_are_compiled_once_in_a_thread_and_the_run_is_the_same_to_the_bit() -> None:
    with updates_compiled() as threads:
        ahead = weights_after(problem(7), lambda: None)
        again = weights_after(problem(7), lambda: pytest.fail("nothing is left to compile"))
    assert len(threads) == 1
    assert threads[0].startswith("descend-compile")
    assert ahead == again == weights_after(problem(7), None)


def test_what_fails_meanwhile_does_not_end_the_run() -> None:
    def fails() -> None:
        raise OSError("no room")

    assert weights_after(problem(6), fails) == weights_after(problem(6), None)


def test_without_anything_for_the_end_no_thread_begins() -> None:
    with updates_compiled() as threads:
        weights_after(problem(4), None)
    assert threads == [threading.main_thread().name]
