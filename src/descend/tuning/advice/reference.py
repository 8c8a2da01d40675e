"""The reference: the batch size that trials begin with, chosen by measured seconds per update."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from descend.defaults import LEAST_UPDATES
from descend.io.units import count_text
from descend.training.jax_setup import in_this_context
from descend.training.problem import Problem
from descend.tuning.advice import speed
from descend.tuning.advice.further_sizes import ensure_speed, measure_sizes
from descend.tuning.advice.trials import MANY_EVALUATIONS, make_runner
from descend.tuning.advice.work import (
    SAVING_FRACTION,
    TYPICAL_CRITICAL,
    Report,
    Work,
    default_budget,
    nearest_size,
    time_to_measure_all,
    typical_updates,
)

EXPECTED_EPOCHS, EXPECTED_UPDATES = 40, 15_000
"""Expected length of a training run: the longer of the two."""
FIRST_PROBE, PROBE_STEP = 128, 16
"""Largest batch size that is measured first, and the factor to the next one. They are only points
at which seconds are measured: `choose_reference` continues while larger batches cost little more.
"""
FIRST_REPEATS, FIRST_SECONDS = 7, 0.002
"""Turns in which the first probe is timed, and the shortest of them; fewer where a turn, of a chunk
at least, takes as long as all of them. Only the expected length of training follows
from it: where sizes are compared, all of them are timed anew, in longer turns."""
NEARLY_EQUAL = 2.0
"""Probing continues while an update costs less than this multiple of one at the first probe."""
MIN_UPDATES_PER_EPOCH = 16
"""Minimum updates per epoch at the reference size, so small tables get a smaller reference."""
SHORT_FIRST = (0.25, 0.5, 1.0)
"""When a trial is evaluated in its first rung where training is short: twice doubled, which
`updates_needed` has to see."""


def begin_work(
    problem: Problem,
    *,
    batch_size: int | None,
    memory: int | None,
    goal: str,
    epochs: int | None = None,
    budget: float | None,
    at_least: float,
    clock: Callable[[], float],
    started: float,
    report: Report,
) -> Work:
    """Measure an update of the first probe, and derive the budget of the advice from it.

    Args:
        problem: what is to be trained.
        batch_size: rows per update if that is given.
        memory: bytes that training may take.
        goal: what the advice optimizes.
        epochs: of a training whose learning rate is planned to its end. It makes no more updates
            than these epochs hold, so batch sizes with few updates per epoch are not possible.
        budget: seconds that the advice may take, about.
        at_least: minimum budget in seconds if none is given.
        clock: seconds.
        started: when the advice began.
        report: called with a message when something begins.
    """
    snapshot = problem.begin().state
    footprint = speed.Footprint(problem, snapshot)
    limit = speed.memory_limit() if memory is None else memory
    possible = _possible_sizes(problem, footprint, batch_size, limit)
    if epochs is not None and batch_size is None:
        most = max(possible[0], len(problem.store) // LEAST_UPDATES)
        possible = tuple(size for size in possible if size <= most)
    reference = first_probe(problem, possible, footprint)
    report(f"Measuring updates of {count_text(reference, 'row')}")
    before = clock()
    with ThreadPoolExecutor(1) as pool:
        compiled = pool.submit(in_this_context(speed.compile_sizes), problem, snapshot, [reference])
        runner = make_runner(problem)
        compiled.result()
    compiling = clock() - before
    measured = speed.measure_speed(
        problem,
        snapshot,
        [reference],
        footprint=footprint,
        clock=clock,
        repeats=FIRST_REPEATS,
        seconds=FIRST_SECONDS,
        enough=FIRST_REPEATS * FIRST_SECONDS,
    )
    updates = max(EXPECTED_EPOCHS * problem.plan(reference).updates_per_epoch, EXPECTED_UPDATES)
    expected = updates * speed.seconds_at(measured, reference)
    budget_given = budget is not None
    at_least = time_to_measure_all(at_least, compiling)
    if budget is None:
        budget = default_budget(expected, at_least)
    work = Work(
        runner=runner,
        footprint=footprint,
        limit=limit,
        possible=possible,
        reference=reference,
        goal=goal,
        clock=clock,
        started=started,
        report=report,
        speed=measured,
        compiling=compiling,
        budget=budget,
        budget_given=budget_given,
        expected=expected,
    )
    work.limit_concurrency([reference])
    runner.first_evaluations = SHORT_FIRST if work.short_training else MANY_EVALUATIONS
    return work


def first_probe(
    problem: Problem, possible: Sequence[int], footprint: speed.Footprint | None = None
) -> int:
    """The batch size that is measured first; it follows from table and model, not from the machine.

    If an update costs as much as its rows and a more of them, (1 + B_crit/B)·(a + B) is lowest
    at B = √(B_crit·a). Where that is far below `FIRST_PROBE`, as for a linear model, whose weights
    take no more bytes than a few rows, measuring begins there.

    Args:
        problem: what is to be trained.
        possible: batch sizes that may be advised.
        footprint: of the problem, which counts the bytes; None: begin with `FIRST_PROBE`.
    """
    most = min(FIRST_PROBE, _largest_reference(problem))
    if footprint is None:
        return nearest_size(possible, most)
    balanced = math.sqrt(TYPICAL_CRITICAL * footprint.own_rows)
    return nearest_size(possible, max(1.0, min(most, balanced)))


def _largest_reference(problem: Problem) -> int:
    return max(1, len(problem.store) // MIN_UPDATES_PER_EPOCH)


def choose_reference(work: Work, at_least: float = 0.0) -> None:
    """Choose the batch size that trials begin with, from measured seconds per update.

    Larger sizes are probed while an update costs nearly what a small one costs, as on a device
    whose time goes into starting programs. The reference is the size with the lowest
    (1 + B_crit/B)·t(B) for a typical B_crit, t between the measured sizes interpolated. Where
    updates cost their rows from the start, as on most CPUs, it is the first probe.

    Args:
        work: with the first probe measured; its reference, expected time and budget are updated.
        at_least: minimum budget in seconds if none was given.
    """
    first = work.reference
    most = _largest_reference(work.runner.problem)
    allowed = [size for size in work.possible if first <= size <= most]
    if work.goal == "examples" or len(allowed) < 2 or not _worth_probing(work, allowed):
        return

    def expected_cost(size: int) -> float:
        return typical_updates(size) * work.cost(size)

    def next_probe(size: int) -> int:
        # The same points above the first one, however small that is.
        return nearest_size(allowed, min(PROBE_STEP * max(FIRST_PROBE, size), allowed[-1]))

    def may_save(size: int) -> float:
        """Seconds that the next probe saves at most: if an update costs no more than here."""
        best = min(expected_cost(one) for one in (first, size))
        least = typical_updates(next_probe(size)) * work.cost(size)
        return (best - least) / expected_cost(first) * work.expected

    size = first
    while size < allowed[-1] and work.cost(size) <= NEARLY_EQUAL * work.cost(first):
        if work.weighs_compiling and work.compiling > SAVING_FRACTION * may_save(size):
            break
        size = next_probe(size)
        work.report(f"Measuring updates of {count_text(size, 'row')}")
        measure_sizes(work, [first, size])

    reference = min((one for one in allowed if one <= size), key=expected_cost)
    if reference not in work.speed.batch_sizes:
        # A size in between has to save more than compiling it takes.
        measured = min(work.speed.batch_sizes, key=expected_cost)
        saved = (expected_cost(measured) - expected_cost(reference)) / expected_cost(first)
        if saved * work.expected < work.compiling:
            reference = measured
    if reference == first:
        return
    work.expected *= expected_cost(reference) / expected_cost(first)
    ensure_speed(work, reference)
    work.reference = reference
    if not work.budget_given:
        at_least = time_to_measure_all(at_least, work.compiling)
        work.budget = default_budget(work.expected, at_least)
    work.limit_concurrency([reference])


def _worth_probing(work: Work, allowed: Sequence[int]) -> bool:
    """Whether compiling a larger batch size takes little beside what it may save.

    What an update of many rows costs is not known before it is compiled. But the loss of the
    validation rows was, in large blocks, and an update of as many rows takes a few times as long.
    Where the first probe costs far more than that a row, a larger batch costs little more.
    """
    if not work.weighs_compiling:
        return True
    first = work.cost(work.reference)
    per_row = speed.seconds_per_row(work.runner, work.clock)

    def predicted(size: int) -> float:
        return typical_updates(size) * max(first, size * per_row)

    part = min(predicted(size) for size in allowed) / (typical_updates(work.reference) * first)
    return work.compiling <= SAVING_FRACTION * (1.0 - part) * work.expected


def _possible_sizes(
    problem: Problem, footprint: speed.Footprint, batch_size: int | None, limit: int
) -> tuple[int, ...]:
    """Batch sizes that fit in memory and in one chunk; only the given one if one is given."""
    if batch_size is not None:
        return (batch_size,)
    sizes = speed.candidate_sizes(len(problem.store))
    if problem.couples_rows and len(sizes) > 1:
        sizes = sizes[1:]  # A single row has no batch statistics.
    whole = [size for size in sizes if problem.in_one_chunk(size)]
    most = speed.largest_size_that_fits(footprint, whole, limit)
    return tuple(size for size in whole if size <= most)
