"""The methods that are compared, and the tuned learning rate of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from descend.choices import OPTIMIZERS
from descend.errors import DivergedError, SettingsError, option_text
from descend.training.optimizers import FINDS_ITS_RATE
from descend.training.problem import Problem
from descend.tuning.advice.halving import successive_halving
from descend.tuning.advice.lr_range import max_stable_rate, rates_below, round_rate
from descend.tuning.advice.speed import Footprint, concurrent_trials, measure_speed
from descend.tuning.advice.trials import Trial, TrialRunner, make_runner

CLASSICAL = ("coordinate-descent", "conjugate-gradient", "simulated-annealing")
BASIC = ("sgd", "momentum")
CUSTOM_RULE = "own"
"""Name of an update rule that the user supplied."""
COARSE_FACTORS = (1.0, 4.0, 16.0, 1 / 4)
"""Rates to try where a range test would cost too much, as multiples of that of a smaller batch, the
most promising first."""
RANGE_TEST_UPDATES = 200
NEARBY_FACTORS = (1 / 2, 2.0)
"""Rates to add between two rungs, as multiples of the best one."""
FEWEST_UPDATES = 3
"""Updates of a trial at least: two, and one of the decay that ends it."""
FULL_TRIALS = 5
"""All trials of a method together cost about as much as this many that run to the end."""
FAMILIES = {"full": "Gradient descent", "stochastic": "SGD"}
RULES = {"sgd": "", "momentum": " + momentum"}


@dataclass(frozen=True)
class Method:
    """A batch size and an update rule, or a classical method.

    Attributes:
        name: short and unique.
        title: for people.
        family: `full`, `stochastic`, `mini` or `classical`.
        optimizer: name of the update rule or of the classical method.
        batch_size: rows per update.
        advised: whether its batch size is the advised one.
    """

    name: str
    title: str
    family: str
    optimizer: str
    batch_size: int
    advised: bool = False


@dataclass(frozen=True)
class Tuned:
    """The tuned learning rate of a method, and the trials it was chosen from.

    Attributes:
        learning_rate: constant.
        trials: (learning rate, updates, score) of each; the score is None if it diverged. None
            where its updates take too long for trials: the rate is that of the smaller batch.
    """

    learning_rate: float
    trials: tuple[tuple[float, int, float | None], ...] = ()


def check_methods(sizes: Sequence[int], added: Sequence[str], rows: int | None = None) -> None:
    """Check batch sizes and names of methods, before the table is read if `rows` is not given.

    Raises:
        SettingsError: an impossible size or an unknown name.
    """
    for size in sizes:
        if size < 1 or (rows is not None and size > rows):
            most = "" if rows is None else f" to the {rows:,} training rows"
            raise SettingsError(
                f"{option_text('sizes')} must be whole numbers from 1{most}; found {size}."
            )
    for name in added:
        if name not in (*OPTIMIZERS, *CLASSICAL):
            raise SettingsError(
                f"{option_text('methods')} must be names from "
                f"{', '.join((*OPTIMIZERS, *CLASSICAL))}; "
                f"found {name!r}."
            )


def methods_for(
    rows: int,
    advised: int,
    sizes: Sequence[int] = (),
    added: Sequence[str] = (),
    *,
    custom_optimizer: bool = False,
) -> list[Method]:
    """Gradient descent, SGD and mini-batch, with and without momentum, and the added methods.

    Args:
        rows: number of training rows.
        advised: the advised batch size.
        sizes: further batch sizes.
        added: update rules, run at the advised size, and classical methods.
        custom_optimizer: whether to add the user's update rule at the advised size.

    Raises:
        SettingsError: an impossible size or an unknown name.
    """
    check_methods(sizes, added, rows)
    found = [
        _method(size, rule, rows, advised)
        for size in sorted({1, advised, rows, *sizes}, reverse=True)
        for rule in BASIC
    ]
    for name in dict.fromkeys(added):
        if name in CLASSICAL:
            title = name.replace("-", " ").capitalize()
            found.append(Method(name, title, "classical", name, rows))
        elif name not in BASIC:
            found.append(_method(advised, name, rows, advised))
    if custom_optimizer:
        found.append(_method(advised, CUSTOM_RULE, rows, advised))
    return found


def _method(size: int, rule: str, rows: int, advised: int) -> Method:
    family = "full" if size == rows else "stochastic" if size == 1 else "mini"
    title = FAMILIES.get(family, f"Mini-batch {size:,}") + RULES.get(rule, f", {rule}")
    return Method(f"{family}-{size}-{rule}", title, family, rule, size, size == advised)


def tune_rates(
    make_problem: Callable[[str], Problem],
    methods: Sequence[Method],
    seconds: float,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Tuned]:
    """Tune the learning rate of each method by successive halving.

    Args:
        make_problem: `optimizer -> problem`, all with the same rows and initial weights.
        methods: to tune; classical ones have no rate and are left out.
        seconds: time for the trials of one method, about.
        report: called with a message when something begins.

    Raises:
        DivergedError: a method diverged at every rate.

    Returns:
        The rates by name of the method.
    """
    found: dict[str, Tuned] = {}
    for rule in dict.fromkeys(one.optimizer for one in methods if one.family != "classical"):
        same_rule = sorted(
            (one for one in methods if one.optimizer == rule and one.family != "classical"),
            key=lambda one: one.batch_size,
        )
        if rule in FINDS_ITS_RATE:
            found.update({one.name: Tuned(1.0) for one in same_rule})
            continue
        runner = make_runner(make_problem(rule))
        previous: float | None = None
        for one in same_rule:
            report(f"Learning rate of {one.title}")
            found[one.name] = tune_rate(runner, one.batch_size, seconds, previous)
            previous = found[one.name].learning_rate
            if not found[one.name].trials:
                report(
                    f"{one.title} takes the learning rate of the smaller batch, {previous:.3g}: "
                    "its updates take too long for trials of its own."
                )
            runner.chunk_caches.pop(one.batch_size, None)
    return found


def tune_rate(
    runner: TrialRunner, batch_size: int, seconds: float, smaller: float | None = None
) -> Tuned:
    """Tune the learning rate at one batch size: the lowest loss after equal seconds.

    Where the seconds are not enough for short trials of all rates, fewer are tried, the rate of
    the smaller batch first; where they are not enough for two trials, that rate is taken. A
    larger batch, whose gradients scatter less, tolerates it.

    Args:
        runner: with the snapshot that all trials start from.
        batch_size: rows per update.
        seconds: time for all trials together, about.
        smaller: the tuned rate of a smaller batch, or None.

    Raises:
        DivergedError: it diverged at every rate.
    """
    problem = runner.problem
    footprint = Footprint(problem, runner.snapshot)
    if problem.working is not None:
        runner.concurrent = concurrent_trials(footprint, [batch_size], problem.working)
    speed = measure_speed(
        problem, runner.snapshot, [batch_size], footprint=footprint, repeats=2, enough=seconds
    )
    cost = speed.seconds_per_update[0]
    affordable = int(seconds / (FEWEST_UPDATES * cost))
    few = smaller is not None and affordable < 2 * len(COARSE_FACTORS)
    if few and affordable < 2:
        assert smaller is not None
        return Tuned(smaller)
    # The range test takes about 200 updates, which may be longer than all trials together.
    if smaller is not None and RANGE_TEST_UPDATES * cost > seconds:
        factors = COARSE_FACTORS[:affordable] if few else COARSE_FACTORS
        rates = [round_rate(smaller * part) for part in factors]
    else:
        highest = max_stable_rate(runner, batch_size)
        if highest is None:
            raise DivergedError(f"No learning rate lowered the loss at batch size {batch_size:,}.")
        rates = rates_below(highest)

    def add_nearby(
        ranked: Sequence[Trial], eliminated: Sequence[Trial], rung: int
    ) -> list[tuple[int, float]]:
        if few or not ranked:
            return []
        return [(batch_size, round_rate(ranked[0].learning_rate * part)) for part in NEARBY_FACTORS]

    trials = [runner.start(batch_size, rate) for rate in rates]
    length = seconds / FULL_TRIALS
    best, rest = successive_halving(
        runner, trials, lambda size: cost, length, finalists=2, refine=add_nearby
    )
    if not best:
        lowest = min(rates) / 16
        best, rest = successive_halving(
            runner,
            [runner.start(batch_size, round_rate(lowest * part)) for part in (1.0, 4.0)],
            lambda size: cost,
            length,
            finalists=2,
        )
    if not best:
        raise DivergedError(f"Every learning rate diverged at batch size {batch_size:,}.")
    tried = tuple(
        (one.learning_rate, one.updates, one.score if math.isfinite(one.score) else None)
        for one in sorted([*best, *rest], key=lambda one: one.learning_rate)
    )
    return Tuned(best[0].learning_rate, tried)
