import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.training.gradient import make_gradient
from descend.training.network.models import Inputs, linear
from descend.training.objective import Objective, make_objective, squared_weights
from descend.types import Params
from tests.problems import linear_problem, numbers, rows_of, store_of

STORE = numbers(96)
PARAMS: Params = {
    "kernel": np.array([[0.3], [-0.2], [1.0]], np.float32),
    "bias": np.array([0.7], np.float32),
}
WEIGHT = np.random.default_rng(5).uniform(0.2, 3.0, size=96).astype(np.float32)


def weighted() -> tuple[Objective, object]:
    """The rows with weights, and their objective with a penalty."""
    store = store_of(STORE.x["numeric"], STORE.y, WEIGHT)
    return linear_problem(store, l2=0.4).objective, store


def row_losses() -> np.ndarray:
    """½r² of each row in float64."""
    outputs = STORE.x["numeric"].astype(np.float64) @ PARAMS["kernel"] + PARAMS["bias"]
    return 0.5 * np.square(outputs - STORE.y)[:, 0]


def test_the_objective_is_the_weighted_mean_plus_the_penalty() -> None:
    objective, store = weighted()
    penalty = 0.5 * 0.4 * float(np.square(PARAMS["kernel"]).sum())
    expected = np.average(row_losses(), weights=WEIGHT) + penalty
    assert float(objective(PARAMS, rows_of(store))) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_the_objective_equals_finite_differences() -> None:
    with jax.enable_x64(True):
        network = linear(Inputs(3, ()), [0.0])
        objective = make_objective(
            network.apply, lambda outputs, y: jnp.sum(jnp.square(outputs - y), -1), l2=0.4
        )
        batch = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), rows_of(STORE))
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), PARAMS)
        value = jax.jit(objective.__call__)
        _, gradient = jax.jit(make_gradient(objective))(params, batch)
        assert gradient["kernel"].dtype == np.float64
        for name in params:
            for place in np.ndindex(params[name].shape):
                nudge = np.zeros_like(params[name])
                nudge[place] = 1e-5
                ahead = value({**params, name: params[name] + nudge}, batch)
                behind = value({**params, name: params[name] - nudge}, batch)
                slope = float(ahead - behind) / 2e-5
                assert float(gradient[name][place]) == pytest.approx(slope, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("batch_size", [1, 8, 48, 96])
def test_the_mean_of_mini_batch_gradients_is_the_full_gradient(batch_size: int) -> None:
    objective, store = weighted()
    gradient_of = jax.jit(make_gradient(objective))
    loss, full = gradient_of(PARAMS, rows_of(store))
    parts = [
        gradient_of(PARAMS, rows_of(store, range(start, start + batch_size)))
        for start in range(0, 96, batch_size)
    ]
    assert float(np.mean([part[0] for part in parts])) == pytest.approx(float(loss), rel=1e-5)
    for name in PARAMS:
        mean = np.mean([part[1][name] for part in parts], axis=0)
        np.testing.assert_allclose(mean, full[name], rtol=1e-4, atol=1e-6)


def test_a_weight_counts_at_batch_size_1() -> None:
    objective, store = weighted()
    gradient_of = jax.jit(make_gradient(objective._replace(penalty=None)))
    plain_of = jax.jit(make_gradient(linear_problem(STORE).objective))
    for row in range(3):
        _, gradient = gradient_of(PARAMS, rows_of(store, [row]))
        _, plain = plain_of(PARAMS, rows_of(STORE, [row]))
        expected = plain["bias"] * WEIGHT[row] / WEIGHT.mean()
        np.testing.assert_allclose(gradient["bias"], expected, rtol=1e-5)


def test_weights_times_a_constant_change_nothing() -> None:
    gradients = []
    for scale in (1.0, 1000.0):
        store = store_of(STORE.x["numeric"], STORE.y, WEIGHT * scale)
        gradient_of = jax.jit(make_gradient(linear_problem(store, l2=0.4).objective))
        gradients.append(gradient_of(PARAMS, rows_of(store, range(8))))
    for one, other in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_integer_weights_equal_repeated_rows() -> None:
    repeats = np.random.default_rng(1).integers(1, 4, size=96)
    store = store_of(STORE.x["numeric"], STORE.y, repeats)
    repeated = store_of(
        np.repeat(STORE.x["numeric"], repeats, axis=0), np.repeat(STORE.y, repeats, axis=0)
    )
    found = [
        jax.jit(make_gradient(linear_problem(one, l2=0.4).objective))(PARAMS, rows_of(one))
        for one in (store, repeated)
    ]
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("content", [7.0, 3e38, np.inf, np.nan])
def test_a_row_of_weight_0_adds_nothing_to_the_loss(content: float) -> None:
    objective = linear_problem(STORE).objective
    full = rows_of(STORE)
    extended = store_of(
        np.vstack([full.x["numeric"], np.full((1, 3), content)]),
        np.vstack([full.y, [[content]]]),
        np.append(full.weight, 0),
    )
    value = jax.jit(lambda batch: objective(PARAMS, batch))
    assert float(value(rows_of(extended))) == pytest.approx(float(value(full)))


def test_a_batch_of_weight_0_has_no_gradient() -> None:
    objective = linear_problem(STORE).objective
    batch = rows_of(STORE, range(4))._replace(weight=np.zeros(4, np.float32))
    loss, gradient = jax.jit(make_gradient(objective))(PARAMS, batch)
    assert float(loss) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_the_penalty_leaves_biases_free() -> None:
    assert float(squared_weights(PARAMS)) == pytest.approx(0.09 + 0.04 + 1)
    assert float(squared_weights({"bias": np.ones(3, np.float32)})) == 0


def test_rows_are_counted_exactly_beyond_the_whole_numbers_of_float32() -> None:
    rows = (1 << 24) + 3
    batch = rows_of(STORE, [0])._replace(weight=jnp.ones(rows, jnp.float32))
    shares = make_objective(lambda params, x: x, lambda outputs, y: y).normalize_weights(batch)
    assert float(shares.weight[0]) == pytest.approx(1 / rows, rel=1e-7)
