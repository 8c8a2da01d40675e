"""What is compiled for a user's function goes with it; what all runs share is kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import jax.numpy as jnp
import numpy as np

import descend
from descend.training.kept_programs import keeping_its_programs, kept


def test_results_are_kept_with_a_function_or_for_all_runs() -> None:
    calls = []

    @kept
    def compiled(function: Any, size: int) -> object:
        calls.append(size)
        return object()

    def shared() -> None: ...

    @keeping_its_programs
    def own() -> None: ...

    for function in (shared, own):
        assert compiled(function, 1) is compiled(function, 1)
        assert compiled(function, 1) is not compiled(function, 2)
    assert calls == [1, 2, 1, 2]
    compiled.cache_clear()
    for function in (shared, own):
        compiled(function, 1)
    assert calls == [1, 2, 1, 2, 1, 1]


def test_nothing_of_a_custom_model_is_left_when_its_run_is() -> None:
    def apply(params: Any, x: Any) -> Any:
        return x @ params

    X = np.random.default_rng(0).normal(size=(60, 3))
    model = (lambda key: jnp.zeros((3, 1)), apply)
    descend.fit(model, (X, X[:, 0]), batch_size=10, learning_rate=0.1, epochs=1)
    left = weakref.ref(apply)
    del model, apply
    gc.collect()
    assert left() is None
