"""Ids beyond the rows of an embedding are told: JAX takes another row for them, or NaN."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.custom.lookups import check_lookups
from descend.data.rows.store import MemoryStore
from descend.errors import InputError
from tests.custom.models import fit

IDS = 100
QUICK = {"batch_size": 32, "learning_rate": 0.01, "epochs": 1}


def tokens(largest=IDS - 1):
    random = np.random.default_rng(0)
    ids = random.integers(0, IDS, (300, 3))
    ids[77, 1] = largest
    return ids, random.normal(size=300)


def table(rows):
    return lambda key: jax.random.normal(key, (rows, 1))


def indexed(rows):
    return table(rows), lambda params, x: params[x].mean(axis=1)


def indexed_by_floats(rows):
    return table(rows), lambda params, x: params[x.astype(int)].mean(axis=1)


def in_a_loop(rows):
    def apply(params, x):
        total = jnp.zeros((len(x), 1))
        return jax.lax.scan(lambda sum_, ids: (sum_ + params[ids], None), total, x.T)[0]

    return table(rows), apply


def equinox_embedding(rows):
    equinox = pytest.importorskip("equinox")

    class Net(equinox.Module):
        embedding: equinox.nn.Embedding

        def __call__(self, ids):
            return jax.vmap(self.embedding)(ids).mean(axis=0)

    return Net(equinox.nn.Embedding(rows, 1, key=jax.random.key(0)))


def taken(rows):
    return table(rows), lambda params, x: jnp.take(params, x, axis=0).mean(axis=1)


def linen_embedding(rows):
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Embed(rows, 1)(x).mean(axis=1)

    return Net()


def clipped(rows):
    return table(rows), lambda params, x: params[jnp.clip(x, 0, rows - 1)].mean(axis=1)


def beyond_by_itself(rows):
    """It reaches beyond its array whatever it gets."""
    return table(rows), lambda params, x: params[x * 0 + rows].mean(axis=1)


def computed_again(rows):
    def apply(params, x):
        return jax.checkpoint(lambda params, x: params[x].mean(axis=1))(params, x)

    return table(rows), apply


def computed_again_in_a_loop(rows):
    def apply(params, x):
        @jax.checkpoint
        def step(total, ids):
            return total + params[ids], None

        return jax.lax.scan(step, jnp.zeros((len(x), 1)), x.T)[0]

    return table(rows), apply


@pytest.mark.parametrize(
    "model",
    [
        *(indexed, indexed_by_floats, in_a_loop, equinox_embedding),
        *(computed_again, computed_again_in_a_loop),
    ],
    ids=lambda one: one.__name__,
)
def test_an_id_beyond_an_embedding_is_told(model):
    with pytest.warns(UserWarning, match=r"x makes .* place 120 .* places 0 to 119"):
        fit(model(120), tokens(largest=120), **QUICK)


@pytest.mark.parametrize("model", [taken, linen_embedding], ids=lambda one: one.__name__)
def test_an_id_for_which_a_model_gives_nan_is_refused(model):
    with pytest.raises(InputError, match=r"x makes .* place 120 .* places 0 to 119. JAX takes NaN"):
        fit(model(120), tokens(largest=120), **QUICK)


@pytest.mark.parametrize(
    ("model", "rows"),
    [(indexed, 121), (taken, 121), (clipped, 100), (beyond_by_itself, 121)],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_ids_that_a_model_has_are_no_matter(model, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model(rows), tokens(largest=120), **QUICK)


def test_only_the_input_that_reaches_beyond_is_named():
    def apply(params, x):
        return params[x["word"]].mean(axis=1) + params[x["kind"], 0][:, None]

    ids, y = tokens()
    x = {"word": ids, "kind": np.where(np.arange(300) == 5, -500, 3)}
    with pytest.warns(UserWarning, match=r"kind makes .* place -500 "):
        fit((table(120), apply), (x, y), **QUICK)


def test_an_id_of_the_rows_to_predict_is_told():
    run = fit(indexed(IDS), tokens(), **QUICK)
    with pytest.warns(UserWarning, match=r"x makes .* place 100 .* places 0 to 99"):
        run.predict(np.array([[1, 2, 100]]))


def test_ids_of_training_and_validation_rows_are_told_once():
    ids, y = tokens()
    with pytest.warns(UserWarning, match="look up place") as told:
        fit(indexed(50), (ids, y), **QUICK)
    assert len([one for one in told if "look up place" in str(one.message)]) == 1


def test_an_id_of_further_validation_rows_is_told():
    with pytest.warns(UserWarning, match="place 104"):
        fit(indexed(IDS), tokens(), validation_sets={"new": tokens(104)}, **QUICK)


def test_ids_for_which_the_model_says_what_to_take_are_not_told():
    def apply(params, x):
        return jnp.take(params, x, axis=0, mode="fill", fill_value=0).mean(axis=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit((table(50), apply), tokens(), **QUICK)


def test_an_id_beyond_an_array_of_whole_numbers_is_told():
    groups = jnp.arange(IDS) % 7

    def apply(params, x):
        return params[jnp.take(groups, x, axis=0) % 7].mean(axis=1)

    with pytest.warns(UserWarning, match="place 104"):
        fit((table(7), apply), tokens(104), **QUICK)


PADDING = -1000


def padded(beyond=None):
    ids, y = tokens()
    ids[::3, 2] = PADDING
    if beyond is not None:
        ids[90, 0] = beyond  # Its row has padding too.
    return ids, y


def mean_of_known(embed, ids):
    known = (ids != PADDING)[..., None]
    return jnp.where(known, embed, 0).sum(axis=1) / known.sum(axis=1)


def masked_by_choice(params, x):
    return mean_of_known(params[x], x)


def masked_where_taken(params, x):
    return mean_of_known(jnp.take(params, x, axis=0), x)


def masked_by_product(params, x):
    known = (x != PADDING)[..., None]
    return (params[x] * known).sum(axis=1) / known.sum(axis=1)


def masked_in_attention(params, x):
    embed = jnp.concatenate([params[x], params[x] ** 2], axis=-1)
    scores = embed @ embed.transpose(0, 2, 1)
    scores = jnp.where((x != PADDING)[:, None], scores, -jnp.inf)
    return mean_of_known((jax.nn.softmax(scores) @ embed)[..., :1], x)


def masked_in_a_loop(params, x):
    def step(total, ids):
        return jnp.where((ids != PADDING)[:, None], total + params[ids], total), None

    return jax.lax.scan(jax.checkpoint(step), jnp.zeros((len(x), 1)), x.T)[0]


MASKED = [
    *(masked_by_choice, masked_where_taken, masked_by_product),
    *(masked_in_attention, masked_in_a_loop),
]


@pytest.mark.parametrize("apply", MASKED, ids=lambda one: one.__name__)
def test_padding_that_the_model_masks_is_not_told(apply):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run = fit((table(IDS), apply), padded(), **QUICK)
        run.predict(np.full((2, 3), [1, 2, PADDING]))


@pytest.mark.parametrize("apply", MASKED, ids=lambda one: one.__name__)
def test_an_id_beyond_an_embedding_is_told_beside_padding_that_is_masked(apply):
    if apply is masked_where_taken:
        with pytest.raises(InputError, match=r"x makes .* place 120 .* JAX takes NaN"):
            fit((table(IDS), apply), padded(120), **QUICK)
        return
    with pytest.warns(UserWarning, match=r"x makes .* place 120 .* places 0 to 99"):
        fit((table(IDS), apply), padded(120), **QUICK)


def test_padding_is_told_where_its_mask_does_not_hide_what_is_taken():
    """0 · NaN is NaN."""

    def apply(params, x):
        return (jnp.take(params, x["ids"], axis=0) * x["mask"][..., None]).sum(axis=1)

    ids, y = padded()
    x = {"ids": ids, "mask": (ids != PADDING).astype(np.float32)}
    with pytest.raises(InputError, match=r"place -1,000 .* JAX takes NaN"):
        fit((table(IDS), apply), (x, y), **QUICK)


@pytest.mark.parametrize("masks", [True, False])
def test_padding_whose_mask_is_another_input_is_not_told(masks):
    def apply(params, x):
        known = x["mask"][..., None]
        return (params[x["ids"]] * known).sum(axis=1) / 3

    ids, y = padded()
    x = {"ids": ids, "mask": (ids != PADDING) | (not masks)}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit((table(IDS), apply), (x, y), **QUICK)
    assert any("ids makes the model look up" in str(one.message) for one in told) == (not masks)


def test_the_model_is_traced_once_for_all_rows():
    """Rows of training, validation and two further sets are looked at by one program."""
    traced = []

    def apply(params, x):
        traced.append(len(x))
        return params[x].mean(axis=1)

    params = np.zeros((IDS, 1), np.float32)
    stores = [store_of(tokens(largest)[0]) for largest in (5, 99, 50)]
    found = check_lookups(apply, lambda x: x["x"], params, stores)
    assert found == {"x": (0.0, 99.0)}
    assert len(traced) == 1


def store_of(ids):
    rows = np.ones(len(ids), np.float32)
    return MemoryStore({"x": ids.astype(np.int32)}, rows, rows)
