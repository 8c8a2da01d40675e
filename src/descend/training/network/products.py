"""Products of rows and a layer's weights, whose gradients a processor multiplies fast.

The gradient of the weights is a sum over the rows of a batch. If each row of the batch is a row
of the matrix, this product needs the transpose of the layer's inputs, a large copy in each update.
If each row of the batch is a column, the library multiplies the matrices as they are; only the
matrix of weights is transposed, which is much smaller than a batch of inputs.
"""

from __future__ import annotations

import jax

from descend.types import Array

FEW_ROWS, MANY_ROWS = 64, 256
"""Between these batch sizes one product reads the inputs in transposed order; for all others a
transposed copy of the inputs is made before the product."""


@jax.custom_vjp
def product(values: Array, kernel: Array) -> Array:
    """`[B, n] @ [n, m]`, each row of the batch a row."""
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
    """`[n, m]ᵀ @ [n, B]`, each row of the batch a column.

    Forwards and backwards, 1,024 rows take 0.8 of the time of `product`.
    """
    return _turned(kernel) @ values


def _turned(kernel: Array) -> Array:
    """The transpose of the kernel, as a copy: XLA would merge it with the product."""
    return jax.lax.optimization_barrier(kernel.T)


def _forward_rows_last(kernel: Array, values: Array) -> tuple[Array, tuple[Array, Array]]:
    return _turned(kernel) @ values, (kernel, values)


def _backward_rows_last(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    kernel, values = saved
    return values @ slope.T, kernel @ slope


product_rows_last.defvjp(_forward_rows_last, _backward_rows_last)
