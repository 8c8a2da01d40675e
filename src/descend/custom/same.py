"""Check that a resumed run uses the functions it began with, by what they compute."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.custom.problem import CustomProblem
from descend.errors import DataError
from descend.training.gradient import make_gradient
from descend.training.jax_setup import jit_program
from descend.training.loop_state import LoopState
from descend.types import Params, split_variables

TOLERANCE = 1e-3
"""Figures that differ by a smaller part are equal: another machine rounds otherwise."""
PROBED_ROWS = 8
UPDATES = 3


def fingerprint_of_functions(custom: CustomProblem) -> dict[str, list[float]]:
    """What the functions of a run compute from fixed weights and rows.

    Returns:
        `gradient`: the norm of the gradient of each array of weights, of the first rows, in
        training; `updates`: the norms of what the update rule makes of gradients; `decay`: of
        small gradients at large weights, where a weight decay shows.
    """
    problem = custom.setup.problem
    params = _fixed_weights(problem.init(problem.seed))
    store = custom.rows.sampled
    rows = store.gather(np.arange(min(PROBED_ROWS, len(store))))
    _, gradient = jit_program(make_gradient(problem.objective))(params, rows, jax.random.key(0))
    weights, _ = split_variables(params)
    return {
        "gradient": _norms(gradient),
        "updates": _norms(
            jit_program(lambda tree: _directions(problem.optimizer, tree, 0.3, 0.01))(weights)
        ),
        "decay": _norms(
            jit_program(lambda tree: _directions(problem.optimizer, tree, 0.0, 1e-3))(
                jax.tree.map(lambda leaf: 1e3 * leaf + 1e2, weights)
            )
        ),
    }


def check_same_functions(
    custom: CustomProblem, recorded: dict[str, list[float]] | None, loop: LoopState
) -> None:
    """Raise DataError if model, loss or optimizer differ from those the run began with.

    Args:
        custom: as it is now.
        recorded: from `fingerprint_of_functions`, or None in runs that have none.
        loop: as it was saved.
    """
    best = loop.progress.best
    if loop.history and math.isfinite(best):
        loss = custom.setup.problem.evaluate(loop.best.mean)
        if not _near([loss], [best]):
            raise DataError(
                f"The validation loss of the saved weights was {best:.6g} and is {loss:.6g} with "
                "the model and the loss given now: one of them is another function. Go on with "
                "the same, or train anew with force=True."
            )
    found = fingerprint_of_functions(custom)
    texts = {
        "gradient": "The gradient of the loss for the same rows and weights",
        "updates": "What the optimizer makes of the same gradients",
        "decay": "What the optimizer makes of the same gradients at large weights",
    }
    causes = {
        "gradient": "the model (its shapes, or what it does while it is trained), or the loss",
        "updates": "the optimizer or its hyperparameters",
        "decay": "the optimizer or its hyperparameters, such as a weight decay,",
    }
    for name, text in texts.items():
        before = (recorded or {}).get(name)
        if before is not None and not _near(found[name], before):
            raise DataError(
                f"{text} is not what it was when the run began: {causes[name]} changed. Go on with "
                "the same, or train anew with force=True."
            )


def _fixed_weights(params: Params) -> Params:
    """Weights that depend only on their shapes; the state unchanged."""
    random = np.random.default_rng(0)

    def one(leaf: Any) -> Any:
        values = 0.1 * random.standard_normal(np.shape(leaf))
        return jnp.asarray(values, jnp.asarray(leaf).dtype)

    weights, state = split_variables(params)
    fixed = jax.tree.map(one, weights)
    return params._replace(params=fixed, state=state) if weights is not params else fixed


def _directions(
    rule: optax.GradientTransformation, weights: Params, slope: float, offset: float
) -> Any:
    """The updates that an optimizer makes from growing gradients.

    Args:
        rule: the optimizer.
        weights: where it begins.
        slope: of the gradients, as a multiple of the weights.
        offset: of the gradients.
    """
    supported = optax.with_extra_args_support(rule)
    state = supported.init(weights)
    found = []
    for number in range(1, UPDATES + 1):
        gradient = jax.tree.map(lambda leaf, times=number: slope * times * leaf + offset, weights)
        direction, state = supported.update(gradient, state, weights, value=jnp.float32(1.0))
        weights = jax.tree.map(jnp.add, weights, direction)
        found.append(direction)
    return found


def _norms(tree: Any) -> list[float]:
    leaves = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree))
    return [float(np.sqrt(np.sum(np.square(leaf)))) for leaf in leaves]


def _near(found: list[float], expected: list[float]) -> bool:
    if len(found) != len(expected):
        return False
    return bool(np.allclose(found, expected, rtol=TOLERANCE, atol=1e-12, equal_nan=True))
