"""Convolutions that are as fast inside a compiled loop as outside of one.

On a CPU, XLA has a fast convolution (Eigen's, on several threads) for one order of the axes alone:
rows, places, channels. It brings other convolutions into this order, but only at the top of a
program, not in the body of a loop (https://github.com/jax-ml/jax/issues/12868), where they are
computed number by number. The gradient of a kernel always has another order, so that the updates
of a convolutional network, which are a loop, took ten times as long. Here its convolutions are
brought into that order before they are compiled. The numbers are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun

from descend.training.operations import has_operation, with_operations

T = TypeVar("T")


def with_fast_convolutions(function: Callable[..., T]) -> Callable[..., T]:
    """The function, with its convolutions in the order of axes that is fast on a CPU.

    Args:
        function: of trees of arrays. It is traced once, and called as it is where it has no
            convolution, or on another device.
    """
    traced: Callable[..., T] = jax.jit(function, inline=True)

    @functools.wraps(function)
    def called(*arguments: Any) -> T:
        if jax.default_backend() != "cpu":
            return function(*arguments)
        program, shapes = jax.make_jaxpr(traced, return_shape=True)(*arguments)
        if not has_convolution(program.jaxpr):
            return traced(*arguments)
        fast = jaxpr_as_fun(ClosedJaxpr(with_operations(program.jaxpr, _in_order), program.consts))
        found: T = jax.tree.unflatten(jax.tree.structure(shapes), fast(*jax.tree.leaves(arguments)))
        return found

    return called


def has_convolution(program: Jaxpr) -> bool:
    """Whether a program convolves."""
    return has_operation(program, lambda one: one.primitive is lax.conv_general_dilated_p)


def _in_order(operation: JaxprEqn) -> Callable[..., Any] | None:
    """A convolution in the fast order of axes; None for other operations."""
    if operation.primitive is not lax.conv_general_dilated_p:
        return None
    return functools.partial(_convolution_in_order, operation.params)


def _convolution_in_order(params: dict[str, Any], left: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution with axes moved there and back: rows and outputs `[B, ..., channels]`."""
    order, axes = params["dimension_numbers"], left.ndim
    places = tuple(range(1, axes - 1))
    rows = (0, axes - 1, *places)
    fast = lax.ConvDimensionNumbers(rows, (axes - 1, axes - 2, *range(axes - 2)), rows)
    moved = lax.conv_general_dilated_p.bind(
        _moved(left, order.lhs_spec, fast.lhs_spec),
        _moved(kernel, order.rhs_spec, fast.rhs_spec),
        **{**params, "dimension_numbers": fast},
    )
    return _moved(moved, fast.out_spec, order.out_spec)


def _moved(values: jax.Array, before: Sequence[int], after: Sequence[int]) -> jax.Array:
    """The array with the axis that was at `before[i]` at `after[i]`."""
    permutation = [0] * len(before)
    for old, new in zip(before, after, strict=True):
        permutation[new] = old
    return lax.transpose(values, permutation)
