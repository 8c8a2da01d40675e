"""Loops as one kernel: the same updates as the ordinary program, and only where they fit."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.settings import Settings
from descend.training import chunk_loop
from descend.training.averaging import averaging_schedule
from descend.training.chunk_loop import compile_chunk
from descend.training.kernel import MOST_BYTES, fits_one_kernel, in_one_kernel, with_fallback
from descend.training.losses import LOSSES
from descend.training.network.models import ACTIVATIONS, Inputs, Network, linear, mlp
from descend.training.objective import make_objective
from descend.training.optimizers import FACTORIES, make_optimizer
from descend.training.state import initial_state
from descend.training.step import make_step
from descend.types import Array, Batch

pytestmark = pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="Only programs for a CPU are made one kernel."
)

UPDATES = 12
INPUTS = Inputs(5, ())


def batches(rows: int) -> Batch:
    random = np.random.default_rng(rows)
    y = np.abs(random.standard_normal((UPDATES, rows, 1))).astype(np.float32)
    x = {"numeric": random.standard_normal((UPDATES, rows, 5)).astype(np.float32)}
    weight = random.integers(0, 3, (UPDATES, rows)).astype(np.float32)
    return Batch(x, y, weight)


def end_of(network: Network, loss: str, optimizer: str, rows: int) -> tuple[list[np.ndarray], bool]:
    """Everything after some updates, and whether an update of these fits one kernel."""
    rule = make_optimizer(Settings(target="y", optimizer=optimizer, clip=1.0, weight_decay=0.01))
    objective = make_objective(network.apply, LOSSES[loss].per_example, l2=0.1)
    state = initial_state(network.init, rule, seed=0)
    step, batch = make_step(objective, rule), batches(rows)
    first = jax.tree.map(lambda leaf: leaf[0], batch)
    fits = fits_one_kernel(step, (state.params, state.opt_state), first, jnp.float32(0))
    marks = averaging_schedule(0, UPDATES - 2, UPDATES, window=5.0)
    rates = np.full(UPDATES, 0.01, np.float32)
    found = compile_chunk(step, one_kernel=True)(state, batch, rates, UPDATES - 2, 0, marks)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(found)], fits


def assert_as_ordinary(
    monkeypatch: pytest.MonkeyPatch, network: Network, loss: str, optimizer: str, rows: int
) -> None:
    one, fits = end_of(network, loss, optimizer, rows)
    assert fits
    monkeypatch.setattr(chunk_loop, "fits_one_kernel", lambda *_: False)
    ordinary, _ = end_of(network, loss, optimizer, rows)
    for left, right in zip(one, ordinary, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", sorted(set(FACTORIES) - {"mechanic"}))
def test_updates_of_any_rule_are_those_of_the_ordinary_program(
    monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    network = linear(INPUTS, [0.0])
    assert_as_ordinary(monkeypatch, network, "squared_error", optimizer, 4)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"cross_entropy"}))
def test_updates_of_any_loss_are_those_of_the_ordinary_program(
    monkeypatch: pytest.MonkeyPatch, loss: str, activation: str
) -> None:
    network = mlp(INPUTS, [0.0], (6, 4), activation)
    assert_as_ordinary(monkeypatch, network, loss, "momentum", 1)


def test_products_of_matrices_and_lookups_are_left_to_the_ordinary_program() -> None:
    assert fits_one_kernel(lambda x: x @ x[0], jnp.ones((4, 4)))
    assert not fits_one_kernel(lambda x: x @ x, jnp.ones((4, 4)))
    assert not fits_one_kernel(jnp.sort, jnp.ones(4))
    assert not fits_one_kernel(lambda x: x[x.astype(int)], jnp.ones(4))
    assert not fits_one_kernel(jax.grad(lambda x: jnp.sum(x[jnp.asarray([1, 1])])), jnp.ones(4))


def test_products_of_no_columns_are_left_to_the_ordinary_program() -> None:
    assert not fits_one_kernel(jnp.matmul, jnp.ones((5, 0)), jnp.ones((0, 1)))


def test_large_arrays_are_left_to_the_ordinary_program() -> None:
    most = MOST_BYTES // 4
    assert fits_one_kernel(lambda x: x + 1, jnp.ones(most))
    assert not fits_one_kernel(lambda x: x + 1, jnp.ones(most + 1))


def test_what_is_called_is_looked_into() -> None:
    assert not fits_one_kernel(jax.jit(lambda x: 2 * jax.jit(jnp.sort)(x)), jnp.ones(4))
    assert fits_one_kernel(jax.jit(jax.nn.relu), jnp.ones(4))


def test_the_compiler_knows_the_attribute() -> None:
    """Else the program is right but slow; what the emitter cannot do shows that it was asked."""

    def doubled(x: Mapping[str, Array]) -> Array:
        return jax.lax.fori_loop(0, 10, lambda _, y: jnp.sin(y * x["x"]), x["x"])

    tagged = in_one_kernel(doubled)
    inputs = {"x": jnp.ones(1000)}
    np.testing.assert_allclose(jax.jit(tagged)(inputs), jax.jit(doubled)(inputs), rtol=1e-5)
    with pytest.raises(jax.errors.JaxRuntimeError):
        jax.jit(in_one_kernel(jnp.sort))(jnp.ones(1000))


def test_what_cannot_be_one_kernel_runs_as_the_ordinary_program() -> None:
    refusals = []

    def refusing(x: Array) -> Array:
        refusals.append(x.shape)
        if x.shape == (3,):
            raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: no such kernel")
        return x + 1

    called = with_fallback(refusing, lambda x: x + 2)

    found = [called(np.zeros(rows)).tolist() for rows in (2, 3, 3, 2)]

    assert found == [[1, 1], [2, 2, 2], [2, 2, 2], [1, 1]]
    assert refusals == [(2,), (3,), (2,)], "it is asked once for each shape"


def test_other_failures_are_told() -> None:
    def broken(x: Array) -> Array:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    with pytest.raises(jax.errors.JaxRuntimeError, match="out of memory"):
        with_fallback(broken, lambda x: x)(np.zeros(2))
