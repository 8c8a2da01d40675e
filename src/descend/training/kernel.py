"""Loops of small updates as one kernel.

XLA runs a program on a CPU kernel by kernel, and each costs about 50 ns to begin: an update of a
linear model from one row is ten such kernels around 20 ns of arithmetic. XLA also has an emitter
that makes one kernel of a whole called function, loops included. It uses it for loops that touch
less than 1 kB; the attribute that selects it can be given by hand, for one program at a time. An
XLA that does not know the attribute calls the function in the ordinary way.

The emitter knows no scatter, no sort and no calls to libraries, and multiplies matrices naively,
so it is asked only where a function has none of these. A program that it has no kernel for is an
error of the compiler, and the next one may end the process. So only linear models are compiled this
way, with which it was tried at random sizes, losses and update rules; of networks with hidden
layers it knew some and not others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

T = TypeVar("T")

MOST_BYTES = 64 << 10
"""Of the largest array: beyond, the arithmetic outweighs what beginning a kernel costs."""

SIMPLE = frozenset(
    (
        *(
            "abs",
            "add",
            "add_any",
            "div",
            "integer_pow",
            "max",
            "min",
            "mul",
            "neg",
            "one_minus_square",  # As JAX 0.12 writes the slope of tanh.
            "pow",
            "rsqrt",
            "sign",
            "sqrt",
            "square",
            "sub",
        ),
        *("ceil", "clamp", "convert_element_type", "floor", "is_finite", "round", "select_n"),
        *("cos", "erf", "exp", "exp2", "expm1", "log", "log1p", "logistic", "sin", "tanh"),
        *("and", "eq", "ge", "gt", "le", "lt", "ne", "not", "or"),
        *(
            "broadcast_in_dim",
            "concatenate",
            "copy",
            "iota",
            "reshape",
            "slice",
            "split",
            "squeeze",
            "transpose",
        ),
        *(
            "dot_general",
            "reduce_and",
            "reduce_max",
            "reduce_min",
            "reduce_or",
            "reduce_sum",
            "stop_gradient",
        ),
    )
)
"""Primitives that were compared with the ordinary programs; anything else is left to these."""

CALLS = frozenset(("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"))
"""Primitives that stand for the one function they call."""


def in_one_kernel(function: Callable[..., T]) -> Callable[..., T]:
    """The function compiled as one kernel, within a program that is compiled for a CPU."""
    called = jax.jit(function)

    def tagged(*arguments: Any) -> T:
        found: T = set_xla_metadata(
            called(*arguments), xla_cpu_small_call="true", inlineable="false"
        )
        return found

    return tagged


def with_other(function: Callable[..., T], other: Callable[..., T]) -> Callable[..., T]:
    """The function, or for arguments of shapes that XLA cannot compile it for, the other one.

    Which programs the emitter has no kernel for is not documented: some reductions are among them.
    Whether it has one depends on the shapes alone, so a resumed run gets the same program. What is
    not compiled has not used up its arguments.
    """
    refused: set[tuple[tuple[int, ...], ...]] = set()

    def called(*arguments: Any) -> T:
        if refused and _shapes(arguments) in refused:
            return other(*arguments)
        try:
            return function(*arguments)
        except jax.errors.JaxRuntimeError as error:
            if "UNIMPLEMENTED" not in str(error):
                raise
            refused.add(_shapes(arguments))
            return other(*arguments)

    return called


def _shapes(arguments: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(arguments))


def fits_one_kernel(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a function of such arguments is small and simple enough to be part of one kernel."""
    if jax.default_backend() != "cpu":
        return False
    return all(_fits(equation) for equation in _equations(jax.make_jaxpr(function)(*arguments)))


def _equations(jaxpr: ClosedJaxpr | Jaxpr) -> Iterator[JaxprEqn]:
    """The equations, those of the functions they call in their place."""
    inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    for equation in inner.eqns:
        called = [p for p in equation.params.values() if isinstance(p, (ClosedJaxpr, Jaxpr))]
        if equation.primitive.name in CALLS and len(called) == 1:
            yield from _equations(called[0])
        else:
            yield equation


def _fits(equation: JaxprEqn) -> bool:
    shapes: list[Any] = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    if equation.primitive.name not in SIMPLE:
        return False
    if max(_bytes(shape) for shape in shapes) > MOST_BYTES:
        return False
    return equation.primitive.name != "dot_general" or _has_vector(equation)


def _bytes(shape: Any) -> int:
    size: int = math.prod(shape.shape) * shape.dtype.itemsize
    return size


def _has_vector(equation: JaxprEqn) -> bool:
    """Whether a product is of a matrix and a vector, or of two vectors."""
    shapes: list[Any] = [variable.aval for variable in equation.invars]
    left, right = shapes
    ((contracted, _), (batched, _)) = equation.params["dimension_numbers"]
    if batched:
        return False
    inside = math.prod(left.shape[axis] for axis in contracted)
    return 1 in (inside, math.prod(left.shape) // inside, math.prod(right.shape) // inside)
