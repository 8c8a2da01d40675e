"""Several networks, trained one after another, that predict their mean.

Each begins at random weights of its own and meets the rows in an order of its own, so their errors
differ, and the mean of their predictions is better than nearly all of them (deep ensembles,
Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4). The members of one tabular network
share its layers and its batches, and so more of their errors.

All networks learn from the same rows and are judged on the same validation rows. Their weights
have the same form, and are kept as one tree: each leaf `[n, ...]`, but for the fixed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from descend.training.network.tabular import FIXED, count_networks
from descend.training.processes.slices import local
from descend.training.state import copy_state
from descend.training.stopping_state import Limits, StoppingState
from descend.types import Params, Position, StopReason, TrainState

if TYPE_CHECKING:
    from descend.training.loop_state import LoopState

ENDS_ONE = (StopReason.DECAYED, StopReason.EPOCHS, StopReason.NO_IMPROVEMENT)
"""Reasons for which one network ends, and the next begins."""

WORST = 2.0
"""From this multiple of the lowest loss on, a network is no part of the mean. Where errors are
independent, the mean of n networks gains by one more whose squared error is below 2 + 1/n times
theirs; where they are not, by less."""


class Finished(NamedTuple):
    """A network whose training has ended.

    Attributes:
        weights: its best, averaged over recent updates, as NumPy arrays.
        loss: their validation loss.
    """

    weights: Params
    loss: float


class Beginning(NamedTuple):
    """What the networks before had used when the one in training began.

    Attributes:
        updates: made.
        examples: rows seen, repeats counted.
        epochs: begun; the order of rows follows their number, so it is another one now.
        lines: of the history.
    """

    updates: int = 0
    examples: int = 0
    epochs: int = 0
    lines: int = 0


class Networks(NamedTuple):
    """How many networks a run trains.

    Attributes:
        number: one or more.
        first_state: `number -> state` before the first update of a network, counted from 0.
        keep_last: whether the last weights of each are kept, whatever their validation loss.
    """

    number: int
    first_state: Callable[[int], TrainState]
    keep_last: bool = False


def next_beginning(
    networks: Networks | None, loop: LoopState, limits: Limits, reason: StopReason
) -> Beginning | StopReason:
    """Where the next network begins, or why the run ends.

    No network is begun that the time budget would cut off: one that had too little time is worse
    than those before, and would be left out.

    Args:
        networks: of the run; None: one.
        loop: at the end of a network.
        limits: of the run.
        reason: why that network ended.
    """
    if networks is None or reason not in ENDS_ONE or len(loop.finished) + 1 >= networks.number:
        return reason
    taken = loop.seconds / (len(loop.finished) + 1)
    if limits.seconds is not None and loop.seconds + taken > limits.seconds:
        return StopReason.TIME_BUDGET
    position = loop.position
    return Beginning(
        updates=loop.begun.updates + loop.state.update,
        examples=loop.begun.examples + loop.state.examples,
        epochs=position.epoch + (position.index > 0),
        lines=len(loop.history),
    )


def go_to_next(networks: Networks, loop: LoopState, begun: Beginning) -> LoopState:
    """The loop state before the first update of the next network.

    Args:
        networks: of the run.
        loop: at the end of a network.
        begun: where the next begins.
    """
    kept = loop.state if networks.keep_last else loop.best
    finished = Finished(to_numpy(local(kept.mean)), loop.progress.best)
    state = networks.first_state(len(loop.finished) + 1)
    return loop._replace(
        state=copy_state(state),
        position=Position(begun.epochs, 0),
        best=copy_state(state),
        progress=StoppingState(scale=loop.progress.scale),
        loss_sum=0.0,
        loss_count=0,
        growth=None,
        finished=(*loop.finished, finished),
        begun=begun,
        complete=False,
    )


def to_numpy(params: Params) -> Params:
    """Copies on the host."""
    copies: Params = jax.tree.map(np.array, params)
    return copies


def kept_weights(loop: LoopState, *, last: bool = False) -> Params:
    """The weights of the model that a run has made so far, as NumPy arrays.

    Args:
        loop: of the run.
        last: whether the last weights of each network count, instead of the best.
    """
    return stack([one.weights for one in _kept(loop, last)])


def losses_of_networks(loop: LoopState) -> list[float]:
    """The validation losses of the networks that `kept_weights` puts together."""
    return [one.loss for one in _kept(loop)]


def _kept(loop: LoopState, last: bool = False) -> list[Finished]:
    """The networks that the model is the mean of.

    Not one whose loss is so high that the mean would be the worse for it; and not the one in
    training where it was cut off before it was as good as the worst of the others.
    """
    newest = Finished(to_numpy((loop.state if last else loop.best).mean), loop.progress.best)
    networks = list(loop.finished)
    highest = max((one.loss for one in networks), default=newest.loss)
    if last or loop.complete or newest.loss <= highest:
        networks.append(newest)
    lowest = min(one.loss for one in networks)
    return [one for one in networks if last or lowest <= 0 or one.loss <= WORST * lowest]


def stack(networks: Sequence[Params]) -> Params:
    """The weights of several networks of one form as one tree; those of one as they are."""
    if len(networks) == 1:
        return networks[0]
    first = networks[0]
    return {
        name: part
        if name == FIXED
        else jax.tree.map(lambda *leaves: np.stack(leaves), *(one[name] for one in networks))
        for name, part in first.items()
    }


def unstack(params: Params) -> list[Params]:
    """The weights of each network: the opposite of `stack`."""
    count = count_networks(params)
    if count is None:
        return [params]

    def one(number: int) -> Params:
        return {
            name: part if name == FIXED else jax.tree.map(lambda leaf: leaf[number], part)
            for name, part in params.items()
        }

    return [one(number) for number in range(count)]
