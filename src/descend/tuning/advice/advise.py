"""Advise a batch size and a learning rate: measure, shortlist, try, select."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from descend.choices import GOALS
from descend.training.loop_state import LoopState
from descend.training.optimizers import FINDS_ITS_RATE
from descend.training.problem import Problem
from descend.tuning.advice import (
    first_trials,
    further_sizes,
    lasting_rate,
    reference,
    search,
    selection,
)
from descend.tuning.advice.critical_batch import MeasuredLaw, UpdatesLaw
from descend.tuning.advice.law_trials import run_law_trials
from descend.tuning.advice.noise_growth import measure_noise
from descend.tuning.advice.trials import Trial
from descend.tuning.advice.work import Report, Work
from descend.types import Advice


def advise(
    problem: Problem,
    *,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    goal: str = "time",
    epochs: int | None = None,
    budget: float | None = None,
    at_least: float = 0.0,
    memory: int | None = None,
    optimizer: str = "momentum",
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Report = lambda text: None,
) -> tuple[Advice, LoopState | None]:
    """Find the batch size and the learning rate of a problem by measuring.

    Args:
        problem: what is to be trained; it is not changed.
        batch_size: rows per update if that is given; then only the rate is searched.
        learning_rate: the rate if that is given; then only the batch size is searched.
        goal: `time` to a good validation loss, `examples` to it, or the `quality` of the loss.
        epochs: epochs of the training if its learning rate is planned to its end: it then makes no
            more updates than they hold. None: training ends when the loss stops falling.
        budget: seconds that the advice may take, about; None: 15 % of the expected training
            time, at most two minutes.
        at_least: minimum budget in seconds if none is given. Where it is too short, other batch
            sizes and the noise are not measured: training would be over before their programs
            are compiled.
        memory: bytes that training may take; None: half of the free memory.
        optimizer: name of the update rule; some need no rate, and gradient noise says little
            about rules that scale every weight.
        clock: seconds, for tests.
        on_progress: called with a message when something begins.

    Returns:
        The advice, and the loop state of the winning trial, from which training can continue; None
        if there was nothing to try. The evidence holds plain records: `speed` (of each batch
        size), `noise` (at fixed numbers of updates of one run, each with the loss there and its
        `cosine` curve), `breaking` (the maximum stable rate of each batch size), `shortlist`,
        `trials` (each with its evaluations, its loss, whether it diverged, and if it ran to the
        end the `ratio` of its cost to the best of the advised size), `law` (B_crit with its
        interval, the exponent of the rate), `curve` (what each size needs to reach the loss
        `target`), `undetermined`, `left_out` (what was not worth measuring), `given`,
        `decided_by`, `goal`, `budget`, and `seconds` (when each stage ended).

    Raises:
        DivergedError: training diverged at every learning rate.
    """
    if goal not in GOALS:
        raise ValueError(f"goal must be one of {', '.join(GOALS)}; found {goal!r}.")
    started = clock()
    if optimizer in FINDS_ITS_RATE and learning_rate is None:
        learning_rate = 1.0
    if batch_size is not None and learning_rate is not None:
        return _advice_as_given(batch_size, learning_rate), None
    work = reference.begin_work(
        problem,
        batch_size=batch_size,
        memory=memory,
        goal=goal,
        epochs=epochs,
        budget=budget,
        at_least=at_least,
        clock=clock,
        started=started,
        report=on_progress,
    )
    given = {"batch size": batch_size, "learning rate": learning_rate}
    work.evidence["given"] = [name for name, value in given.items() if value is not None]
    reference.choose_reference(work, at_least)
    further_sizes.start_compiling(work)
    trials = first_trials.run_reference_trials(work, learning_rate, at_least)
    first_trials.reconsider_budget(work, trials, at_least)
    further_sizes.measure_speeds(work)
    work.record_time("speed")
    measure_noise(work, learning_rate)
    work.record_time("noise")
    chosen = (
        [batch_size] if batch_size is not None else further_sizes.shortlist_sizes(work, optimizer)
    )
    finalists, others = search.search(work, chosen, learning_rate, trials)
    if learning_rate is None:
        finalists, others = search.go_beyond_edge(work, finalists, others)
        finalists, others = lasting_rate.tell_nearest_rates_apart(work, finalists, others)
        finalists, others = lasting_rate.follow_lower_rate(work, finalists, others)
        finalists, others = lasting_rate.confirm(work, finalists, others)
        work.record_time("race")
    ratios = selection.cost_ratios(finalists, work.cost, work.runner.start_loss)
    winner = lasting_rate.select_lasting_finalist(work, finalists, ratios)
    loop = work.runner.loop_state_of(winner, winner.updates * work.cost(winner.batch_size))
    law = _fit_law(work, winner, [*finalists, *others], thorough=at_least > 0.0)
    return _make_advice(work, winner, finalists, ratios, others, law), loop


def _fit_law(work: Work, winner: Trial, trials: Sequence[Trial], thorough: bool) -> MeasuredLaw:
    """The law through the trials of the search, or through trials of its own where it is not known.

    Those are run where there is time, and where both batch size and learning rate were searched.
    """
    found = selection.fit_law_to_trials(trials, work.runner.start_loss)
    enough_time = (thorough or work.budget_given) and not work.short_training
    if found.known or work.evidence["given"] or not enough_time:
        return found
    measured = run_law_trials(work, winner, found.rates)
    work.record_time("law")
    if measured is None or measured.law is None:
        return found
    return measured


def _advice_as_given(batch_size: int, learning_rate: float) -> Advice:
    return Advice(
        batch_size,
        learning_rate,
        (learning_rate, learning_rate),
        (batch_size, batch_size),
        {"decided_by": "given", "given": ["batch size", "learning rate"]},
    )


def _make_advice(
    work: Work,
    winner: Trial,
    finalists: Sequence[Trial],
    ratios: Sequence[float],
    others: Sequence[Trial],
    law: MeasuredLaw,
) -> Advice:
    """The advice with everything that was measured as plain records."""
    everyone = [*finalists, *others]
    fitted = law.law
    ratios, tried = selection.relative_to_winner(winner, finalists, ratios)

    def timing(size: int) -> float:
        """How uncertain timing leaves the cost of a size, over that of the advised one."""
        if work.goal == "examples":
            return 0.0
        return selection.timing_spread(work.speed, size, winner.batch_size)

    if work.noise and work.noise[-1].noise_scale is None:
        work.undetermined.append("noise scale")
    if not law.bounded:
        work.undetermined.append("critical batch size")
    work.evidence.update(
        goal=work.goal,
        reference=work.reference,
        required_gain={
            "larger": selection.GAIN_OF_LARGER,
            "smaller": selection.GAIN_OF_SMALLER,
        },
        rows=len(work.runner.problem.store),
        budget=work.budget,
        start_loss=work.runner.start_loss,
        target=winner.best_loss,
        speed=selection.speed_records(work.speed),
        trials=[
            *(
                selection.trial_record(one, work.speed, ratio, timing(one.batch_size))
                for one, ratio in zip(finalists, ratios, strict=True)
            ),
            *(selection.trial_record(one, work.speed) for one in others),
        ],
        curve=selection.predict_costs(winner, tried, work.speed, fitted, work.cost),
        law=selection.law_record(law),
        undetermined=list(work.undetermined),
        left_out=list(work.left_out),
        expected=work.training,
        decided_by="trial" if len(everyone) > 1 else "given",
    )
    return Advice(
        batch_size=winner.batch_size,
        learning_rate=winner.learning_rate,
        interval=selection.good_rates(winner, finalists, ratios),
        flat_region=selection.flat_region(winner, tried, _costs(work, winner, fitted), timing),
        evidence=work.evidence,
        cost=work.spent(),
    )


def _costs(work: Work, winner: Trial, fitted: UpdatesLaw | None) -> dict[int, float]:
    """Cost to the target at powers of two as the law predicts; empty without a law."""
    if fitted is None or not math.isfinite(fitted.interval[1]):
        return {}
    most = work.speed.batch_sizes[-1]
    sizes = {winner.batch_size, *(1 << power for power in range(most.bit_length()))}
    return {size: fitted.updates(size) * work.cost(size) for size in sizes if size <= most}
