import jax
import numpy as np
import pytest

from descend.training.network.models import (
    ACTIVATIONS,
    EMBEDDING_WIDTH,
    Inputs,
    Network,
    bent,
    linear,
    mlp,
)
from descend.types import Array, Params

SIZES = (3, 5)


def inputs(rows: int = 6, numeric: int = 4, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        "numeric": random.normal(size=(rows, numeric)).astype(np.float32),
        "category": random.integers(SIZES, size=(rows, len(SIZES))).astype(np.int32),
    }


def compiled(network: Network) -> Network:
    """The network as one program: op by op, compiling would take most of the time."""
    return Network(network.init, jax.jit(network.apply))


def networks(numeric: int = 4, sizes: tuple[int, ...] = SIZES) -> list[Network]:
    kind = Inputs(numeric, sizes)
    kinds = [
        linear(kind, [0.5, -1.0]),
        *[mlp(kind, [0.5, -1.0], (7, 6), name) for name in ACTIVATIONS],
        mlp(kind, [0.5, -1.0], ()),
    ]
    return [compiled(network) for network in kinds]


def test_linear_equals_its_formula() -> None:
    network = compiled(linear(Inputs(4, SIZES), [0.5, -1.0]))
    params = spread(network)
    x = inputs()
    expected = x["numeric"] @ params["kernel"] + params["bias"]
    expected += params["table"][x["category"][:, 0]] + params["table"][3 + x["category"][:, 1]]
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_mlp_equals_its_formula(activation: str) -> None:
    network = compiled(mlp(Inputs(4, SIZES), [0.0], (7,), activation))
    params = network.init(3)
    params["layers"][1]["kernel"] = np.linspace(-1, 1, 7, dtype=np.float32)[:, None]
    x = inputs()
    table = np.asarray(params["table"])
    near = x["numeric"] / np.sqrt(1 + (x["numeric"] / 3) ** 2)
    flat = [near, table[x["category"][:, 0]], table[3 + x["category"][:, 1]]]
    first, last = params["layers"]
    hidden = np.concatenate(flat, axis=1) @ first["kernel"] + first["bias"]
    hidden = np.maximum(hidden, 0) if activation == "relu" else np.tanh(hidden)
    np.testing.assert_allclose(
        network.apply(params, x), hidden @ last["kernel"] + last["bias"], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("network", networks())
def test_training_begins_at_the_trivial_prediction(network: Network) -> None:
    outputs = network.apply(network.init(0), inputs())
    assert np.array_equal(outputs, np.tile(np.float32([0.5, -1.0]), (6, 1)))


@pytest.mark.parametrize("sizes", [(), SIZES])
@pytest.mark.parametrize("numeric", [0, 4])
def test_any_mixture_of_columns_goes_in(numeric: int, sizes: tuple[int, ...]) -> None:
    x = inputs(numeric=numeric)
    x["category"] = x["category"][:, : len(sizes)]
    for network in networks(numeric, sizes):
        assert jax.eval_shape(network.apply, spread(network), x).shape == (6, 2)


def spread(network: Network) -> Params:
    """Parameters with nothing at zero."""
    random = np.random.default_rng(0)
    shapes = network.init(0)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.mark.parametrize("network", networks())
def test_each_row_is_computed_by_itself(network: Network) -> None:
    params = spread(network)
    x = inputs()
    together = network.apply(params, x)
    alone = [
        network.apply(params, {name: values[row : row + 1] for name, values in x.items()})[0]
        for row in range(6)
    ]
    np.testing.assert_allclose(together, np.asarray(alone), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("before", [3, 400])
def test_hidden_weights_have_the_variance_of_he(before: int) -> None:
    params = compiled(mlp(Inputs(before, ()), [0.0], (500, 300))).init(0)
    for layer, width in zip(params["layers"], (before, 500), strict=False):
        kernel = np.asarray(layer["kernel"])
        assert kernel.var() == pytest.approx(2 / width, rel=0.15)
        assert kernel.mean() == pytest.approx(0, abs=0.15 * np.sqrt(2 / width))
        assert not np.any(layer["bias"])


def test_the_signal_keeps_its_size_through_many_relu_layers() -> None:
    network = compiled(mlp(Inputs(100, ()), [0.0], (200,) * 8))
    params = network.init(0)
    values = np.random.default_rng(0).normal(size=(500, 100)).astype(np.float32)
    for layer in params["layers"][:-1]:
        values = np.maximum(values @ np.asarray(layer["kernel"]), 0)
    assert 0.3 < np.square(values).mean() < 3


def test_another_seed_gives_other_weights_and_the_same_seed_the_same() -> None:
    network = compiled(mlp(Inputs(4, SIZES), [0.0], (7,)))
    first, again, other = (network.init(seed) for seed in (0, 0, 1))
    assert np.array_equal(first["layers"][0]["kernel"], again["layers"][0]["kernel"])
    assert not np.array_equal(first["layers"][0]["kernel"], other["layers"][0]["kernel"])
    assert not np.array_equal(first["table"], other["table"])


def test_a_value_never_seen_stands_at_the_origin() -> None:
    params = compiled(mlp(Inputs(4, SIZES), [0.0], (7,))).init(0)
    table = np.asarray(params["table"])
    assert table.shape == (sum(SIZES), EMBEDDING_WIDTH)
    assert not table[[0, 3]].any()
    assert table[[1, 2, 4, 5, 6, 7]].any(axis=1).all()


@pytest.mark.parametrize("network", networks())
def test_codes_of_any_kind_give_finite_outputs(network: Network) -> None:
    params = spread(network)
    x = inputs()
    for code in (0, -1, 1000, np.iinfo(np.int32).min):
        x["category"] = np.full((6, 2), code, np.int32)
        assert np.isfinite(network.apply(params, x)).all()


def test_columns_of_categories_do_not_share_rows_of_the_table() -> None:
    network = linear(Inputs(0, SIZES), [0.0])
    params = network.init(0)
    params["table"] = np.arange(8, dtype=np.float32)[:, None]
    x = {
        "numeric": np.zeros((15, 0), np.float32),
        "category": np.array([(a, b) for a in range(3) for b in range(5)], np.int32),
    }
    expected = [a + 3 + b for a in range(3) for b in range(5)]
    assert np.array_equal(network.apply(params, x)[:, 0], expected)


@pytest.mark.parametrize(
    "rows", [1, 65, *(pytest.param(one, marks=pytest.mark.slow) for one in (2, 64, 200))]
)
@pytest.mark.parametrize("hidden", [(3, 7), (9, 2)])
def test_gradients_are_those_of_plain_products(rows: int, hidden: tuple[int, ...]) -> None:
    network = mlp(Inputs(5, ()), [0.0], hidden, "tanh")
    random = np.random.default_rng(rows)
    params = jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape).astype(np.float32), network.init(0)
    )
    x = random.standard_normal((rows, 5)).astype(np.float32)

    def plain(params: Params) -> Array:
        values = bent(x)
        for layer in params["layers"][:-1]:
            values = jax.numpy.tanh(values @ layer["kernel"] + layer["bias"])
        return (values @ params["layers"][-1]["kernel"] + params["layers"][-1]["bias"]).sum()

    found = jax.grad(lambda params: network.apply(params, {"numeric": x}).sum())(params)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(jax.grad(plain)(params)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
