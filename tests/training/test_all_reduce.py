"""The sum over several processes; devices of one process stand for them."""

from __future__ import annotations

import pytest

from descend.training.all_reduce import all_reduce_cost
from tests.devices import run_on_devices

PROGRAM = """
import jax, numpy as np
from descend.training import parallel
from descend.training.all_reduce import all_reduce

spec = jax.sharding.PartitionSpec
found = {}
for count in (1, 2, 3, 4, 6, 8):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), (parallel.AXIS,))
    for size in (1, 7, 40_000):
        random = np.random.default_rng(size)
        values = random.normal(size=(count, size)).astype(np.float32)
        factors = random.normal(size=(count, size)).astype(np.float32)

        # A product that XLA would merge with the sum into one instruction of another rounding.
        def summed(values, factors):
            return all_reduce((values * factors)[0], parallel.AXIS)[None]

        program = jax.jit(
            jax.shard_map(
                summed, mesh=mesh, in_specs=spec(parallel.AXIS), out_specs=spec(parallel.AXIS),
                check_vma=False,
            )
        )
        sums = np.asarray(program(values, factors))
        assert (sums == sums[0]).all(), (count, size)
        assert np.allclose(sums[0], (values.astype(float) * factors).sum(axis=0), atol=1e-5)
        text = program.lower(values, factors).compile().as_text()
        found[count, size] = text.count(" all-to-all("), text.count(" all-reduce(")
assert {found[count, 7] for count in (1, 2, 3, 4, 6, 8)} == {(0, 0), (1, 0), (2, 0), (3, 0)}
# Many bytes go in a ring.
assert found[2, 40_000] == found[8, 40_000] == (0, 1)
print("same")
"""


@pytest.mark.slow
def test_all_have_the_same_sum() -> None:
    assert run_on_devices(PROGRAM, 8) == "same\n"


def test_more_processes_never_take_more_steps_than_a_ring() -> None:
    for count in range(2, 600):
        for size in (4, 80_000, 10_000_000):
            found = all_reduce_cost(count, size)
            assert found.steps <= 2 * (count - 1)
            assert found.passed >= 2 * (count - 1) / count * size
