"""Short trials from one snapshot: the same weights, the same order of rows, counted costs."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import MemoryStore, RowStore
from descend.training.evaluation import BLOCK_ROWS, Evaluate, make_evaluate
from descend.training.loop import LoopConfig, LoopState, averaging_of
from descend.training.problem import Problem
from descend.training.step import PartwiseUpdate, Sums, copied
from descend.tuning.advice.chunk_cache import ChunkCache
from descend.types import TrainState

Rates = npt.NDArray[np.float32]
Cost = Callable[[int], float]

FEW_LOOKS, MANY_LOOKS = (0.5, 1.0), (0.06, 0.12, 0.25, 0.5, 1.0)
"""When a trial is evaluated, as parts of a leg; many in a first leg where there is time, so that
it is known when small batches, of which it has many updates, came past a loss."""
LOOKS = len(FEW_LOOKS)
JUDGES = BLOCK_ROWS
"""Validation rows that judge trials; a block, whose program training needs too."""
FINALISTS = 3
ROUNDS = 3
"""The least of legs of a race: each is as long as those before it together."""
ABREAST = 2
"""Trials that run at once: small updates leave most of a machine free."""
TOLD, TOLD_PART = 0.005, 0.05
"""How well losses are told apart: part of the gain since the start, and of the loss."""
FAR = 10.0
ALIKE = 1.3
DECAY_PART = 0.25
"""Length of the closing decay, as a part of the updates made before it."""


@dataclass(frozen=True)
class Trial:
    """A short run with one batch size and one learning rate.

    Attributes:
        batch_size: rows per update.
        learning_rate: constant, after the rise that the problem's runs begin with.
        state: where it stands; None once it is out of the race.
        place: the chunk it stands in, from 0, and the updates made of that.
        updates: made so far.
        losses: (updates, validation loss) at each look.
        diverged: whether its loss left the finite numbers, or all reason.
        marks: (updates, judgement), at the end of each leg or at each look.
        reached: least validation loss, after the decays that close the legs where there are such.
        legs: how often it was kept.
    """

    batch_size: int
    learning_rate: float
    state: TrainState | None
    place: tuple[int, int] = (0, 0)
    updates: int = 0
    losses: tuple[tuple[int, float], ...] = ()
    diverged: bool = False
    marks: tuple[tuple[int, float], ...] = ()
    reached: float = math.inf
    legs: int = 0

    @property
    def loss(self) -> float:
        """The newest judgement: what was good and did not last is not good. Infinite without."""
        return math.inf if self.diverged or not self.marks else self.marks[-1][1]


Refine = Callable[[Sequence[Trial], Sequence[Trial], int], list[tuple[int, float]]]


@dataclass
class TrialRunner:
    """What all trials share.

    Attributes:
        problem: what is trained.
        snapshot: where every trial starts; never changed.
        evaluate: `params -> validation loss`, on at most `JUDGES` rows.
        start_loss: of the snapshot.
        chunk_caches: the chunks of each size in use.
        first_looks: when a trial is evaluated in its first leg.
        abreast: trials that run at once; 1 where two would not fit in memory.
    """

    problem: Problem
    snapshot: TrainState
    evaluate: Evaluate
    start_loss: float
    chunk_caches: dict[int, ChunkCache] = field(default_factory=dict)
    first_looks: tuple[float, ...] = FEW_LOOKS
    abreast: int = ABREAST

    def enter(self, batch_size: int, learning_rate: float) -> Trial:
        """A trial at the snapshot."""
        return Trial(batch_size, learning_rate, copied(self.snapshot))

    def chunk_cache(self, batch_size: int) -> ChunkCache:
        """The chunks of a size, from the first row on: all its trials read the same."""
        if batch_size not in self.chunk_caches:
            self.chunk_caches[batch_size] = ChunkCache(
                self.problem.store, self.problem.plan(batch_size)
            )
        return self.chunk_caches[batch_size]

    def advance(self, trial: Trial, rates: Rates) -> tuple[Trial, npt.NDArray[np.float32]]:
        """The trial after one update for each rate, and the losses of their batches.

        It ends early where a loss is not finite.
        """
        assert trial.state is not None
        chunk_cache = self.chunk_cache(trial.batch_size)
        run = self.problem.loop_config(trial.batch_size, trial.learning_rate)
        if run.partwise is not None:
            return self._advance_partwise(trial, rates, run, run.partwise)
        state, (number, offset), seen, done = trial.state, trial.place, [], 0
        while done < len(rates):
            chunk = chunk_cache.chunk(number, offset)
            updates = min(chunk.updates, len(rates) - done)
            padded = np.zeros(run.plan.updates_per_chunk, np.float32)
            padded[:updates] = rates[done : done + updates]
            examples = min(chunk.examples, updates * trial.batch_size)
            marks = averaging_of(run, state.update, updates)
            state, losses = run.run_chunk(state, chunk.batch, padded, updates, examples, marks)
            seen.append(np.asarray(losses)[:updates])
            done += updates
            whole = updates == chunk.updates
            number, offset = (number + 1, 0) if whole else (number, offset + updates)
            if not np.isfinite(seen[-1][-1]):
                break
        trial = dataclasses.replace(
            trial, state=state, place=(number, offset), updates=trial.updates + done
        )
        return trial, np.concatenate(seen)

    def _advance_partwise(
        self, trial: Trial, rates: Rates, run: LoopConfig, update: PartwiseUpdate
    ) -> tuple[Trial, npt.NDArray[np.float32]]:
        """The same where a batch comes in parts."""
        assert trial.state is not None
        chunk_cache = self.chunk_cache(trial.batch_size)
        state, number = trial.state, trial.place[0]
        seen: list[npt.NDArray[np.float32]] = []
        sums: Sums | None = None
        examples = 0
        while len(seen) < len(rates):
            chunk = chunk_cache.chunk(number)
            sums = update.add(sums, state, chunk.batch)
            examples += chunk.examples
            number += 1
            if chunk.updates:
                rate = rates[len(seen) : len(seen) + 1]
                share = float(averaging_of(run, state.update, 1).shares[0])
                state, losses = update.finish(state, sums, rate, examples, share)
                seen.append(np.asarray(losses))
                sums, examples = None, 0
                if not np.isfinite(seen[-1][-1]):
                    break
        trial = dataclasses.replace(
            trial, state=state, place=(number, 0), updates=trial.updates + len(seen)
        )
        return trial, np.concatenate(seen)

    def leg(self, trial: Trial, until: int) -> Trial:
        """The trial after `until` updates in all, looked at on the way and judged decayed."""
        before = trial.updates
        loop = self.problem.loop_config(trial.batch_size, trial.learning_rate).schedule
        for part in FEW_LOOKS if before else self.first_looks:
            stop = before + round((until - before) * part)
            if stop <= trial.updates:
                continue
            rates = trial.learning_rate * loop(np.arange(trial.updates, stop))
            trial, losses = self.advance(trial, rates.astype(np.float32))
            assert trial.state is not None
            loss = self.evaluate(trial.state.mean)
            if not np.isfinite(losses).all() or self.hopeless(loss):
                return dataclasses.replace(trial, state=None, diverged=True)
            trial = dataclasses.replace(trial, losses=(*trial.losses, (trial.updates, loss)))
        trial = dataclasses.replace(trial, legs=trial.legs + 1)
        return self._judged(trial)

    def _judged(self, trial: Trial) -> Trial:
        """The trial with a judgement: the loss of the mean of its weights.

        Where no mean is taken: half its loss, half what a short decay of its rate brings. At a
        constant rate a large one looks worse than it is: its noise floor goes away when the rate
        is lowered. But training lowers it only when the loss stands still, and until then a loss
        that jumps about costs time. So both count.
        """
        assert trial.state is not None
        if self.problem.averaging:
            reached = min(loss for _, loss in trial.losses)
            return dataclasses.replace(trial, marks=trial.losses, reached=reached)
        updates = max(1, round(DECAY_PART * trial.updates))
        loop = 0.5 * (1.0 + np.cos(np.pi * (np.arange(updates) + 0.5) / updates))
        branch = dataclasses.replace(trial, state=copied(trial.state))
        branch, _ = self.advance(branch, (trial.learning_rate * loop).astype(np.float32))
        assert branch.state is not None
        decayed = self.evaluate(branch.state.mean)
        last = [loss for _, loss in trial.losses[-LOOKS:]]
        judged = 0.5 * decayed + 0.5 * sum(last) / len(last)
        if not math.isfinite(judged):
            return dataclasses.replace(trial, state=None, diverged=True)
        return dataclasses.replace(
            trial,
            marks=(*trial.marks, (branch.updates, judged)),
            reached=min(trial.reached, decayed),
        )

    def verified(self, trial: Trial, updates: int) -> Trial:
        """The trial some updates further, to see that its rate lasts; nothing of it is wasted."""
        return self.leg(trial, trial.updates + updates) if updates > 0 else trial

    def hopeless(self, loss: float) -> bool:
        """Whether a validation loss is far above that of the snapshot; less may yet come back."""
        return not math.isfinite(loss) or loss > self.start_loss + FAR * (1 + abs(self.start_loss))

    def loop_state_of(self, trial: Trial, seconds: float) -> LoopState:
        """A course that training goes on from; it is evaluated anew on all validation rows."""
        assert trial.state is not None
        return LoopState(
            state=copied(trial.state),
            position=self.chunk_cache(trial.batch_size).position(trial.place),
            best=copied(trial.state),
            seconds=seconds,
        )


def make_runner(problem: Problem, rows: int = JUDGES) -> TrialRunner:
    """The arena of a problem, its snapshot the initial weights.

    Args:
        problem: what is trained.
        rows: validation rows that judge trials, drawn at random where there are more.
    """
    snapshot = problem.begin().state
    evaluate = problem.evaluate
    if len(problem.validation) > rows:
        evaluate = make_evaluate(
            problem.apply, problem.per_example, some_rows(problem.validation, rows, problem.seed)
        )
    return TrialRunner(problem, snapshot, evaluate, evaluate(snapshot.params))


def some_rows(store: RowStore, rows: int, seed: int) -> MemoryStore:
    """Random rows of a store, in memory."""
    chosen = np.random.default_rng((seed, 7)).choice(len(store), min(rows, len(store)), False)
    return MemoryStore.from_batches([store.gather(np.sort(chosen).astype(np.int64))])


def run_legs(
    runner: TrialRunner,
    trials: Sequence[Trial],
    cost: Cost,
    length: float,
    *,
    finalists: int = FINALISTS,
    refine: Refine = lambda ranked, tried, number: [],
    late: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[Trial], list[Trial]]:
    """Successive halving at equal cost: all run a leg, the better half runs twice as far.

    Args:
        runner: what the trials share.
        trials: at the snapshot, or a little further.
        cost: `batch_size -> cost of an update`.
        length: cost of a trial that runs to the end.
        finalists: how many run to the end, and the best sizes and a lower rate besides: after a
            short race the winner alone changes by chance.
        refine: settings to enter between two legs, from the ranking and what was tried.
        late: whether the race has to end with this leg.
        say: told what happens.

    Returns:
        The finalists, best first, and all others as they stood when they left the race.
    """
    running, out = list(trials), []
    tried = {(one.batch_size, one.learning_rate) for one in running}
    rounds = rounds_of(len(running), finalists)
    for number in range(rounds):
        reached = length / 2 ** (rounds - 1 - number)
        running = run_abreast(runner, running, cost, reached)
        out += [one for one in running if one.diverged]
        running = sorted((one for one in running if not one.diverged), key=lambda one: one.loss)
        if number == rounds - 1 or late():
            break
        kept = _kept(running, finalists)
        out += [dataclasses.replace(one, state=None) for one in running if one not in kept]
        running, new = kept, []
        for pair in refine(running, out, number):
            if not any(_alike(pair, other) for other in tried):
                new.append(pair)
                tried.add(pair)
        running += [runner.enter(*pair) for pair in new]
        say(f"Round {number + 2}: {len(running)} settings")
    back = _left_too_early(running, out)
    if back:
        again = [runner.enter(one.batch_size, one.learning_rate) for one in back]
        running += [one for one in run_abreast(runner, again, cost, reached) if not one.diverged]
        running.sort(key=lambda one: one.loss)
        out = [one for one in out if one not in back]
    return running, out


def rounds_of(entrants: int, finalists: int = FINALISTS) -> int:
    """Legs of a race.

    >>> rounds_of(4), rounds_of(24)
    (3, 4)
    """
    return max(ROUNDS, math.ceil(math.log2(max(1.0, entrants / finalists))) + 1)


def run_abreast(
    runner: TrialRunner, trials: Sequence[Trial], cost: Cost, reached: float
) -> list[Trial]:
    """The trials after legs to a cost in all, two of them at a time; none that is there is run.

    What a trial finds does not depend on who runs beside it.
    """

    def run(one: Trial) -> Trial:
        until = max(LOOKS, round(reached / cost(one.batch_size)))
        return one if one.marks and one.updates >= until else runner.leg(one, until)

    for one in trials:
        runner.chunk_cache(one.batch_size)
    with ThreadPoolExecutor(runner.abreast) as pool:
        return list(pool.map(run, trials))


def cost_ratios(finalists: Sequence[Trial], cost: Cost, start: float) -> list[float]:
    """How much longer than the best each takes to the losses that it came past.

    Where a trial stands at a loss after a cost C, and the one with the least loss in the end first
    stood there after c, it takes C/c times as long; what counts is the geometric mean over its
    looks since half of its way, and the best of these is 1. Losses are told to half a percent
    of the way from the start, or 5 % of the loss where that is less: on a plateau, smaller
    differences would stand for long times.

    Args:
        finalists: who ran to the end.
        cost: `batch_size -> cost of an update`.
        start: loss of the snapshot.
    """
    leader = min(finalists, key=lambda one: one.loss)
    lowest = itertools.accumulate((loss for _, loss in leader.marks), min)
    spent_by = [updates * cost(leader.batch_size) for updates, _ in leader.marks]
    curve = [(0.0, start), *zip(spent_by, lowest, strict=True)]
    told = TOLD * max(0.0, start - leader.loss)
    ratios = []
    for one in finalists:
        each = cost(one.batch_size)
        half = 0.5 * one.marks[-1][0]
        logs = [
            math.log(updates * each / _spent_until(curve, loss + min(told, TOLD_PART * abs(loss))))
            for updates, loss in one.marks
            if updates >= half
        ]
        ratios.append(math.exp(sum(logs) / len(logs)))
    least = min(ratios)
    return [one / least for one in ratios]


def _spent_until(curve: Sequence[tuple[float, float]], level: float) -> float:
    """Where a falling curve first comes down to a level, on straight lines between its points.

    It is a thousandth of the curve at the least; below all its points, where the last is.
    """
    before, high = curve[0]
    for spent, loss in curve[1:]:
        if loss <= level:
            part = (high - level) / max(high - loss, 1e-300)
            return max(before + (spent - before) * min(1.0, max(0.0, part)), 1e-3 * curve[-1][0])
        before, high = spent, loss
    return curve[-1][0]


def _left_too_early(running: Sequence[Trial], out: Sequence[Trial]) -> list[Trial]:
    """Of those that left the race, the best two that stood lower then than any stands at the end.

    So it is where all that were ahead were too fast to last.
    """
    least = min((one.loss for one in running), default=math.inf)
    return sorted((one for one in out if one.loss < least), key=lambda one: one.loss)[:2]


def _kept(ranked: Sequence[Trial], finalists: int) -> list[Trial]:
    """The better half, of each of three sizes the best and the next lower rate.

    Early losses favour small batches, and rates that are too high to last.
    """
    kept = list(ranked[: max(finalists, -(-len(ranked) // 2))])
    for size in list(dict.fromkeys(one.batch_size for one in ranked))[:3]:
        own = [one for one in ranked if one.batch_size == size]
        lower = [one for one in own if one.learning_rate < own[0].learning_rate]
        safer = sorted(lower, key=lambda one: one.learning_rate)[-1:]
        kept += [one for one in (own[0], *safer) if one not in kept]
    return kept


def _alike(one: tuple[int, float], other: tuple[int, float]) -> bool:
    """Whether two settings are too near for a trial to tell them apart."""
    return one[0] == other[0] and 1 / ALIKE < one[1] / other[1] < ALIKE
