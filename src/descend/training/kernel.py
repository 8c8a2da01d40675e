"""Compile a loop of small updates as one kernel.

On a CPU, XLA runs a program kernel by kernel, and each kernel costs about 50 ns to start: an
update of a linear model from one row is ten kernels around 20 ns of arithmetic. XLA also has an
emitter that turns a whole called function into one kernel, loops included. By itself XLA uses it
for loops that touch less than 1 kB; the attribute that selects it can also be set by hand, for one
program at a time. An XLA version that does not know the attribute ignores it.

The emitter supports no scatter, no sort and no library calls, and multiplies matrices naively, so
it is used only for functions that contain none of these. A program it cannot compile is a compiler
error, and a second one may end the process. Therefore only linear models are compiled this way:
they were tested at random sizes, losses and update rules, whereas networks with hidden layers
sometimes failed.
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
"""Size limit of the largest array: above it, arithmetic outweighs the cost of starting kernels."""

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
"""Primitives whose results were compared with those of ordinary programs; no others are used."""

CALLS = frozenset(("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"))
"""Primitives that only call another function."""


def in_one_kernel(function: Callable[..., T]) -> Callable[..., T]:
    """The function, to be compiled as one kernel within a program for a CPU."""
    called = jax.jit(function)

    def tagged(*arguments: Any) -> T:
        found: T = set_xla_metadata(
            called(*arguments), xla_cpu_small_call="true", inlineable="false"
        )
        return found

    return tagged


def with_fallback(function: Callable[..., T], fallback: Callable[..., T]) -> Callable[..., T]:
    """The function, or the fallback for argument shapes that XLA cannot compile the function for.

    Which programs the emitter cannot compile is not documented; some reductions are among them.
    It depends on the shapes alone, so a resumed run gets the same program. A call that failed to
    compile has not consumed its arguments.
    """
    refused: set[tuple[tuple[int, ...], ...]] = set()

    def called(*arguments: Any) -> T:
        if refused and _shapes(arguments) in refused:
            return fallback(*arguments)
        try:
            return function(*arguments)
        except jax.errors.JaxRuntimeError as error:
            if "UNIMPLEMENTED" not in str(error):
                raise
            refused.add(_shapes(arguments))
            return fallback(*arguments)

    return called


def _shapes(arguments: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(arguments))


def fits_one_kernel(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a function of these arguments is small and simple enough to be one kernel."""
    if jax.default_backend() != "cpu":
        return False
    return all(_fits(equation) for equation in _equations(jax.make_jaxpr(function)(*arguments)))


def _equations(jaxpr: ClosedJaxpr | Jaxpr) -> Iterator[JaxprEqn]:
    """All equations, with those of called functions in place of the calls."""
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
    """Whether a product has a vector among its two factors."""
    shapes: list[Any] = [variable.aval for variable in equation.invars]
    left, right = shapes
    ((contracted, _), (batched, _)) = equation.params["dimension_numbers"]
    if batched:
        return False
    inside = math.prod(left.shape[axis] for axis in contracted)
    if inside == 0:  # A network of categories alone multiplies columns that do not exist.
        return False
    return 1 in (inside, math.prod(left.shape) // inside, math.prod(right.shape) // inside)
