import jax
import jax.numpy as jnp
import numpy as np

from descend.training.gradient import make_gradient
from tests.problems import linear_problem, numbers, rows_of

STORE = numbers(60)


def test_micro_batches_work_in_float64() -> None:
    with jax.enable_x64(True):
        problem = linear_problem(STORE)
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), rows_of(STORE))
        params = {"kernel": jnp.ones((3, 1)), "bias": jnp.ones(1)}
        whole = make_gradient(problem.objective)(params, batch)
        microbatches = make_gradient(problem.objective, 4)(params, batch)
        for one, other in zip(*map(jax.tree.leaves, (whole, microbatches)), strict=True):
            assert one.dtype == other.dtype == jnp.float64
            np.testing.assert_allclose(one, other, rtol=1e-12)
