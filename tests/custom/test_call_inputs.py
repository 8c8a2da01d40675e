"""How the inputs of a row reach the call of a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descend.custom.call_inputs import arguments_of, training_flags
from descend.custom.families import custom_model
from descend.types import split_variables


def one(x: Any, train: bool = False, scale: float = 1.0) -> None: ...
def two(tokens: Any, numbers: Any, *, key: Any = None) -> None: ...
def masked(tokens: Any, mask: Any = None, deterministic: Any = None) -> None: ...
def named(inputs: Any, *, seq_lengths: Any = None) -> None: ...
def chain(*inputs: Any, **options: Any) -> None: ...


def attention(query: Any, key: Any, value: Any) -> None: ...
def recurrent(inputs: Any, state: Any) -> None: ...


PAIR, BY_NAME = (1, 2), {"tokens": 1, "mask": 2}


@pytest.mark.parametrize(
    ("call", "x", "expected"),
    [
        (one, 1, ((1,), {})),
        (one, PAIR, ((PAIR,), {})),
        (one, {"x": 1}, (({"x": 1},), {})),
        (one, BY_NAME, ((BY_NAME,), {})),
        (two, PAIR, (PAIR, {})),
        (two, [1, 2], (PAIR, {})),
        (two, {"numbers": 1, "tokens": 2}, ((), {"numbers": 1, "tokens": 2})),
        (two, (1, 2, 3), (((1, 2, 3),), {})),
        (two, BY_NAME, ((BY_NAME,), {})),
        (masked, 1, ((1,), {})),
        (masked, PAIR, (PAIR, {})),
        (masked, BY_NAME, ((), BY_NAME)),
        (named, PAIR, ((PAIR,), {})),
        (named, {"inputs": 1, "seq_lengths": 2}, ((), {"inputs": 1, "seq_lengths": 2})),
        (chain, PAIR, ((PAIR,), {})),
        (chain, BY_NAME, ((BY_NAME,), {})),
    ],
)
def test_several_inputs_are_arguments_of_a_call_that_takes_several(
    call: Any, x: Any, expected: Any
) -> None:
    assert arguments_of(call)(x) == expected


def test_key_and_state_are_inputs_but_in_equinox_or_where_they_may_be_left_out() -> None:
    of_flax, by_name = arguments_of(attention), {"query": 1, "key": 2, "value": 3}
    assert of_flax((1, 2, 3)) == ((1, 2, 3), {})
    assert of_flax(by_name) == ((), by_name)
    assert arguments_of(recurrent)(PAIR) == (PAIR, {})
    assert arguments_of(recurrent, key_and_state=True)(PAIR) == ((PAIR,), {})


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_the_first_argument_of_a_call_may_have_any_name(kind: str) -> None:
    """A module of Flax whose methods do not write `self` had been given too few inputs."""
    if kind == "linen":
        nn = pytest.importorskip("flax.linen")

        class Model(nn.Module):  # type: ignore[misc, name-defined]
            @nn.compact
            def __call__(module, a: Any, b: Any) -> Any:  # noqa: N805
                return nn.Dense(1)(a) + nn.Dense(1)(b)

        made: Any = Model()
    else:
        flax = pytest.importorskip("flax.nnx")

        class Pair(flax.Module):  # type: ignore[misc, name-defined]
            def __init__(module) -> None:  # noqa: N805
                module.dense = flax.Linear(2, 1, rngs=flax.Rngs(0))

            def __call__(module, a: Any, b: Any) -> Any:  # noqa: N805
                return module.dense(a) + module.dense(b)

        made = Pair()
    x = np.ones((3, 2), np.float32), np.ones((3, 2), np.float32)
    model = custom_model(made, x)
    assert model.apply(model.init(0), x).shape == (3, 1)


def test_a_call_is_told_that_it_is_trained_in_its_own_words() -> None:
    assert training_flags(one) == {"train": True}
    assert training_flags(masked) == {"deterministic": False}


def linen() -> Any:
    nn = pytest.importorskip("flax.linen")

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        @nn.compact
        def __call__(self, numbers: Any, codes: Any, train: bool) -> Any:
            drawn = nn.Dropout(0.1, deterministic=not train)(nn.Dense(3)(numbers))
            return nn.Dense(1)(drawn + nn.Embed(5, 3)(codes))

    return Model()


def nnx() -> Any:
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):  # type: ignore[misc, name-defined]
        def __init__(self, rngs: Any) -> None:
            self.dense, self.embed = nnx.Linear(4, 1, rngs=rngs), nnx.Embed(5, 1, rngs=rngs)

        def __call__(self, numbers: Any, codes: Any) -> Any:
            return self.dense(numbers) + self.embed(codes)

    return Model(nnx.Rngs(0))


def equinox(keyed: bool = False) -> Any:
    eqx = pytest.importorskip("equinox")
    import jax

    class Model(eqx.Module):  # type: ignore[misc, name-defined]
        dense: Any
        embed: Any

        def __call__(self, numbers: Any, codes: Any) -> Any:
            return self.dense(numbers) + self.embed(codes)

    class Keyed(Model):
        def __call__(self, numbers: Any, codes: Any, key: Any, inference: bool = False) -> Any:
            dropped = eqx.nn.Dropout(0.5)(numbers, key=key, inference=inference)
            return self.dense(dropped) + self.embed(codes)

    keys = jax.random.split(jax.random.key(0))
    parts = eqx.nn.Linear(4, 1, key=keys[0]), eqx.nn.Embedding(5, 1, key=keys[1])
    return (Keyed if keyed else Model)(*parts)


@pytest.mark.slow
@pytest.mark.parametrize("make", [linen, nnx, equinox, lambda: equinox(keyed=True)])
def test_two_inputs_reach_the_model_by_place_and_by_name(make: Any) -> None:
    import jax

    random = np.random.default_rng(0)
    numbers = random.normal(size=(6, 4)).astype(np.float32)
    codes = random.integers(0, 5, 6).astype(np.int32)
    found = []
    for x in ((numbers, codes), {"codes": codes, "numbers": numbers}):
        model = custom_model(make(), x)
        params = model.init(0)
        assert model.training_apply is not None
        weights, state = split_variables(params)
        outputs, _ = model.training_apply(weights, state, x, jax.random.key(1))
        assert outputs.shape == (6, 1)
        found.append(np.asarray(model.apply(params, x)))
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_what_is_trained_in_linen_may_be_said_in_the_form_of_all_variables() -> None:
    numbers = np.ones((4, 4), np.float32)
    model = custom_model(linen(), (numbers, np.zeros(4, np.int32)))
    weights, _ = split_variables(model.init(0))
    own = {"Dense_0": False, "Dense_1": True, "Embed_0": False}
    assert model.chosen({"params": own}, weights) == model.chosen(own, weights)
    assert sum(model.chosen(own, weights)) == 2
