"""Further batch sizes: compiled beside the first trials, timed, and those worth trying listed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from descend.training.jax_setup import in_this_context
from descend.tuning.advice import critical_batch, selection, speed
from descend.tuning.advice.work import (
    NOISE_COST,
    SAVING_FRACTION,
    SPEED_FRACTION,
    Work,
    format_sizes,
    typical_updates,
)

USUAL_TURNS = 2.0
"""Turns take at most this many times their shortest, where no single update takes longer."""
NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Update rules for which gradient noise predicts the critical batch size."""


def start_compiling(work: Work) -> None:
    """Compile the batch sizes around the reference in a thread, while its trials run.

    As many as the budget allows. Where training is short, `measure_speeds` decides.
    """
    if work.weighs_compiling:
        return
    per_row = speed.seconds_at(work.speed, work.reference) / work.reference
    cheap = [size for size in _unmeasured(work) if 4 * size * per_row <= 0.1 * work.budget]
    _compile(work, cheap[: work.affordable_sizes])


def _unmeasured(work: Work) -> list[int]:
    """The batch sizes that were not measured yet, those nearest to the reference first."""
    return sorted(
        (size for size in work.possible if size not in work.speed.batch_sizes),
        key=lambda size: (abs(math.log(size / work.reference)), size),
    )


def _compile(work: Work, sizes: list[int]) -> None:
    if not sizes:
        return
    problem, snapshot = work.runner.problem, work.runner.snapshot
    pool = ThreadPoolExecutor(1)
    compile_sizes = in_this_context(speed.compile_sizes)
    compiled = [pool.submit(compile_sizes, problem, snapshot, [one], 1) for one in sizes[:2]]
    work.compilation = sizes, compiled
    pool.shutdown(wait=False)


def measure_speeds(work: Work) -> None:
    """Measure the compiled batch sizes, the nearest ones in turns with the reference.

    Where training is short, one size is compiled now if it may save more than compiling it takes.
    """
    nearest = _unmeasured(work)
    if work.compilation is None and not work.budget_given:
        _compile(work, _size_worth_compiling(work))
    if work.compilation is None:
        sizes: list[int] = []
    else:
        sizes, compiled = work.compilation
        # The first trials may have shown that there is less time than it seemed.
        affordable = work.affordable_sizes
        begun = [one for one in compiled if compiled.index(one) < affordable or not one.cancel()]
        sizes = sizes[: max(affordable, len(begun))]
        work.report(f"Measuring updates of {format_sizes(sorted(sizes[:2]))} rows")
        for one in begun:
            one.result()
        measure_sizes(work, [work.reference, *sizes[:2]])
        for size in sizes[2:]:
            larger = size > work.reference
            if not (larger and speed.is_saturated(work.speed)):
                measure_sizes(work, [size])
    if work.short_training:
        work.evidence.update(
            left_out_by=work.limited_by,
            compiling=work.compiling,
            budget_for_all=work.seconds_for(max(NOISE_COST, len(nearest))),
        )
        work.left_out.append("noise")
        if nearest and len(work.speed.batch_sizes) == 1:
            work.left_out.append("other sizes")
        elif len(sizes) < len(nearest):
            work.left_out.append(f"sizes other than {format_sizes(work.speed.batch_sizes)}")


def _size_worth_compiling(work: Work) -> list[int]:
    """The next smaller or larger size if it may win and save more than compiling it takes; or none.

    What its updates cost is not known before it is compiled: a row costs no less than at the
    reference in a smaller batch, and in a larger one about what evaluating the loss says.
    """

    def hoped(size: int, per_row: float = 0.0) -> float:
        """Cost of training with a size over that with the reference, at the least."""
        at_reference = work.cost(work.reference)
        if size < work.reference or work.goal == "examples":
            cost = at_reference * size / work.reference
        else:
            cost = max(at_reference, size * per_row)
        return typical_updates(size) * cost / (typical_updates(work.reference) * at_reference)

    def pays(part: float, size: int) -> bool:
        saved = (1.0 - part) * work.training
        may_win = part * selection.required_gain(size, work.reference) <= 1.0
        return may_win and work.compiling <= SAVING_FRACTION * saved

    unmeasured = _unmeasured(work)
    smaller = [size for size in unmeasured if size < work.reference][:1]
    larger = [size for size in unmeasured if size > work.reference][:1]
    worth = [size for size in smaller + larger if pays(hoped(size), size)]
    if work.goal != "examples" and worth:
        per_row = speed.seconds_per_row(work.runner, work.clock)
        worth = [size for size in worth if pays(hoped(size, per_row), size)]
    return sorted(worth, key=hoped)[:1]


def measure_sizes(work: Work, sizes: Sequence[int]) -> None:
    """Measure batch sizes in turns with the reference, and add them to what is known.

    The reference is measured again each time, since the machine may be busier than before. Updates
    that take long are timed twice, then only as long as the budget leaves time for it.
    """
    timed = sorted({work.reference, *sizes})
    repeats = speed.QUICK_REPEATS if work.short_training else speed.REPEATS
    usual = USUAL_TURNS * repeats * len(timed) * speed.SECONDS
    new = speed.measure_speed(
        work.runner.problem,
        work.runner.snapshot,
        timed,
        footprint=work.footprint,
        clock=work.clock,
        repeats=repeats,
        enough=max(usual, SPEED_FRACTION * work.budget / NOISE_COST),
    )
    work.speed = speed.merge_speeds(work.speed, new)


def ensure_speed(work: Work, size: int) -> None:
    """Measure a batch size unless it was measured before."""
    if size not in work.speed.batch_sizes:
        measure_sizes(work, [size])


def shortlist_sizes(work: Work, optimizer: str) -> list[int]:
    """Batch sizes that may be best for a critical batch size near the noise scale."""
    low, high = 1.0, math.inf
    if work.noise and work.noise[-1].noise_scale is not None:
        low, high = work.noise[-1].interval
    margin = 10.0 if optimizer in NOISE_DECIDES else 100.0
    chosen = critical_batch.shortlist(
        work.speed.batch_sizes, work.cost, (low / margin, high * margin)
    )
    if work.short_training:
        chosen = [size for size in chosen if not _cannot_win(work, size)]
    work.evidence["shortlist"] = chosen
    return chosen


def _cannot_win(work: Work, size: int) -> bool:
    """Whether a batch size cannot be clearly better than the reference, whatever the noise.

    A smaller batch never needs fewer updates, and a larger one never fewer examples.
    """
    ratio = work.cost(size) / work.cost(work.reference)
    least = ratio if size < work.reference else ratio * work.reference / size
    return size != work.reference and least * selection.required_gain(size, work.reference) > 1.0
