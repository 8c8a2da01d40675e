"""Measurements before the search: costs of updates, first rates, gradient noise, a shortlist."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from descend.defaults import LEAST_UPDATES
from descend.io.units import count_text
from descend.training.problem import Problem
from descend.tuning.advice import critical_batch, lr_range, selection, speed
from descend.tuning.advice.halving import run_to_cost
from descend.tuning.advice.trials import (
    CONCURRENT_TRIALS,
    MANY_EVALUATIONS,
    Trial,
    TrialRunner,
    make_runner,
)
from descend.types import GradientNoise, Speed

NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Update rules for which gradient noise predicts the critical batch size."""
BUDGET_FRACTION, MAX_BUDGET = 0.15, 60.0
"""Default budget: this fraction of the expected training time, at most this many seconds. Trials
may take up to twice their share of it, so the advice takes at most about two minutes."""
SPEED_FRACTION, TRIAL_FRACTION = 0.4, 0.8
"""Fractions of the budget: at most for compiling and timing further batch sizes, at least for
trials."""
EXPECTED_EPOCHS, EXPECTED_UPDATES = 40, 15_000
"""Expected length of a training run: the longer of the two."""
ROUNDING = 1e-9  # Four times a quarter may come out just below one.
NOISE_COST = 4
"""Measuring the noise takes about as long as measuring this many further batch sizes."""
FIRST_PROBE, PROBE_STEP = 128, 16
"""Batch size that is measured first, and the factor to the next one. They are only points at which
seconds are measured: `choose_reference` continues while larger batches cost little more."""
NEARLY_EQUAL = 2.0
"""Probing continues while an update costs less than this multiple of one at the first probe."""
SAVING_FRACTION = 0.5
"""A larger size is probed if compiling it takes at most this fraction of what it may save."""
TYPICAL_CRITICAL = 500.0
"""Critical batch size assumed before anything is known of the problem, a property of data and model
and not of the machine. It explains where tuned runs on tables of 16,500 to 561,000 rows were
fastest."""
MIN_UPDATES_PER_EPOCH = 16
"""Minimum updates per epoch at the reference size, so small tables get a smaller reference."""
FINAL_FRACTION = 0.04
"""Length of a trial that runs to the end, as a fraction of the expected training: shorter trials
favour rates that do not last; in a short training, longer ones have passed the target."""
FIRST_RUNG_DIVISOR = 4
"""The first rung is this many times shorter than a trial that runs to the end."""
FULL_TRIALS = 6
"""All trials together cost about as much as this many that run to the end."""
MIN_DOUBLED = 4
"""Losses that `updates_needed` looks at: the first, and three whose updates doubled twice."""
SHORT_FIRST = (0.25, 0.5, 1.0)
"""When a trial is evaluated in its first rung where training is short: twice doubled, which
`updates_needed` has to see."""

Report = Callable[[str], None]


