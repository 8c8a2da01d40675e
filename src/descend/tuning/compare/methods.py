"""The methods that are compared, and the learning rate that suits each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from descend.errors import DivergedError, SettingsError
from descend.settings import OPTIMIZERS
from descend.training.optimizers import FINDS_ITS_RATE
from descend.training.problem import Problem
from descend.tuning.advice.lr_range import breaking_rate, plain, rates_below
from descend.tuning.advice.speed import measure_speed
from descend.tuning.advice.trials import Trial, TrialRunner, make_runner, run_legs

CLASSICAL = ("coordinate-descent", "conjugate-gradient", "simulated-annealing")
BASIC = ("sgd", "momentum")
CUSTOM_RULE = "own"
"""Stands for an update rule that the user brought."""
STEPS = (1 / 4, 1.0, 4.0, 16.0)
"""Where a rising rate would cost too much: rates to try, as parts of that of a smaller batch."""
NEIGHBOURS = (1 / 2, 2.0)
TRIALS = 5
"""All trials of a method together cost about as much as so many that run to the end."""
FAMILIES = {"full": "Gradient descent", "stochastic": "SGD"}
RULES = {"sgd": "", "momentum": " + momentum"}


@dataclass(frozen=True)
class Method:
    """One way to go down.

    Attributes:
        name: short, no two alike.
        title: as people read it.
        family: `full`, `stochastic`, `mini` or `classical`.
        optimizer: the update rule; of the classical ones, their name.
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
    """The learning rate of a method, and the trials that chose it.

    Attributes:
        learning_rate: constant.
        trials: (learning rate, updates, least validation loss) of each; None where it diverged.
    """

    learning_rate: float
    trials: tuple[tuple[float, int, float | None], ...] = ()


def check_asked(sizes: Sequence[int], added: Sequence[str], rows: int | None = None) -> None:
    """Refuse sizes and methods that cannot be; before the table is read, as far as that goes.

    Raises:
        SettingsError: a size or a name that cannot be.
    """
    for size in sizes:
        if size < 1 or (rows is not None and size > rows):
            most = "" if rows is None else f" to the {rows:,} training rows"
            raise SettingsError(f"--sizes must be whole numbers from 1{most}; found {size}.")
    for name in added:
        if name not in (*OPTIMIZERS, *CLASSICAL):
            raise SettingsError(
                f"--methods must be names out of {', '.join((*OPTIMIZERS, *CLASSICAL))}; "
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
    """Gradient descent, stochastic and mini-batch, plain and with momentum, and what is added.

    Args:
        rows: of the training table.
        advised: batch size that measuring recommends.
        sizes: further batch sizes.
        added: update rules, run at the advised size, and classical methods.
        custom_optimizer: whether the user's own update rule is run at the advised size too.

    Raises:
        SettingsError: a size or a name that cannot be.
    """
    check_asked(sizes, added, rows)
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


def tuned_rates(
    make_problem: Callable[[str], Problem],
    methods: Sequence[Method],
    seconds: float,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Tuned]:
    """The learning rate of each method by name, from short runs and successive halving.

    Args:
        make_problem: `optimizer -> problem`, all with the same rows and initial weights.
        methods: those of the project; the classical ones have no rate and are left out.
        seconds: for the trials of one method, about.
        say: told what is being done.

    Raises:
        DivergedError: no rate was low enough for a method.
    """
    found: dict[str, Tuned] = {}
    for rule in dict.fromkeys(one.optimizer for one in methods if one.family != "classical"):
        own = sorted(
            (one for one in methods if one.optimizer == rule and one.family != "classical"),
            key=lambda one: one.batch_size,
        )
        if rule in FINDS_ITS_RATE:
            found.update({one.name: Tuned(1.0) for one in own})
            continue
        runner = make_runner(make_problem(rule))
        before: float | None = None
        for one in own:
            say(f"Learning rate of {one.title}")
            found[one.name] = tuned_rate(runner, one.batch_size, seconds, before)
            before = found[one.name].learning_rate
            runner.chunk_caches.pop(one.batch_size, None)
    return found


def tuned_rate(
    runner: TrialRunner, batch_size: int, seconds: float, smaller: float | None = None
) -> Tuned:
    """The rate with the least loss after the same seconds; others next to it are tried too.

    Args:
        runner: with the snapshot that all trials start from.
        batch_size: rows per update.
        seconds: of all trials together, about.
        smaller: the rate that suited a smaller batch, where there is one.
    """
    speed = measure_speed(runner.problem, runner.snapshot, [batch_size], repeats=2)
    cost = speed.seconds_per_update[0]
    # A rising rate takes some 200 updates: not where they would take longer than the trials.
    if smaller is not None and 200 * cost > seconds:
        rates = [plain(smaller * part) for part in STEPS]
    else:
        breaking = breaking_rate(runner, batch_size)
        if breaking is None:
            raise DivergedError(f"No learning rate gained anything at batch size {batch_size:,}.")
        rates = rates_below(breaking)

    def nearby(
        ranked: Sequence[Trial], out: Sequence[Trial], number: int
    ) -> list[tuple[int, float]]:
        if not ranked:
            return []
        return [(batch_size, plain(ranked[0].learning_rate * part)) for part in NEIGHBOURS]

    trials = [runner.enter(batch_size, rate) for rate in rates]
    length = seconds / TRIALS
    best, rest = run_legs(runner, trials, lambda size: cost, length, finalists=2, refine=nearby)
    if not best:
        lowest = min(rates) / 16
        best, rest = run_legs(
            runner,
            [runner.enter(batch_size, plain(lowest * part)) for part in (1.0, 4.0)],
            lambda size: cost,
            length,
            finalists=2,
        )
    if not best:
        raise DivergedError(f"Every learning rate diverged at batch size {batch_size:,}.")
    tried = tuple(
        (one.learning_rate, one.updates, one.loss if math.isfinite(one.loss) else None)
        for one in sorted([*best, *rest], key=lambda one: one.learning_rate)
    )
    return Tuned(best[0].learning_rate, tried)
