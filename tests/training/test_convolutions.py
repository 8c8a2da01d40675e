"""Convolutions in compiled loops: the order of axes that is fast on a CPU, and the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from descend.training.convolutions import has_convolution, with_fast_convolutions

LAST, FIRST = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")


def convolved(x, kernel, order=LAST, stride=1):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=order)


def orders(program):
    """The dimension numbers of every convolution, those in loops and branches too."""
    found = []
    for equation in program.eqns:
        if equation.primitive is lax.conv_general_dilated_p:
            found.append(tuple(equation.params["dimension_numbers"]))
        for value in equation.params.values():
            for one in value if isinstance(value, tuple) else (value,):
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    found += orders(inner)
    return found


FAST = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(size=(4, 6, 6, 2)), jnp.float32)
KERNEL = jnp.asarray(RANDOM.normal(size=(3, 3, 2, 2)), jnp.float32)


def strided(kernel, x):
    return jnp.mean(convolved(x, kernel, stride=2) ** 2)


def channels_first(kernel, x):
    moved = convolved(x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), FIRST)
    return jnp.mean(moved**2)


def by_rows(kernel, x):
    return jnp.mean(jax.vmap(lambda row: convolved(row[None], kernel)[0])(x) ** 2)


def in_a_loop(kernel, x):
    out, _ = lax.scan(lambda so_far, _: (convolved(so_far, kernel), None), x, None, length=3)
    return jnp.mean(out**2)


def in_a_branch(kernel, x):
    branch = lax.cond(x.sum() > 0, lambda x: convolved(x, kernel), lambda x: x, x)
    return jnp.mean(branch**2)


def checkpointed(kernel, x):
    return jnp.mean(jax.checkpoint(lambda x: jnp.tanh(convolved(x, kernel)))(x) ** 2)


@pytest.mark.parametrize(
    "loss", [strided, channels_first, by_rows, in_a_loop, in_a_branch, checkpointed]
)
def test_every_convolution_has_the_fast_order_and_the_numbers_are_the_same(loss):
    plain = jax.value_and_grad(loss)
    fast = with_fast_convolutions(plain)
    before = orders(jax.make_jaxpr(plain)(KERNEL, X).jaxpr)
    after = orders(jax.make_jaxpr(fast)(KERNEL, X).jaxpr)
    assert len(after) == len(before) > 1
    assert set(before) != {FAST}
    assert set(after) == {FAST}
    for found, expected in zip(fast(KERNEL, X), plain(KERNEL, X), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_function_without_convolutions_is_the_same_program():
    def loss(kernel, x):
        return jnp.mean((x @ kernel[0, 0]) ** 2)

    plain, fast = jax.value_and_grad(loss), with_fast_convolutions(jax.value_and_grad(loss))
    assert not has_convolution(jax.make_jaxpr(plain)(KERNEL, X).jaxpr)
    assert str(jax.make_jaxpr(fast)(KERNEL, X)) == str(jax.make_jaxpr(plain)(KERNEL, X))


def test_the_updates_of_a_convolutional_model_have_the_fast_order():
    from descend.training.gradient import make_gradient
    from descend.training.objective import make_objective
    from descend.types import Batch

    objective = make_objective(
        lambda kernel, x: convolved(x["x"], kernel, stride=2).mean(axis=(1, 2, 3)),
        lambda outputs, y: (outputs - y) ** 2,
    )
    batch = Batch({"x": X}, jnp.zeros(len(X)), jnp.ones(len(X)))
    gradient = make_gradient(objective, microbatches=2)
    found = orders(jax.make_jaxpr(gradient)(KERNEL, batch).jaxpr)
    assert found
    assert set(found) == {FAST}