@dataclass
class Work:
    """What the stages of an advice share and add to.

    Attributes:
        runner: runs the trials.
        footprint: bytes of training at a batch size.
        limit: bytes that training may take.
        possible: batch sizes that may be advised.
        reference: the batch size that trials begin with.
        goal: what the advice optimizes.
        clock: seconds.
        started: when the advice began.
        report: called with a message when something begins.
        speed: measured cost of updates so far.
        compiling: seconds that compiling the first program took.
        budget: seconds that the advice may take, about.
        budget_given: whether the user set the budget.
        expected: seconds that training is expected to take, from the size of the table.
        needed: seconds after which the loss hardly falls any more, from the first trials; infinite
            where those do not show it.
        first_rung: seconds of updates in each of the first trials.
        trial_seconds: seconds for all trials, from the first one on.
        compilation: batch sizes being compiled, and for the nearest two a future that is done when
            they are.
        noise: measured gradient noise so far.
        evidence: plain records of all that was measured.
        undetermined: what the measurements could not determine.
        left_out: what was not measured because training is too short to make up for it.
    """

    runner: TrialRunner
    footprint: speed.Footprint
    limit: int
    possible: tuple[int, ...]
    reference: int
    goal: str
    clock: Callable[[], float]
    started: float
    report: Report
    speed: Speed
    compiling: float
    budget: float
    budget_given: bool
    expected: float
    needed: float = math.inf
    first_rung: float = 0.0
    trial_seconds: float = 0.0
    compilation: tuple[list[int], list[Future[None]]] | None = None
    noise: list[GradientNoise] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    undetermined: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def share_budget(self) -> None:
        """Give the trials what is left of the budget."""
        left = self.budget - self.spent()
        least = 0.0 if self.budget_given else TRIAL_FRACTION * self.budget
        self.trial_seconds = max(left, least)

    @property
    def length(self) -> float:
        """Seconds of updates in a trial that runs to the end.

        No longer than training itself, and no shorter than the first trials.
        """
        planned = trial_length(self.expected, self.trial_seconds, self.runner.concurrent)
        return max(self.first_rung, min(planned, self.needed))

    @property
    def training(self) -> float:
        """Seconds of training, as far as is known."""
        return min(self.expected, self.needed)

    @property
    def affordable_sizes(self) -> int:
        """Number of further batch sizes that the budget has time to measure."""
        each = self.compiling + speed.REPEATS * speed.SECONDS
        return math.floor(SPEED_FRACTION * self.budget / each + ROUNDING)

    @property
    def short_training(self) -> bool:
        """Whether training is too short for everything to be measured."""
        return self.affordable_sizes < NOISE_COST

    def cost(self, batch_size: int) -> float:
        """Cost of an update: seconds, or rows where the goal is to see few examples."""
        if self.goal == "examples":
            return float(batch_size)
        return speed.seconds_at(self.speed, batch_size)

    def spent(self) -> float:
        """Seconds since the advice began."""
        return self.clock() - self.started

    def record_time(self, stage: str) -> None:
        """Record when a stage ended."""
        self.evidence.setdefault("seconds", {})[stage] = self.spent()

    def limit_concurrency(self, sizes: Sequence[int]) -> None:
        """Run trials of these batch sizes one at a time if two would not fit in memory."""
        most = max(self.footprint(size) for size in sizes)
        fits = CONCURRENT_TRIALS * most <= self.limit
        self.runner.concurrent = CONCURRENT_TRIALS if fits else 1


