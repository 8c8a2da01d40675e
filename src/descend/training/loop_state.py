"""What a run is at a moment, and what stays fixed while it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax

from descend.data.rows.batches import CHUNK_BYTES, BatchPlan
from descend.data.rows.order import HASHED
from descend.data.rows.store import RowStore
from descend.training.accumulation import AccumulatedUpdate
from descend.training.batch_schedule import BatchSchedule, Growth
from descend.training.chunk_loop import RunChunk
from descend.training.evaluation import Evaluate, EvaluateRows
from descend.training.processes.place import ALONE, Place
from descend.training.schedules import Schedule
from descend.training.several_networks import Beginning, Finished, Networks
from descend.training.state import copy_state
from descend.training.stopping_state import Limits, StoppingState
from descend.types import History, Params, Position, TrainState, counted_from_first

AHEAD_BYTES = CHUNK_BYTES
"""Larger states are not copied for it: the copy takes as long as what it saves."""


class LoopState(NamedTuple):
    """All that a run is at a moment; passed to `fit` again, it continues from there bit for bit.

    Attributes:
        state: what the next update starts from.
        position: where the order of rows stands.
        best: the state with the lowest validation loss; its averaged weights are the result.
        progress: what the stopping rules remember.
        history: a line per evaluation.
        seconds: training time so far.
        loss_sum: sum of the batch losses since the last evaluation.
        loss_count: number of batch losses in that sum.
        order: which order of `data.rows.order` the run uses; it keeps the one it began with.
        growth: the newest growth of the batch; None while it has its first size.
        finished: the networks whose training has ended; all else is of the one in training.
        begun: what those had used when it began.
        complete: whether its training has ended too, and was not cut off; then it is the last.
    """

    state: TrainState
    position: Position
    best: TrainState
    progress: StoppingState = StoppingState()
    history: History = ()
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    order: int = HASHED
    growth: Growth | None = None
    finished: tuple[Finished, ...] = ()
    begun: Beginning = Beginning()
    complete: bool = False

    @property
    def own_position(self) -> Position:
        """The position, in epochs of the network in training."""
        return Position(self.position.epoch - self.begun.epochs, self.position.index)

    @property
    def own_history(self) -> History:
        """The lines of the network in training, their counts its own."""
        lines = self.history[self.begun.lines :]
        return counted_from_first(lines) if self.begun.lines else lines

    @property
    def updates(self) -> int:
        """Updates made so far, those of finished networks too."""
        return self.begun.updates + self.state.update

    @property
    def examples(self) -> int:
        """Rows seen so far, repeats counted, those of finished networks too."""
        return self.begun.examples + self.state.examples


@dataclass(frozen=True)
class LoopConfig:
    """What stays fixed during a run.

    Attributes:
        store: the training rows.
        plan: how they are divided into updates.
        run_chunk: the compiled updates.
        evaluate: `params -> validation loss`.
        learning_rate: peak learning rate.
        schedule: its factor at each update.
        limits: what ends the run.
        accumulated: the compiled update where `plan` spreads a batch over several chunks, else
            None.
        window: longest window of the averaged weights, in updates; None: no averaging.
        place: which of several processes that share the batches this is.
        metrics: `params -> figures by name`, for the history; None measures none.
        batch_schedule: lets the batch grow; None: `plan` holds for the whole run.
        networks: how many are trained one after another; None: one.
    """

    store: RowStore
    plan: BatchPlan
    run_chunk: RunChunk
    evaluate: Evaluate
    learning_rate: float
    schedule: Schedule
    limits: Limits
    accumulated: AccumulatedUpdate | None = None
    window: float | None = None
    place: Place = ALONE
    metrics: Callable[[Params], Mapping[str, float]] | None = None
    batch_schedule: BatchSchedule | None = None
    networks: Networks | None = None

    @property
    def queued_evaluation(self) -> EvaluateRows | None:
        """The evaluation, if the device can make it and go on while the host looks at losses."""
        evaluate = self.evaluate
        if self.plan.resident and isinstance(evaluate, EvaluateRows) and evaluate.queues:
            return evaluate
        return None

    def runs_ahead(self, state: TrainState) -> bool:
        """Whether a CPU may begin the next chunk while the host looks at the newest losses.

        Otherwise it waits for the host between two chunks and during each evaluation: a tenth of
        the time where epochs take some milliseconds. The updates are the same.
        """
        if jax.default_backend() != "cpu" or self.accumulated is not None or self.store.waits:
            return False
        leaves = jax.tree.leaves((state.params, state.opt_state, state.mean))
        return self.place.count == 1 and sum(leaf.nbytes for leaf in leaves) <= AHEAD_BYTES


def begin(state: TrainState) -> LoopState:
    """The loop state before the first update; the given state is copied."""
    return LoopState(copy_state(state), Position(0, 0), copy_state(state))
