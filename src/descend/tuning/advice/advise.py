"""Which batch size and learning rate: measured, shortlisted, raced, and told with the evidence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from descend.settings import GOALS
from descend.training.loop import LoopState
from descend.training.optimizers import FINDS_ITS_RATE
from descend.training.problem import Problem
from descend.tuning.advice import halving, selection, stages
from descend.tuning.advice.critical_batch import UpdatesLaw
from descend.tuning.advice.stages import Say, Work
from descend.tuning.advice.trials import Trial, cost_ratios
from descend.types import Advice


def advise(
    problem: Problem,
    *,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    goal: str = "time",
    budget: float | None = None,
    at_least: float = 0.0,
    memory: int | None = None,
    optimizer: str = "momentum",
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Say = lambda text: None,
) -> tuple[Advice, LoopState | None]:
    """Find the batch size and the learning rate of a problem by measuring.

    Args:
        problem: what is to be trained; nothing in it is changed.
        batch_size: rows per update where that is settled; then only the rate is sought.
        learning_rate: the rate where that is settled; then only the size is sought.
        goal: `time` to a good validation loss, `examples` to it, or the `quality` of the loss.
        budget: seconds that the advice may take, about; None takes 15 % of the expected training
            time, and at most two minutes.
        at_least: seconds that None takes at the least. What they do not suffice for is left out:
            other sizes than one, and the noise, where training is over sooner than their programs
            are compiled.
        memory: bytes that training may hold; None takes half of what is free.
        optimizer: name of the update rule: some find their own rate, and noise alone says little
            about rules that scale every weight.
        clock: seconds, for tests.
        on_progress: told what is being done.

    Returns:
        The advice, and the course of the winning trial for training to go on from; None where
        there was nothing to try. The evidence holds plain records: `speed` (a line for each
        size), `noise` (at the snapshot, after a first trial, after the winner; each with its
        `cosine` curve), `breaking` (the rate at which each size broke down), `shortlist`,
        `trials` (each with its looks, its loss, whether it diverged, and where it ran to the end
        the `ratio` of its cost to the best of the advised size), `law` (B_crit with its interval,
        the exponent of the rate), `curve` (what each size needs to the loss `target`),
        `undetermined`, `left_out` (what was not worth measuring), `given`, `decided_by`, `goal`,
        `budget`, and `seconds` (when each stage ended).

    Raises:
        DivergedError: no rate was low enough.
    """
    if goal not in GOALS:
        raise ValueError(f"goal must be one of {', '.join(GOALS)}; found {goal!r}.")
    started = clock()
    if optimizer in FINDS_ITS_RATE and learning_rate is None:
        learning_rate = 1.0
    if batch_size is not None and learning_rate is not None:
        return _nothing_to_find(batch_size, learning_rate), None
    work = stages.begun(
        problem,
        batch_size=batch_size,
        memory=memory,
        goal=goal,
        budget=budget,
        at_least=at_least,
        clock=clock,
        started=started,
        say=on_progress,
    )
    given = {"batch size": batch_size, "learning rate": learning_rate}
    work.evidence["given"] = [name for name, value in given.items() if value is not None]
    stages.compile_others(work)
    trials = stages.reference_trials(work, learning_rate)
    stages.measure_speeds(work)
    work.note("speed")
    noise = stages.NoiseLog(work)
    noise.measure(0, work.runner.snapshot.params)
    alive = [one for one in trials if one.state is not None]
    if alive:
        best = min(alive, key=lambda one: one.loss)
        assert best.state is not None
        noise.measure(best.updates, best.state.params)
    work.note("noise")
    chosen = [batch_size] if batch_size is not None else stages.shortlisted(work, optimizer)
    finalists, others = halving.raced(work, chosen, learning_rate, trials)
    ratios = cost_ratios(finalists, work.cost, work.runner.start_loss)
    winner = halving.lasting_winner(work, finalists, ratios)
    assert winner.state is not None
    noise.measure(winner.updates, winner.state.params)
    loop = work.runner.loop_state_of(winner, winner.updates * work.cost(winner.batch_size))
    return _told(work, winner, finalists, ratios, others), loop


def _nothing_to_find(batch_size: int, learning_rate: float) -> Advice:
    return Advice(
        batch_size,
        learning_rate,
        (learning_rate, learning_rate),
        (batch_size, batch_size),
        {"decided_by": "given", "given": ["batch size", "learning rate"]},
    )


def _told(
    work: Work,
    winner: Trial,
    finalists: Sequence[Trial],
    ratios: Sequence[float],
    others: Sequence[Trial],
) -> Advice:
    """The advice with everything that was measured as plain records."""
    everyone = [*finalists, *others]
    fitted, level = selection.fitted_law(everyone, work.runner.start_loss)
    ratios, tried = selection.to_winner(winner, finalists, ratios)
    if work.noise and work.noise[-1].noise_scale is None:
        work.undetermined.append("noise scale")
    if fitted is None or not math.isfinite(fitted.interval[1]):
        work.undetermined.append("critical batch size")
    work.evidence.update(
        goal=work.goal,
        rows=len(work.runner.problem.store),
        budget=work.budget,
        start_loss=work.runner.start_loss,
        target=winner.reached,
        speed=selection.speed_records(work.speed),
        trials=[
            *(
                selection.trial_record(one, work.speed, ratio)
                for one, ratio in zip(finalists, ratios, strict=True)
            ),
            *(selection.trial_record(one, work.speed) for one in others),
        ],
        curve=selection.predicted(winner, tried, work.speed, fitted, work.cost),
        law=selection.law_record(fitted, level, everyone),
        undetermined=list(work.undetermined),
        left_out=list(work.left_out),
        expected=work.expected,
        decided_by="trial" if len(everyone) > 1 else "given",
    )
    return Advice(
        batch_size=winner.batch_size,
        learning_rate=winner.learning_rate,
        interval=selection.good_rates(winner, finalists, ratios),
        flat_region=selection.flat_region(winner, tried, _costs(work, winner, fitted)),
        evidence=work.evidence,
        cost=work.spent(),
    )


def _costs(work: Work, winner: Trial, fitted: UpdatesLaw | None) -> dict[int, float]:
    """Cost to the target at powers of two as the law predicts; nothing where it says nothing."""
    if fitted is None or not math.isfinite(fitted.interval[1]):
        return {}
    most = work.speed.batch_sizes[-1]
    sizes = {winner.batch_size, *(1 << power for power in range(most.bit_length()))}
    return {size: fitted.updates(size) * work.cost(size) for size in sizes if size <= most}
