"""The nouns: what is passed between the parts, each defined once.

NamedTuples are what JAX carries; frozen dataclasses are records.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

Array = Any
"""A NumPy or JAX array. JAX is not imported here, so that records need no JAX."""

Params = Any
"""A pytree of arrays."""


class Batch(NamedTuple):
    """Rows of a table as numbers.

    Attributes:
        x: the inputs; for a table `numeric` float32 `[B, d]` and `category` int32 `[B, c]`.
        y: the target; float32 `[B, k]` for regression, int32 `[B]` for classification.
        weight: float32 `[B]`; a row of weight 0 fills a short batch and counts for nothing.

    A chunk is a Batch whose leaves are `[updates, B, ...]`.
    """

    x: Mapping[str, Array]
    y: Array
    weight: Array


class Variables(NamedTuple):
    """The params of a model that holds more than it learns by gradients.

    Attributes:
        params: the weights that an update moves.
        state: a pytree of arrays beside them: running means, which the model itself renews while
            it is trained, and weights that are not trained.
    """

    params: Params
    state: Any


def split_variables(params: Params) -> tuple[Params, Any]:
    """The weights that an update moves, and the state beside them; () where there is none."""
    return (params.params, params.state) if isinstance(params, Variables) else (params, ())


def join_variables(params: Params, state: Any, like: Params) -> Params:
    """Weights and state as one tree again, in the form of `like`."""
    return Variables(params, state) if isinstance(like, Variables) else params


class TrainState(NamedTuple):
    """All that an update changes.

    Attributes:
        params: the weights of the model; `Variables` where it holds more than these.
        opt_state: what the optimizer remembers.
        mean: the mean of the weights along the way, which is evaluated and kept; the weights
            themselves where nothing is averaged.
        update: updates made so far.
        examples: rows seen so far, repeats counted.
    """

    params: Params
    opt_state: Any
    mean: Params
    update: int
    examples: int


class Position(NamedTuple):
    """Where in the order of rows a run stands: `index` rows into epoch `epoch` (both from 0)."""

    epoch: int
    index: int  # type: ignore[assignment]  # the field's word; tuple.index is not used


class Metrics(NamedTuple):
    """What one update measured: the loss of its batch."""

    loss: Array


class StopReason(enum.Enum):
    """Why training ended; the value is the sentence the user reads."""

    NO_IMPROVEMENT = (
        "The validation loss stopped improving, also at lower learning rates: "
        "training has converged."
    )
    DECAYED = (
        "The validation loss fell slowly, so training ended with a decay of the learning rate."
    )
    EPOCHS = (
        "The number of epochs was reached. If the validation loss was still falling, allow more."
    )
    TIME_BUDGET = (
        "The time budget was used up. If the validation loss was still falling, allow more time."
    )
    TARGET_REACHED = "The validation loss reached the target that was asked for."
    STOPPED = "A callback or a stopping rule of your own asked to stop."
    DIVERGED = (
        "The loss became NaN or infinite, and lower learning rates did not help. "
        "Try a smaller learning rate."
    )
    INTERRUPTED = "Training was interrupted. Everything is saved; `descend resume` goes on."


@dataclass(frozen=True)
class HistoryLine:
    """One measurement during training.

    Attributes:
        update: updates made so far.
        epoch: epochs made so far, with a fraction.
        examples: rows seen so far, repeats counted.
        seconds: training time so far, resumed parts added up.
        train_loss: mean batch loss since the last line (penalty left out).
        validation_loss: mean loss over the validation rows (penalty left out).
        batch_size: rows per update.
        learning_rate: at the last update.
        network: which of several networks, trained one after another, was in training, from 1.
        metrics: figures of the user's own by name, and losses on further validation rows.
    """

    update: int
    epoch: float
    examples: int
    seconds: float
    train_loss: float
    validation_loss: float
    batch_size: int
    learning_rate: float
    network: int = 1
    metrics: Mapping[str, float] = field(default_factory=dict)


History = tuple[HistoryLine, ...]
"""How a run went: one line per evaluation."""


def counted_from_first(lines: History) -> History:
    """The lines with updates, epochs, rows seen and seconds counted from the first of them."""
    return tuple(
        replace(
            line,
            update=line.update - lines[0].update,
            epoch=line.epoch - lines[0].epoch,
            examples=line.examples - lines[0].examples,
            seconds=line.seconds - lines[0].seconds,
        )
        for line in lines
    )


@dataclass(frozen=True)
class GradientNoise:
    """How far mini-batch gradients scatter around the true one.

    Attributes:
        squared_norm: |G|², the squared norm of the gradient over all rows.
        trace: tr Σ, the summed variance of the rows' gradients.
        noise_scale: tr Σ / |G|² in rows, or None where |G|² cannot be told from 0.
        interval: 90 % bootstrap interval of the noise scale; the upper end may be infinite.
    """

    squared_norm: float
    trace: float
    noise_scale: float | None
    interval: tuple[float, float]


@dataclass(frozen=True)
class Speed:
    """What an update costs on this machine, for each batch size measured.

    Attributes:
        batch_sizes: rows per update, ascending.
        seconds_per_update: median over repeated runs, reading the rows included.
        peak_memory: bytes held by an update at that size.
        spread: logarithm of the factor from the fastest of the repeated runs to half of them:
            near 0 on an idle machine. Empty where it is not known.
    """

    batch_sizes: tuple[int, ...]
    seconds_per_update: tuple[float, ...]
    peak_memory: tuple[int, ...]
    spread: tuple[float, ...] = ()


@dataclass(frozen=True)
class Advice:
    """Which batch size and learning rate to take, and why.

    Attributes:
        batch_size: rows per update.
        learning_rate: the peak rate of the schedule.
        interval: the learning rates that did about as well.
        flat_region: the batch sizes between which it makes little difference.
        evidence: what was measured, as records for the report.
        cost: seconds the advice took.
    """

    batch_size: int
    learning_rate: float
    interval: tuple[float, float]
    flat_region: tuple[int, int]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 0.0

    def __repr__(self) -> str:
        return f"<descend.Advice: batch size {self.batch_size:,}, rate {self.learning_rate:g}>"
