import numpy as np

from descend.data.rows.batches import BatchPlan, chunks
from descend.training.state import copy_state, initial_state
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
