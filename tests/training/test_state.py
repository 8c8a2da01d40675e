import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.data.rows.batches import BatchPlan, chunks
from descend.settings import Settings
from descend.training.network.tabular import for_tabular
from descend.training.optimizers import FACTORIES, make_optimizer
from descend.training.state import copy_state, initial_state, state_at
from tests.problems import linear_problem, numbers, same_bits

STORE = numbers(60)


def test_the_same_seed_begins_with_the_same_weights() -> None:
    def init(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(3, 1)).astype(np.float32)

    optimizer = linear_problem(STORE).optimizer
    states = [initial_state(init, optimizer, seed) for seed in (0, 0, 1, 2**32 - 1)]
    assert same_bits(states[0], states[1])
    assert len({np.asarray(state.params).tobytes() for state in states}) == 3


def test_a_copy_outlives_its_original() -> None:
    problem = linear_problem(STORE, optimizer="dog")
    plan = BatchPlan(60, 60, seed=0, updates_per_chunk=1)
    state = problem.begin().state
    kept = copy_state(state)
    batch = next(chunks(STORE, plan)).batch
    problem.compiled(plan)(state, batch, np.ones(1, np.float32), 1, 60)
    assert not np.any(kept.params["kernel"])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("optimizer", FACTORIES)
def test_what_an_optimizer_remembers_at_first_is_what_it_says(optimizer: str, masked: bool) -> None:
    params = {"fixed": {"low": np.ones(2, np.float32)}, "kernel": np.full((2, 3), 0.5, np.float32)}
    rule = make_optimizer(Settings(target="-", optimizer=optimizer))
    rule = for_tabular(rule) if masked else rule
    found, expected = state_at(params, rule).opt_state, rule.init(params)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == jnp.asarray(other).dtype
        np.testing.assert_array_equal(one, other)
