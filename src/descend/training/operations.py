"""The operations of a traced program: whether it has some, and the program with others for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

Change = Callable[[JaxprEqn], Callable[..., Any] | None]


def has_operation(program: Jaxpr, wanted: Callable[[JaxprEqn], bool]) -> bool:
    """Whether an operation is in a program, or in a loop, a branch or a function that it calls."""
    return any(
        wanted(equation) or any(has_operation(inner, wanted) for inner in _inner(equation))
        for equation in program.eqns
    )


def with_operations(program: Jaxpr, change: Change) -> Jaxpr:
    """The program with other operations in place of some, also in loops, branches and functions.

    Args:
        program: what JAX traced.
        change: gives for an operation the function of its operands that stands for it, or None
            where it stays. The function closes over no arrays.
    """
    changed: Jaxpr = program.replace(eqns=[_changed(one, change) for one in program.eqns])
    return changed


def _inner(equation: JaxprEqn) -> list[Jaxpr]:
    """The programs that an equation has: the body of a loop, branches, a called function."""
    return [inner for value in equation.params.values() for inner in _inner_of(value)]


def _inner_of(value: Any) -> list[Jaxpr]:
    found = value if isinstance(value, tuple | list) else (value,)
    programs = [one for one in found if isinstance(one, ClosedJaxpr | Jaxpr)]
    return [one.jaxpr if isinstance(one, ClosedJaxpr) else one for one in programs]


def _changed(equation: JaxprEqn, change: Change) -> JaxprEqn:
    changed = equation
    if _inner(equation):
        params = {name: _value_changed(value, change) for name, value in equation.params.items()}
        changed = equation.replace(params=params)
    function = change(changed)
    if function is None:
        return changed
    # As a call of a function of its own, so that the variables around it stay what they are.
    avals: Sequence[Any] = [one.aval for one in equation.invars]
    [call] = jax.make_jaxpr(jax.jit(function))(*avals).jaxpr.eqns
    called: JaxprEqn = call.replace(invars=equation.invars, outvars=equation.outvars)
    return called


def _value_changed(value: Any, change: Change) -> Any:
    if isinstance(value, ClosedJaxpr):
        return value.replace(jaxpr=with_operations(value.jaxpr, change))
    if isinstance(value, Jaxpr):
        return with_operations(value, change)
    if isinstance(value, tuple | list):
        return (
            type(value)(_value_changed(one, change) for one in value) if _inner_of(value) else value
        )
    return value
