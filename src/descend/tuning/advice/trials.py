"""Short trials from one snapshot: the same initial weights, the same order of rows."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import MemoryStore, RowStore
from descend.training.chunk_loop import Rates
from descend.training.evaluation import BLOCK_ROWS, Evaluate
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.training.state import copy_state
from descend.training.updates import ChunkUpdater
from descend.tuning.advice.chunk_cache import ChunkCache
from descend.types import TrainState

FEW_EVALUATIONS = (0.5, 1.0)
"""When a trial is evaluated, as fractions of a rung."""
AT_THE_END = (1.0,)
"""The same in a rung of which only the loss at its end counts."""
MANY_EVALUATIONS = (0.06, 0.12, 0.25, 0.5, 1.0)
"""The same in the first rung, where there is time: small batches make many updates in it, and more
evaluations show when their loss passed a level."""
VALIDATION_ROWS = BLOCK_ROWS
"""Most validation rows a trial is evaluated on: one block, whose program training needs too."""
CONCURRENT_TRIALS = 2
"""Trials that run at once; small updates leave most of a machine idle."""
DIVERGED_ABOVE = 10.0
"""A trial has diverged when its loss exceeds that of the snapshot by this multiple of
(1 + |loss of the snapshot|)."""
DECAY_FRACTION = 0.25
"""Length of the decay that ends a rung of a run without averaging, as a fraction of its updates."""


@dataclass(frozen=True)
class Trial:
    """A short run with one batch size and one learning rate.

    Attributes:
        batch_size: rows per update.
        learning_rate: constant, after the warm-up that runs of the problem begin with.
        state: its weights and optimizer state; None once the trial was eliminated.
        cursor: (chunk number from 0, updates made in that chunk).
        updates: number of updates made.
        losses: (updates, validation loss) of each evaluation.
        diverged: whether its loss became NaN, infinite or far too large.
        scores: (updates, score), after each rung or at each evaluation; lower is better.
        best_loss: lowest validation loss, decays at the end of rungs included.
        rungs: number of rungs completed.
    """

    batch_size: int
    learning_rate: float
    state: TrainState | None
    cursor: tuple[int, int] = (0, 0)
    updates: int = 0
    losses: tuple[tuple[int, float], ...] = ()
    diverged: bool = False
    scores: tuple[tuple[int, float], ...] = ()
    best_loss: float = math.inf
    rungs: int = 0

    @property
    def score(self) -> float:
        """The newest score, since an earlier, better one did not last. Infinite without any."""
        return math.inf if self.diverged or not self.scores else self.scores[-1][1]


@dataclass
class TrialRunner:
    """What all trials of a problem share.

    Attributes:
        problem: what is trained.
        snapshot: where every trial starts; never changed.
        evaluate: `params -> validation loss`, on at most `VALIDATION_ROWS` rows.
        start_loss: validation loss of the snapshot.
        chunk_caches: the chunks of each batch size in use.
        first_evaluations: when a trial is evaluated in its first rung, as fractions of it.
        concurrent: number of trials that run at once; 1 where two would not fit in memory.
    """

    problem: Problem
    snapshot: TrainState
    evaluate: Evaluate
    start_loss: float
    chunk_caches: dict[int, ChunkCache] = field(default_factory=dict)
    first_evaluations: tuple[float, ...] = FEW_EVALUATIONS
    concurrent: int = CONCURRENT_TRIALS

    def start(self, batch_size: int, learning_rate: float) -> Trial:
        """A new trial at the snapshot."""
        return Trial(batch_size, learning_rate, copy_state(self.snapshot))

    def chunk_cache(self, batch_size: int) -> ChunkCache:
        """The chunks of a batch size from the first row on: all its trials read the same."""
        if batch_size not in self.chunk_caches:
            self.chunk_caches[batch_size] = ChunkCache(
                self.problem.store, self.problem.plan(batch_size)
            )
        return self.chunk_caches[batch_size]

    def advance(self, trial: Trial, rates: Rates) -> tuple[Trial, npt.NDArray[np.float32]]:
        """Make one update for each learning rate; stops early at a loss that is not finite.

        Returns:
            The trial, and the batch losses of its updates.
        """
        assert trial.state is not None
        cache = self.chunk_cache(trial.batch_size)
        updater = ChunkUpdater(self.problem.loop_config(trial.batch_size, trial.learning_rate))
        state, (number, offset) = trial.state, trial.cursor
        batch_losses: list[npt.NDArray[np.float32]] = []
        done = 0
        while done < len(rates):
            chunk = cache.chunk(number, offset)
            state, losses = updater.apply(state, chunk, rates[done:])
            updates = min(chunk.updates, len(rates) - done)
            done += updates
            number, offset = (
                (number + 1, 0) if updates == chunk.updates else (number, offset + updates)
            )
            if losses is None:
                continue
            batch_losses.append(np.asarray(losses)[:updates])
            if not np.isfinite(batch_losses[-1][-1]):
                break
        trial = dataclasses.replace(
            trial, state=state, cursor=(number, offset), updates=trial.updates + done
        )
        return trial, np.concatenate(batch_losses)

    def run_rung(
        self, trial: Trial, until: int, evaluations: tuple[float, ...] | None = None
    ) -> Trial:
        """Run a trial to `until` updates in all, evaluate it on the way, and score it.

        Args:
            trial: at the snapshot, or further.
            until: its updates in the end.
            evaluations: when it is evaluated, as fractions of the way there; None: several times.
        """
        before = trial.updates
        usual = FEW_EVALUATIONS if before else self.first_evaluations
        schedule = self.problem.loop_config(trial.batch_size, trial.learning_rate).schedule
        for fraction in evaluations or usual:
            stop = before + round((until - before) * fraction)
            if stop <= trial.updates:
                continue
            rates = trial.learning_rate * schedule(np.arange(trial.updates, stop))
            trial, batch_losses = self.advance(trial, rates.astype(np.float32))
            assert trial.state is not None
            loss = self.evaluate(trial.state.mean)
            if not np.isfinite(batch_losses).all() or self.has_diverged(loss):
                return dataclasses.replace(trial, state=None, diverged=True)
            trial = dataclasses.replace(trial, losses=(*trial.losses, (trial.updates, loss)))
        return self._score(dataclasses.replace(trial, rungs=trial.rungs + 1))

    def _score(self, trial: Trial) -> Trial:
        """The trial with its score: the validation loss of its averaged weights.

        Without averaging, the score is the mean of the newest losses and of the loss after a
        short decay of the learning rate. At a constant rate a large rate looks worse than it is,
        because its noise floor disappears when the rate is lowered; but training lowers it only
        on a plateau, and until then the noise costs time. So both count.
        """
        assert trial.state is not None
        if self.problem.averaging:
            best = min(loss for _, loss in trial.losses)
            return dataclasses.replace(trial, scores=trial.losses, best_loss=best)
        updates = max(1, round(DECAY_FRACTION * trial.updates))
        decay = 0.5 * (1.0 + np.cos(np.pi * (np.arange(updates) + 0.5) / updates))
        branch = dataclasses.replace(trial, state=copy_state(trial.state))
        branch, _ = self.advance(branch, (trial.learning_rate * decay).astype(np.float32))
        assert branch.state is not None
        decayed = self.evaluate(branch.state.mean)
        newest = [loss for _, loss in trial.losses[-len(FEW_EVALUATIONS) :]]
        score = 0.5 * decayed + 0.5 * sum(newest) / len(newest)
        if not math.isfinite(score):
            return dataclasses.replace(trial, state=None, diverged=True)
        return dataclasses.replace(
            trial,
            scores=(*trial.scores, (branch.updates, score)),
            best_loss=min(trial.best_loss, decayed),
        )

    def has_diverged(self, loss: float) -> bool:
        """Whether a validation loss is far above that of the snapshot, or not finite."""
        most = self.start_loss + DIVERGED_ABOVE * (1 + abs(self.start_loss))
        return not math.isfinite(loss) or loss > most

    def loop_state_of(self, trial: Trial, seconds: float) -> LoopState:
        """A loop state that training continues from; it is evaluated on all validation rows."""
        assert trial.state is not None
        return LoopState(
            state=copy_state(trial.state),
            position=self.chunk_cache(trial.batch_size).position(trial.cursor),
            best=copy_state(trial.state),
            seconds=seconds,
        )


def make_runner(problem: Problem) -> TrialRunner:
    """A runner whose snapshot is the initial weights of the problem.

    Trials are evaluated on `VALIDATION_ROWS` rows, drawn at random where there are more.
    """
    snapshot = problem.begin().state
    evaluate = problem.evaluate
    if len(problem.validation) > VALIDATION_ROWS:
        sampled = sample_rows(problem.validation, VALIDATION_ROWS, problem.seed)
        evaluate = problem.evaluation_of(sampled)
    return TrialRunner(problem, snapshot, evaluate, evaluate(snapshot.params))


def sample_rows(store: RowStore, rows: int, seed: int) -> MemoryStore:
    """Random rows of a store, in memory."""
    chosen = np.random.default_rng((seed, 7)).choice(len(store), min(rows, len(store)), False)
    return MemoryStore.from_batches([store.gather(np.sort(chosen).astype(np.int64))])
