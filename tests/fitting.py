"""Small runs that the tests of `fit` share."""

import dataclasses
import functools
import threading

from descend.training.loop_state import LoopConfig
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from tests.problems import (
    linear_problem,
    mlp_problem,
    numbers,
    store_of,
)


@functools.cache
def network() -> Problem:
    """A small network with momentum on 120 rows, validated on 40 others."""
    whole = numbers(160, noise=0.5)
    training = store_of(whole.x["numeric"][:120], whole.y[:120])
    return mlp_problem(training, store_of(whole.x["numeric"][120:], whole.y[120:]))


@functools.cache
def least_squares() -> Problem:
    """The linear model on 120 rows, validated on the same."""
    return linear_problem(numbers(120, noise=0.5), optimizer="momentum")


def with_chunks(run: LoopConfig, updates: int) -> LoopConfig:
    """The run with other chunks."""
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, updates_per_chunk=updates))


LOWERING = Limits(patience=1, epochs=10)


def prefetch_threads() -> list[threading.Thread]:
    """Threads that read ahead."""
    return [thread for thread in threading.enumerate() if thread.name == "descend-prefetch"]
