"""Products of rows and a layer's weights, whose gradients a processor multiplies fast.

A product of matrices asks for one of them with the axis that is summed over first and for the
other with it last. The gradient of the weights is summed over rows, so with a row in each line
both matrices have this axis first, and one has to be transposed in each update. With a row in each
column both have it last, which the library that multiplies takes as it is; only the weights are
transposed, and they are small.
"""

from __future__ import annotations

import jax

from descend.types import Array

FEW_ROWS, MANY_ROWS = 64, 256
"""Batches between these numbers of rows are transposed as they are multiplied, others before."""


@jax.custom_vjp
def product(values: Array, kernel: Array) -> Array:
    """`[B, n] @ [n, m]`, a row in each line."""
    return values @ kernel


def _forward(values: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return values @ kernel, (values, kernel)


def _backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """The gradient of the kernel is valuesᵀ·slope, a product that transposes as it goes.

    It is mostly faster to transpose the values before: a product of 256 rows and more takes 0.8
    to 0.96 of the time, one of 128 rows and few columns 1.2 of it.
    """
    values, kernel = saved
    rows, inputs = values.shape
    at_once = rows == 1 or (FEW_ROWS < rows < MANY_ROWS and inputs <= slope.shape[1])
    turned = values.T if at_once else jax.lax.optimization_barrier(values.T)
    return slope @ kernel.T, turned @ slope


product.defvjp(_forward, _backward)


@jax.custom_vjp
def product_rows_last(kernel: Array, values: Array) -> Array:
    """`[n, m]ᵀ @ [n, B]`, a row in each column.

    Forwards and backwards, 1,024 rows take 0.8 of the time of `product`.
    """
    return _turned(kernel) @ values


def _turned(kernel: Array) -> Array:
    """The kernel, transposed before it is multiplied."""
    return jax.lax.optimization_barrier(kernel.T)


def _forward_rows_last(kernel: Array, values: Array) -> tuple[Array, tuple[Array, Array]]:
    return _turned(kernel) @ values, (kernel, values)


def _backward_rows_last(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    kernel, values = saved
    return values @ slope.T, kernel @ slope


product_rows_last.defvjp(_forward_rows_last, _backward_rows_last)
