"""What the stages of an advice share: the measurements so far, and the seconds left for more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from descend.tuning.advice import speed
from descend.tuning.advice.halving import FINALISTS, SHORT_FINALISTS
from descend.tuning.advice.trials import TrialRunner
from descend.types import GradientNoise, Speed

BUDGET_FRACTION, MAX_BUDGET = 0.15, 60.0
"""Default budget: this fraction of the expected training time, at most this many seconds. Trials
may take up to twice their share of it, so the advice takes at most about two minutes."""
SPEED_FRACTION, TRIAL_FRACTION = 0.4, 0.8
"""Fractions of the budget: at most for compiling and timing further batch sizes, at least for
trials."""
ROUNDING = 1e-9  # Four times a quarter may come out just below one.
NOISE_COST = 4
"""Measuring the noise takes about as long as measuring this many further batch sizes."""
FINAL_FRACTION = 0.04
"""Length of a trial that runs to the end, as a fraction of the expected training: shorter trials
favour rates that do not last; in a short training, longer ones have passed the target."""
FULL_TRIALS = 6
"""All trials together cost about as much as this many that run to the end."""
TYPICAL_CRITICAL = 500.0
"""Critical batch size assumed before anything is known of the problem, a property of data and model
and not of the machine. It explains where tuned runs on tables of 16,500 to 561,000 rows were
fastest."""
SAVING_FRACTION = 0.5
"""A larger size is probed if compiling it takes at most this fraction of what it may save."""

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

        No longer than training itself, and no shorter than the first trials. In a short training a
        second core makes trials end sooner; in a long one it makes them longer.
        """
        concurrent = 1 if self.short_training else self.runner.concurrent
        planned = trial_length(self.expected, self.trial_seconds, concurrent)
        return max(self.first_rung, min(planned, self.needed))

    @property
    def training(self) -> float:
        """Seconds of training, as far as is known."""
        return min(self.expected, self.needed)

    @property
    def affordable_sizes(self) -> int:
        """Number of further batch sizes that the budget has time to measure."""
        return math.floor(self.budget / self.seconds_for(1) + ROUNDING)

    def seconds_for(self, sizes: int) -> float:
        """The budget that leaves time to measure a number of further batch sizes."""
        return budget_for(self.compiling, sizes)

    @property
    def short_training(self) -> bool:
        """Whether training is too short for everything to be measured."""
        return self.affordable_sizes < NOISE_COST

    @property
    def limited_by(self) -> str:
        """What keeps the budget short: it was given, compiling takes long, or training is short."""
        if self.budget_given:
            return "budget"
        return "compiling" if self.budget >= MAX_BUDGET else "training"

    @property
    def weighs_compiling(self) -> bool:
        """Whether a batch size is compiled only if it may save more than compiling it takes.

        A budget that was given, or that leaves time to measure everything, is spent without asking.
        """
        return self.short_training and not (self.budget_given and self.affordable_sizes >= 1)

    @property
    def finalists(self) -> int:
        """Number of trials that run to the end."""
        return SHORT_FINALISTS if self.short_training else FINALISTS

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
        self.runner.concurrent = speed.concurrent_trials(self.footprint, sizes, self.limit)


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
    return max(at_least, budget_for(compiling, NOISE_COST)) if at_least > 0.0 else 0.0


def budget_for(compiling: float, sizes: int) -> float:
    """Seconds of an advice that leaves time to measure a number of further batch sizes.

    >>> round(budget_for(compiling=0.5, sizes=4), 3)
    6.0
    """
    return sizes * (compiling + speed.REPEATS * speed.SECONDS) / SPEED_FRACTION


def typical_updates(size: int) -> float:
    """Updates that a batch size needs, over those of a very large one, for a typical B_crit."""
    return 1.0 + TYPICAL_CRITICAL / size


def nearest_size(sizes: Sequence[int], wanted: float) -> int:
    """The batch size with the nearest logarithm."""
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def format_sizes(sizes: Sequence[int]) -> str:
    """Batch sizes as text.

    >>> format_sizes([16, 1024])
    '16, 1,024'
    """
    return ", ".join(f"{size:,}" for size in sizes)
