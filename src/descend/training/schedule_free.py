"""Update rules that compute gradients at other weights than those to be evaluated.

Schedule-free rules (Defazio et al. 2024, arXiv 2405.15682) keep three sequences of weights: z,
which the gradients move; x, the mean of z, which is evaluated and kept; and y = (1 - b1) z + b1 x,
where gradients are computed. Training has y as its weights, and z is in the memory of the
optimizer.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from descend.types import Array, Params, join_variables, split_variables

State: Any = optax.contrib.ScheduleFreeState


def is_schedule_free(opt_state: Any) -> bool:
    """Whether this is the memory of a schedule-free rule, or has one in it."""
    return bool(_states(opt_state))


def weights_to_evaluate(variables: Params, opt_state: Any) -> Params:
    """The weights that are evaluated and kept: x of a schedule-free rule, else those trained."""
    weights, state = split_variables(variables)
    leaves, form = jax.tree.flatten(weights)
    for found in _states(opt_state):
        leaves = [
            y if isinstance(z, optax.MaskedNode) else _mean(y, z, found.b1)
            for y, z in zip(leaves, _leaves(found.z), strict=True)
        ]
    return join_variables(jax.tree.unflatten(form, leaves), state, variables)


def at_rate(
    rate: Array, weights: Params, moved: Params, before: Any, after: Any
) -> tuple[Params, Any]:
    """The update of a schedule-free rule whose learning rate is multiplied.

    The rate scales the step of z alone: z' = z + rate dz, x' = x + c (z' - x), with c as at rate 1.
    Scaled like the update of another rule, y would part from z and x.

    Args:
        rate: what the learning rate of the rule is multiplied by.
        weights: before the update.
        moved: the same and `rate` times the update of the rule.
        before: memory of the optimizer before the update.
        after: and after it, where the rate is 1.

    Returns:
        Weights and memory after the update. Of what is not schedule-free they are those given.
    """
    pairs = list(zip(_states(before), _states(after), strict=True))
    if not pairs:
        return moved, after
    olds = jax.tree.leaves(weights)
    ys, form = jax.tree.flatten(moved)
    changed = []
    for old, new in pairs:
        added = new.weight_sum - old.weight_sum
        share = jnp.where(added > 0, added / jnp.where(added > 0, new.weight_sum, 1), 0)
        zs = list(zip(_leaves(old.z), _leaves(new.z), strict=True))
        for place, (z, z_at_one) in enumerate(zs):
            if not isinstance(z, optax.MaskedNode):
                y = olds[place]
                step = rate.astype(z.dtype) * (z_at_one - z)
                near = (1 - old.b1 + old.b1 * share) * step + share * (z - y)
                ys[place] = jnp.where(rate == 1, ys[place], y + near.astype(y.dtype))
                zs[place] = (z, jnp.where(rate == 1, z_at_one, z + step))
        tree = jax.tree.structure(new.z, is_leaf=_is_masked)
        changed.append(new._replace(z=jax.tree.unflatten(tree, [z for _, z in zs])))
    remaining = iter(changed)
    after = jax.tree.map(
        lambda node: next(remaining) if isinstance(node, State) else node, after, is_leaf=_is_state
    )
    return jax.tree.unflatten(form, ys), after


def _mean(y: Array, z: Array, b1: Array) -> Array:
    """x, from y and z."""
    return ((y - (1.0 - b1) * z) / b1).astype(y.dtype)


def _states(opt_state: Any) -> list[Any]:
    nodes = jax.tree.leaves(opt_state, is_leaf=_is_state)
    return [node for node in nodes if isinstance(node, State)]


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=_is_masked)


def _is_state(node: Any) -> bool:
    return isinstance(node, State)


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)
