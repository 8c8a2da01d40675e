"""Products of rows and weights, and their gradients."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from descend.training.network.products import product, product_rows_last


@pytest.mark.parametrize("rows", [1, 40, 65, 256])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (7, 3)])
def test_both_ways_to_lay_out_rows_give_plain_products_and_gradients(
    rows: int, inputs: int, outputs: int
) -> None:
    random = np.random.default_rng(rows + inputs)
    values = random.standard_normal((rows, inputs)).astype(np.float32)
    kernel = random.standard_normal((inputs, outputs)).astype(np.float32)
    slope = random.standard_normal((rows, outputs)).astype(np.float32)
    expected = values @ kernel, slope @ kernel.T, values.T @ slope

    found, backward = jax.vjp(product, values, kernel)
    for one, other in zip((found, *backward(slope)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)

    turned, turned_backward = jax.vjp(product_rows_last, kernel, values.T)
    of_kernel, of_values = turned_backward(slope.T)
    for one, other in zip((turned.T, of_values.T, of_kernel), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
