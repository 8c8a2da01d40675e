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
        fast = jaxpr_as_fun(ClosedJaxpr(_in_order(program.jaxpr), program.consts))
        found: T = jax.tree.unflatten(jax.tree.structure(shapes), fast(*jax.tree.leaves(arguments)))
        return found

    return called


def has_convolution(program: Jaxpr) -> bool:
    """Whether a program convolves."""
    return has_operation(program, lambda one: one.primitive is lax.conv_general_dilated_p)


def has_operation(program: Jaxpr, wanted: Callable[[JaxprEqn], bool]) -> bool:
    """Whether an operation is in a program, or in a loop, a branch or a function that it calls."""
    return any(
        wanted(equation) or any(has_operation(inner, wanted) for inner in _inner(equation))
        for equation in program.eqns
    )


def _inner(equation: JaxprEqn) -> list[Jaxpr]:
    """The programs that an equation has: the body of a loop, branches, a called function."""
    return [inner for value in equation.params.values() for inner in _inner_of(value)]


def _inner_of(value: Any) -> list[Jaxpr]:
    found = value if isinstance(value, tuple | list) else (value,)
    programs = [one for one in found if isinstance(one, ClosedJaxpr | Jaxpr)]
    return [one.jaxpr if isinstance(one, ClosedJaxpr) else one for one in programs]


def _in_order(program: Jaxpr) -> Jaxpr:
    """The program with all its convolutions in the fast order of axes."""
    changed: Jaxpr = program.replace(eqns=[_equation_in_order(one) for one in program.eqns])
    return changed


def _equation_in_order(equation: JaxprEqn) -> JaxprEqn:
    if equation.primitive is lax.conv_general_dilated_p:
        # As a call of a function of its own, so that the variables around it stay what they are.
        convolve = jax.jit(functools.partial(_convolution_in_order, equation.params))
        [call] = jax.make_jaxpr(convolve)(*(one.aval for one in equation.invars)).jaxpr.eqns
        changed: JaxprEqn = call.replace(invars=equation.invars, outvars=equation.outvars)
        return changed
    if not _inner(equation):
        return equation
    params = {name: _value_in_order(value) for name, value in equation.params.items()}
    changed = equation.replace(params=params)
    return changed


def _value_in_order(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return value.replace(jaxpr=_in_order(value.jaxpr))
    if isinstance(value, Jaxpr):
        return _in_order(value)
    if isinstance(value, tuple | list):
        return type(value)(map(_value_in_order, value)) if _inner_of(value) else value
    return value


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