def trial_length(expected: float, trial_seconds: float, concurrent: int) -> float:
    """Seconds of updates in a trial that runs to the end.

    Args:
        expected: seconds of training.
        trial_seconds: seconds for all trials.
        concurrent: trials that run at once.

    >>> trial_length(10.0, 3.0, 2), trial_length(1e5, 60.0, 2)
    (0.4, 20.0)
    """
    return min(FINAL_FRACTION * expected, concurrent * trial_seconds / FULL_TRIALS)


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
    reference = first_probe(problem, possible)
    report(f"Measuring updates of {count_text(reference, 'row')}")
    before = clock()
    with ThreadPoolExecutor(1) as pool:
        compiled = pool.submit(speed.compile_sizes, problem, snapshot, [reference])
        runner = make_runner(problem)
        compiled.result()
    compiling = clock() - before
    measured = speed.measure_speed(
        problem,
        snapshot,
        [reference],
        footprint=footprint,
        clock=clock,
        repeats=speed.QUICK_REPEATS,
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


def first_probe(problem: Problem, possible: Sequence[int]) -> int:
    """The batch size that is measured first; it follows from the table, not from the machine."""
    return nearest_size(possible, min(FIRST_PROBE, _largest_reference(problem)))


def _largest_reference(problem: Problem) -> int:
    return max(1, len(problem.store) // MIN_UPDATES_PER_EPOCH)


def default_budget(expected: float, at_least: float = 0.0) -> float:
    """Seconds that an advice may take if the user set no budget."""
    return min(MAX_BUDGET, max(at_least, BUDGET_FRACTION * expected))


def time_to_measure_all(at_least: float, compiling: float) -> float:
    """A minimum budget, extended so that further sizes and the noise are measured.

    Args:
        at_least: minimum budget in seconds; 0 stays 0, since training is then waited for.
        compiling: seconds that compiling a batch size takes.

    >>> time_to_measure_all(10.0, 0.4), time_to_measure_all(10.0, 2.0)
    (10.0, 21.0)
    """
    each = compiling + speed.REPEATS * speed.SECONDS
    return max(at_least, NOISE_COST * each / SPEED_FRACTION) if at_least > 0.0 else 0.0


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
        return _typical_updates(size) * work.cost(size)

    def next_probe(size: int) -> int:
        return nearest_size(allowed, min(PROBE_STEP * size, allowed[-1]))

    def may_save(size: int) -> float:
        """Seconds that the next probe saves at most: if an update costs no more than here."""
        best = min(expected_cost(one) for one in (first, size))
        least = _typical_updates(next_probe(size)) * work.cost(size)
        return (best - least) / expected_cost(first) * work.expected

    size = first
    while size < allowed[-1] and work.cost(size) <= NEARLY_EQUAL * work.cost(first):
        if work.affordable_sizes < 1 and work.compiling > SAVING_FRACTION * may_save(size):
            break
        size = next_probe(size)
        work.report(f"Measuring updates of {count_text(size, 'row')}")
        _measure(work, [first, size])

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


def _typical_updates(size: int) -> float:
    """Updates that a batch size needs, over those of a very large one, for a typical B_crit."""
    return 1.0 + TYPICAL_CRITICAL / size


def _worth_probing(work: Work, allowed: Sequence[int]) -> bool:
    """Whether compiling a larger batch size takes little beside what it may save.

    What an update of many rows costs is not known before it is compiled. But the loss of the
    validation rows was, in large blocks, and an update of as many rows takes a few times as long.
    Where the first probe costs far more than that a row, a larger batch costs little more.
    """
    if work.affordable_sizes >= 1:
        return True
    first = work.cost(work.reference)
    per_row = speed.seconds_per_row(work.runner, work.clock)

    def predicted(size: int) -> float:
        return _typical_updates(size) * max(first, size * per_row)

    part = min(predicted(size) for size in allowed) / (_typical_updates(work.reference) * first)
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
    whole = [size for size in sizes if problem.plan(size).accumulation_steps == 1]
    most = speed.largest_size_that_fits(footprint, whole, limit)
    return tuple(size for size in whole if size <= most)


def start_compiling(work: Work) -> None:
    """Compile the batch sizes around the reference in a thread, while its trials run.

    As many as the budget allows. Where it allows none, `measure_speeds` decides.
    """
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
    compiled = [pool.submit(speed.compile_sizes, problem, snapshot, [one], 1) for one in sizes[:2]]
    work.compilation = sizes, compiled
    pool.shutdown(wait=False)


def measure_speeds(work: Work) -> None:
    """Measure the compiled batch sizes, the nearest ones in turns with the reference.

    Where the budget allowed none and the first trials showed that training is worth it, the
    nearest one is compiled now. Where training takes no longer than compilation, a better size
    could not make up for compiling it.
    """
    nearest = _unmeasured(work)
    if work.compilation is None and nearest and not work.budget_given:
        saved = 1.0 - min(1.0, _typical_updates(nearest[0]) / _typical_updates(work.reference))
        if work.compiling <= SAVING_FRACTION * saved * work.training:
            _compile(work, nearest[:1])
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
        _measure(work, [work.reference, *sizes[:2]])
        for size in sizes[2:]:
            larger = size > work.reference
            if not (larger and speed.is_saturated(work.speed)):
                _measure(work, [size])
    if work.short_training:
        work.left_out.append("noise")
        if nearest and len(work.speed.batch_sizes) == 1:
            work.left_out.append("other sizes")
        elif len(sizes) < len(nearest):
            work.left_out.append(f"sizes other than {format_sizes(work.speed.batch_sizes)}")


def _measure(work: Work, sizes: Sequence[int]) -> None:
    """Measure batch sizes in turns with the reference, and add them to what is known.

    The reference is measured again each time, since the machine may be busier than before.
    """
    new = speed.measure_speed(
        work.runner.problem,
        work.runner.snapshot,
        sorted({work.reference, *sizes}),
        footprint=work.footprint,
        clock=work.clock,
        repeats=speed.QUICK_REPEATS if work.short_training else speed.REPEATS,
    )
    work.speed = speed.merge_speeds(work.speed, new)


def ensure_speed(work: Work, size: int) -> None:
    """Measure a batch size unless it was measured before."""
    if size not in work.speed.batch_sizes:
        _measure(work, [size])


def run_reference_trials(work: Work, learning_rate: float | None) -> list[Trial]:
    """Short trials at the reference size, which take part in the search."""
    size = work.reference
    if learning_rate is not None:
        rates = [learning_rate]
    else:
        highest = lr_range.max_stable_rate(work.runner, size)
        record_stable_rates(work, {size: highest} if highest is not None else {})
        rates = lr_range.rates_below(highest) if highest is not None else []
    per_update = speed.seconds_at(work.speed, size)
    trials = [work.runner.start(size, rate) for rate in rates]
    work.share_budget()
    work.first_rung = work.length / FIRST_RUNG_DIVISOR
    return run_to_cost(work.runner, trials, lambda _: per_update, work.first_rung)


def reconsider_budget(work: Work, trials: Sequence[Trial], at_least: float = 0.0) -> None:
    """Spend less where the first trials show that training is nearly over.

    The size of a table says little about how long training takes: on many rows a network may learn
    all it can within the first epoch.

    Args:
        work: with the reference trials run; `needed` and the budget are updated.
        trials: those of the reference size.
        at_least: minimum budget in seconds if none was given.
    """
    alive = [one for one in trials if math.isfinite(one.score)]
    if not alive:
        return
    best = min(alive, key=lambda one: one.score)
    problem = work.runner.problem
    rise = problem.rise(problem.plan(best.batch_size))
    updates = updates_needed([(0, work.runner.start_loss), *best.losses], rise)
    if updates is None:
        return
    work.needed = updates * speed.seconds_at(work.speed, best.batch_size)
    if not work.budget_given:
        at_least = time_to_measure_all(at_least, work.compiling)
        work.budget = default_budget(work.training, at_least)
        work.share_budget()


def updates_needed(losses: Sequence[tuple[int, float]], rise: int) -> float | None:
    """Updates after which doubling them lowers the loss by less than it can be told apart.

    From one doubling to the next the gain is taken to shrink by the same factor r, as it does where
    the loss approaches its limit like a power of the updates: with g the gain of the last doubling
    and d the difference that counts as equal, log(d/g)/log(r) doublings are left. r is at least
    1/2, since with noise in the gradient the loss falls no faster than 1/updates (Polyak & Juditsky
    1992, SIAM J. Control Optim. 30(4)).

    Args:
        losses: (updates, validation loss), from the loss before the first update on, the updates
            of the last three doubled twice.
        rise: updates of the warm-up.

    Returns:
        The updates; None where the gain does not shrink, or where half of the updates were made
        during the warm-up, in which they do less.

    >>> updates_needed([(0, 4.0), (100, 2.0), (200, 1.5), (400, 1.25)], 60)
    7273.0
    """
    if len(losses) < MIN_DOUBLED or losses[-2][0] < rise:
        return None
    start = losses[0][1]
    (_, first), (_, second), (updates, last) = losses[-3:]
    equal = selection.equal_within(start, min(first, second, last))
    before, gain = first - second, second - last
    if gain <= equal:
        return float(updates)
    if gain >= before:
        return None
    doublings = math.log(equal / gain) / math.log(max(0.5, gain / before))
    return float(round(updates * 2.0**doublings))


def record_stable_rates(work: Work, found: dict[int, float]) -> None:
    """Record the maximum stable rate of each batch size."""
    lines = work.evidence.setdefault("breaking", [])
    lines += [{"batch_size": size, "learning_rate": rate} for size, rate in found.items()]


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


def nearest_size(sizes: Sequence[int], wanted: int) -> int:
    """The batch size with the nearest logarithm."""
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def format_sizes(sizes: Sequence[int]) -> str:
    """Batch sizes as text.

    >>> format_sizes([16, 1024])
    '16, 1,024'
    """
    return ", ".join(f"{size:,}" for size in sizes)
