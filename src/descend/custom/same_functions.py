"""Check that a resumed run uses the functions it began with, by what they compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from descend.custom.problem import CustomProblem
from descend.data.share_rows import sampled_rows
from descend.errors import DataError
from descend.runtime.own_metrics import TOLERANCE
from descend.training.gradient import make_gradient_sum
from descend.training.jax_setup import jit_program
from descend.training.loop_state import LoopState
from descend.training.objective import Objective
from descend.types import Array, Batch, Params, split_variables

PROBED_ROWS = 8
BLOCKS = 8
"""Of so many rows, from all over the training rows, whose gradients are compared."""
SIZES = (1.0, 30.0, 1000.0)
"""Factors of the fixed weights: small, and so large that bounds in a model or a loss are met."""
SHIFT, STEADY = 1e-6, 1e-4
"""Where a change of the weights by the first fraction changes the gradient by more than the second,
rounding decides, and another machine would find another one."""
UPDATES = 3
MOST_ACCUMULATED = 33
"""Updates after which a rule that adds up the gradients of several batches shows how many, and one
that leaves out some that are not finite, how many."""
NOISE, AUDIBLE = 0.01, 1e-4
"""The noise of a model is another where it differs by the first fraction; noise below the second
fraction of the outputs is not told from rounding."""

Figures = dict[str, list[float | None]]
Measure = Callable[[NDArray[Any], float], tuple[NDArray[Any], Any]]
"""`(numbers of rows, factor of the weights) -> (norms of the gradient, state of the model)`."""


class _Case(NamedTuple):
    """Gradients and weights for which the updates of an optimizer are compared.

    Attributes:
        scale: factor of the fixed weights, where it begins.
        shift: what is added to them.
        slope: of the gradient, as a multiple of the weights.
        offset: of the gradient.
        made: updates that were made before, as the state of an optimizer counts them.
        updates: how many to compare.
    """

    scale: float = 1.0
    shift: float = 0.0
    slope: float = 0.3
    offset: float = 0.01
    made: int = 0
    updates: int = UPDATES


CASES: dict[str, tuple[_Case, ...]] = {
    "updates": (_Case(),),
    "decay": (_Case(scale=1e3, shift=1e2, slope=0.0, offset=1e-3),),
    "clip": (_Case(slope=1e3, offset=10.0),),
    "epsilon": (_Case(slope=1e-6, offset=1e-7),),
    "accumulation": (_Case(slope=0.0, updates=MOST_ACCUMULATED),),
    "not finite": (_Case(slope=0.0, offset=math.nan, updates=MOST_ACCUMULATED),),
    "schedule": tuple(_Case(made=10 * 2**power, updates=1) for power in range(15)),
}


def fingerprint_of_functions(custom: CustomProblem) -> Figures:
    """What the functions of a run compute from fixed weights and rows.

    Returns:
        Norms for each array of weights, None where they are not finite or rounding decides them:
        `gradients` in training, at small and at large weights; `penalty`, of its own gradient; and
        what the update rule makes of gradients: `updates`, `decay` (of small gradients at large
        weights, where a weight decay shows), `clip` (of large ones), `epsilon` (of tiny ones),
        `accumulation` (of equal ones, batch after batch), `schedule` (after many updates).
        `not finite`: whether the updates are finite that it makes of gradients that are NaN.
        `state`: of each array of the model's state after a training call. `noise`: how far the
        outputs in training differ between two keys.
    """
    problem = custom.setup.problem
    params = _fixed_weights(problem.init(problem.seed))
    weights, _ = split_variables(params)
    blocks = _blocks_of_rows(custom)
    measure = _measure(custom, params)
    _, state = measure(blocks[0], 1.0)
    return {
        "gradients": _known([one for size in SIZES for one in _steady_sum(measure, blocks, size)]),
        "penalty": _norms(_penalty_gradient(problem.objective, weights)),
        "state": _norms(state),
        "noise": _noise(custom, params, blocks[0]),
        **_update_norms(problem.optimizer, weights),
    }


def check_same_functions(custom: CustomProblem, recorded: Figures | None, loop: LoopState) -> None:
    """Raise DataError if model, loss or optimizer differ from those the run began with.

    Args:
        custom: as it is now.
        recorded: from `fingerprint_of_functions`, or None in runs that have none.
        loop: as it was saved.
    """
    best = loop.progress.best
    if loop.history and math.isfinite(best):
        loss = custom.setup.problem.evaluate(loop.best.mean)
        if not math.isclose(loss, best, rel_tol=TOLERANCE, abs_tol=1e-12):
            raise DataError(
                f"The validation loss of the saved weights was {best:.6g} and is {loss:.6g} with "
                "the model and the loss given now: one of them is another function. Go on with "
                "the same, or train anew with force=True."
            )
    recorded = recorded or {}
    found = fingerprint_of_functions(custom)
    if "gradient" in recorded:
        found["gradient"] = _first_gradient(custom)
    rows = "The gradient of the loss for the same rows and weights"
    made = "What the optimizer makes of the same gradients"
    model = "the model (its shapes, or what it does while it is trained), or the loss"
    rule = "the optimizer or its hyperparameters"
    texts = {
        "gradient": (rows, model),
        "gradients": (f"{rows}, small or large,", model),
        "penalty": ("The penalty on the same weights", "a regularizer of the model"),
        "state": ("The state of the model after the same rows", "the model, such as a momentum,"),
        "updates": (made, rule),
        "decay": (f"{made} at large weights", f"{rule}, such as a weight decay,"),
        "clip": (f"{made}, large ones,", f"{rule}, such as where gradients are clipped,"),
        "epsilon": (f"{made}, tiny ones,", f"{rule}, such as an epsilon,"),
        "noise": ("The noise in the outputs for the same rows", model),
        "not finite": (f"{made} that are not finite", f"{rule}, such as how many it leaves out,"),
        "accumulation": (f"{made} of several batches", f"{rule}, such as how many it adds up,"),
        "schedule": (f"{made} after many updates", f"{rule}, such as its schedule,"),
    }
    for name, (text, cause) in texts.items():
        before = recorded.get(name)
        part = NOISE if name == "noise" else TOLERANCE
        if before is not None and not _near(found[name], before, part):
            raise DataError(
                f"{text} is not what it was when the run began: {cause} changed. Go on with "
                "the same, or train anew with force=True."
            )


def _fixed_weights(params: Params) -> Params:
    """Weights that depend only on their shapes; the state unchanged."""
    random = np.random.default_rng(0)

    def one(leaf: Any) -> Any:
        values = 0.1 * random.standard_normal(np.shape(leaf))
        return jnp.asarray(values, jnp.asarray(leaf).dtype)

    weights, _ = split_variables(params)
    return _with_weights(params, jax.tree.map(one, weights))


def _with_weights(params: Params, weights: Params) -> Params:
    """The same params with other weights."""
    before, _ = split_variables(params)
    return params._replace(params=weights) if before is not params else weights


def _gradient_norms(
    objective: Objective, params: Params, rows: Batch, key: Array
) -> tuple[Array, Any]:
    """The norms of the gradient of an objective, and the state of the model after it."""
    weights, _ = split_variables(params)
    normal = objective.normalize_weights(rows)
    _, gradient, state = make_gradient_sum(objective, 1)(params, normal, key)
    if objective.penalty is not None:
        gradient = jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(weights))
    return _leaf_norms(gradient), state


def _measure(custom: CustomProblem, params: Params) -> Measure:
    """Measures the gradient of a problem for some of its rows, at multiples of fixed weights."""
    weights, _ = split_variables(params)
    objective, store = custom.setup.problem.objective, custom.rows.sampled
    norms_of = jit_program(lambda *given: _gradient_norms(objective, *given))

    def measure(rows: NDArray[Any], size: float) -> tuple[NDArray[Any], Any]:
        scaled = _with_weights(params, jax.tree.map(lambda leaf: size * leaf, weights))
        norms, state = norms_of(scaled, store.gather(rows), jax.random.key(0))
        return np.asarray(norms, np.float64), state

    return measure


def _first_gradient(custom: CustomProblem) -> list[float | None]:
    """The norms of the gradient of the first rows, which earlier versions recorded."""
    params = _fixed_weights(custom.setup.problem.init(custom.setup.problem.seed))
    rows = np.arange(min(PROBED_ROWS, len(custom.rows.sampled)))
    return _known(_measure(custom, params)(rows, 1.0)[0])


def _blocks_of_rows(custom: CustomProblem) -> list[NDArray[Any]]:
    """Some blocks of training rows from all over the table, the same in any number of processes."""
    rows = custom.rows
    count = len(rows.training)
    drawn = sampled_rows(count, custom.setup.problem.seed)
    if rows.sampled is not rows.training:
        drawn = np.arange(len(rows.sampled))  # They are these already.
    size = min(PROBED_ROWS, len(drawn))
    places = np.linspace(0, len(drawn) - 1, BLOCKS * size).astype(int)
    return list(drawn[places].reshape(size, BLOCKS).T)


def _steady_sum(measure: Measure, blocks: list[NDArray[Any]], size: float) -> NDArray[Any]:
    """The sum over blocks of rows of the norms of their gradients; NaN where rounding decides."""
    found = [measure(rows, size)[0] for rows in blocks]
    shifted = [measure(rows, size * (1.0 + SHIFT))[0] for rows in blocks[:2]]
    pair = np.sum(found[:2], axis=0), np.sum(shifted, axis=0)
    return np.where(np.isclose(*pair, rtol=STEADY, atol=1e-12), np.sum(found, axis=0), np.nan)


def _penalty_gradient(objective: Objective, weights: Params) -> Any:
    if objective.penalty is None:
        return []
    return jit_program(jax.grad(objective.penalty))(weights)


def _noise(custom: CustomProblem, params: Params, rows: NDArray[Any]) -> list[float | None]:
    """How far the outputs in training with one key are from those with another.

    Returns:
        A norm for each output, None where it is no larger than rounding makes it; nothing for a
        model without noise.
    """
    problem, store = custom.setup.problem, custom.rows.sampled
    weights, state = split_variables(params)
    training_apply = problem.training_apply
    if training_apply is None or not problem.noisy:
        return []

    def distances(batch: Batch) -> tuple[Array, Array]:
        one, other = (
            training_apply(weights, state, batch.x, jax.random.key(number))[0]
            for number in range(2)
        )
        apart = jax.tree.map(lambda a, b: a.astype(jnp.float32) - b, one, other)
        return _leaf_norms(apart), _leaf_norms(one)

    apart, size = (np.asarray(one) for one in jit_program(distances)(store.gather(rows)))
    return _known(np.where(apart > AUDIBLE * size, apart, np.nan))


def _update_norms(rule: optax.GradientTransformation, weights: Params) -> Figures:
    """The norms of the updates that an optimizer makes in each of the cases.

    One program goes through all of them; each begins anew.
    """
    supported = optax.with_extra_args_support(rule)
    steps = [
        (step == 0, step + 1, case)
        for cases in CASES.values()
        for case in cases
        for step in range(case.updates)
    ]
    begins = jnp.asarray([begin for begin, _, _ in steps])
    times = jnp.asarray([float(number) for _, number, _ in steps])
    numbers = {
        name: jnp.asarray([getattr(case, name) for _, _, case in steps], jnp.float32)
        for name in ("scale", "shift", "slope", "offset")
    }
    counts = jnp.asarray([case.made for _, _, case in steps], jnp.int32)

    def advanced(leaf: Any, count: Array) -> Any:
        """A counter of updates that has gone further."""
        if jnp.ndim(leaf) or not jnp.issubdtype(jnp.result_type(leaf), jnp.integer):
            return leaf
        return (leaf + count).astype(leaf.dtype)

    def all_norms(fixed: Params) -> Array:
        def update(carry: Any, step: Any) -> tuple[Any, Array]:
            begin, time, case, count = step
            start = jax.tree.map(
                lambda leaf: (case["scale"] * leaf + case["shift"]).astype(leaf.dtype), fixed
            )
            fresh = jax.tree.map(lambda leaf: advanced(leaf, count), supported.init(start))
            moved, state = jax.tree.map(
                lambda new, old: jnp.where(begin, new, old), (start, fresh), carry
            )
            gradient = jax.tree.map(
                lambda leaf: (case["slope"] * time * leaf + case["offset"]).astype(leaf.dtype),
                moved,
            )
            direction, state = supported.update(gradient, state, moved, value=jnp.float32(1.0))
            moved = jax.tree.map(lambda leaf, by: (leaf + by).astype(leaf.dtype), moved, direction)
            return (moved, state), _leaf_norms(direction)

        _, norms = jax.lax.scan(
            update, (fixed, supported.init(fixed)), (begins, times, numbers, counts)
        )
        return norms

    norms = np.asarray(jit_program(all_norms)(weights), np.float64)
    found: Figures = {}
    place = 0
    for name, cases in CASES.items():
        count = sum(case.updates for case in cases)
        part = norms[place : place + count]
        if name == "not finite":
            part = np.isfinite(part).astype(np.float64)
        found[name] = _known(part.reshape(-1))
        place += count
    return found


def _leaf_norms(tree: Any) -> Array:
    """The norm of each array of a tree, in float32."""
    sizes = (jnp.abs(jnp.ravel(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(tree))
    return jnp.stack([jnp.linalg.norm(one) for one in sizes])


def _norms(tree: Any) -> list[float | None]:
    leaves = (np.abs(np.asarray(leaf)).astype(np.float64) for leaf in jax.tree.leaves(tree))
    return _known([np.sqrt(np.sum(np.square(leaf))) for leaf in leaves])


def _known(figures: Iterable[Any]) -> list[float | None]:
    """The figures as a record holds them: None where they are not finite."""
    return [float(one) if np.isfinite(one) else None for one in figures]


def _near(found: list[float | None], expected: list[float | None], part: float = TOLERANCE) -> bool:
    """Whether two lists agree up to rounding, where both are known."""
    if len(found) != len(expected):
        return False
    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    known = np.isfinite(one) & np.isfinite(other)
    return bool(np.allclose(one[known], other[known], rtol=part, atol=1e-12))
