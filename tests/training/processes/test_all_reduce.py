"""The sum over several processes; devices of one process stand for them."""

from __future__ import annotations

import numpy as np
import pytest

from descend.training.processes.all_reduce import (
    AT_ONCE,
    DIRECTIONS,
    Link,
    Way,
    all_reduce_cost,
    costs,
    link_of,
    way_to_sum,
)
from descend.training.processes.link import in_turns
from tests.devices import run_on_devices

PROGRAM = """
import jax, numpy as np
from descend.training.processes import slices
from descend.training.processes.all_reduce import all_reduce

spec = jax.sharding.PartitionSpec
found = {}
for count in (1, 2, 3, 4, 6, 8):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), (slices.AXIS,))
    for size in (1, 7, 40_000):
        random = np.random.default_rng(size)
        values = random.normal(size=(count, size)).astype(np.float32)
        factors = random.normal(size=(count, size)).astype(np.float32)

        # A product that XLA would merge with the sum into one instruction of another rounding.
        def summed(values, factors):
            return all_reduce((values * factors)[0], slices.AXIS)[None]

        program = jax.jit(
            jax.shard_map(
                summed, mesh=mesh, in_specs=spec(slices.AXIS), out_specs=spec(slices.AXIS),
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


def test_work_that_passes_makes_neither_of_two_sums_seem_slow() -> None:
    # The machine is busy during the second and the third of five rounds.
    busy = [1.0, 4.0, 3.0, 1.0, 1.1]
    little, much = ((one * 2e-3 for one in busy), (one * 3e-2 for one in busy))
    found = in_turns([lambda: next(little), lambda: next(much)], len(busy))
    assert found == [2e-3, 3e-2]


def test_more_processes_never_take_more_steps_than_a_ring() -> None:
    for count in range(2, 600):
        for size in (4, 80_000, 10_000_000):
            found = all_reduce_cost(count, size)
            assert found.steps <= 2 * (count - 1)
            assert found.passed >= 2 * (count - 1) / count * size


def test_the_seconds_of_an_all_reduce() -> None:
    link = link_of(2, little=2e-5, much=1.4e-4, size=1000)

    def seconds(count: int, size: int) -> float:
        return link.seconds(all_reduce_cost(count, size))

    # An exchange: both directions one after the other.
    assert link == Link(latency=2e-5, bandwidth=pytest.approx(1e7))
    assert seconds(2, 1000) == pytest.approx(2.2e-4)
    # Sums of two, then of four.
    assert seconds(4, 1000) == pytest.approx(4.4e-4)
    # Of three processes each sends a third to two others, twice.
    assert seconds(3, 1000) == pytest.approx(4e-5 + 8 / 3 * 1e-4)
    # In a ring each byte goes out 2(P-1)/P times.
    assert seconds(4, 1_000_000) == pytest.approx(12e-5 + 1.5e-1)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 64])
def test_a_link_is_found_from_the_sums_of_any_number_of_processes(count: int) -> None:
    link = Link(3e-4, 2e7)
    little = link.seconds(all_reduce_cost(count, 4))
    much = link.seconds(costs(count, 256 << 10)[Way.RING])
    found = link_of(count, little, much, 256 << 10)
    assert found.bandwidth == pytest.approx(link.bandwidth, rel=0.01)
    assert found.latency == pytest.approx(link.latency, rel=0.01)


def test_a_slow_link_takes_the_ring_and_a_distant_one_exchanges() -> None:
    size = 80_000
    assert way_to_sum(2, size) is Way.DOUBLING
    assert way_to_sum(2, size, Link(3e-5, 5e9)) is Way.DOUBLING
    assert way_to_sum(2, size, Link(1e-4, 12.5e6)) is Way.RING
    assert way_to_sum(4, size, Link(1e-4, 12.5e6)) is Way.RING
    # The bytes take six times as long as a message: those of both directions pass at once.
    assert way_to_sum(2, size, Link(1e-3, 12.5e6)) is Way.DOUBLING
    assert way_to_sum(4, size, Link(50e-3, 12.5e6)) is Way.DOUBLING
    assert way_to_sum(8, 1_000_000) is Way.RING
    assert way_to_sum(8, 1_000_000, Link(20e-3, 1e9)) is Way.DOUBLING
    assert way_to_sum(6, 1_000_000, Link(20e-3, 1e9)) is Way.PARTS


@pytest.mark.parametrize(("count", "sent"), [(2, 1.0), (3, 2 / 3), (4, 1.0)])
def test_both_directions_pass_at_once_where_messages_take_long(count: int, sent: float) -> None:
    size, bandwidth = 80_000, 12.5e6
    took = sent * size / bandwidth

    def passed(link: Link | None) -> float:
        found = costs(count, size, link)
        assert found[Way.RING] == costs(count, size)[Way.RING]
        return min(cost.passed for way, cost in found.items() if way is not Way.RING)

    both = passed(None)
    assert passed(Link(0.0, bandwidth)) == passed(Link(took / AT_ONCE / 2, bandwidth)) == both
    assert passed(Link(took, bandwidth)) == pytest.approx(both * DIRECTIONS / 2)
    # There is no place where a link that is hardly slower costs much more.
    places = [passed(Link(took / ratio, bandwidth)) for ratio in np.linspace(1, 30, 300)]
    assert np.diff(places).min() >= 0
    assert np.diff(places).max() < 0.01 * both


def test_a_link_that_is_a_little_other_tomorrow_changes_nothing() -> None:
    """Where two ways take about as long by the link, the usual one stays, whatever is measured."""
    for count in (2, 3, 4, 8, 16):
        for size in (1_000, 80_000, 300_000, 4_000_000):
            possible = costs(count, size, Link(1.0, size))
            ring = possible[Way.RING]
            (other,) = (cost for way, cost in possible.items() if way is not Way.RING)
            # The bandwidth at which both take the same time, at a latency of one.
            bandwidth = (other.passed - ring.passed) / (ring.steps - other.steps)
            near = {way_to_sum(count, size, Link(1.0, bandwidth * by)) for by in (0.8, 1.0, 1.25)}
            assert near == {way_to_sum(count, size)}
