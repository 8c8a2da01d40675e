"""Let the batch grow while training goes on, by the measured gradient noise.

The noise scale tr Σ / |G|² is the batch size at which a gradient is as much noise as gradient. It
grows as the loss falls (McCandlish et al. 2018, arXiv 1812.06162, section 2.2). Where it is several
times the batch, most of what an update does is noise, and a larger batch makes fewer and better
updates of the same rows. The learning rate stays: a batch k times as large at the same rate does
what the same batch does at a rate k times lower (Smith et al. 2018, arXiv 1711.00489, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from descend.training.schedules import Updates
from descend.types import GradientNoise, Params

if TYPE_CHECKING:
    from descend.training.loop_state import LoopConfig, LoopState

GROWTH = 4
"""The batch grows by this factor, once the noise scale is at least this multiple of the batch."""
MEASURING_PART = 0.05
"""Rows read to measure the noise, as a fraction of the rows that training reads meanwhile."""


class Growth(NamedTuple):
    """The newest growth of the batch; with it a run goes on where it was interrupted.

    Attributes:
        batch_size: rows per update since then.
        update: number of updates before it.
        course: number of updates that the first batch size would have needed for the same rows.
        first: updates per epoch of the first batch size.
        now: updates per epoch since then.
    """

    batch_size: int
    update: int
    course: int
    first: int
    now: int


@dataclass(frozen=True)
class BatchSchedule:
    """What a run needs to let its batch grow.

    Attributes:
        noise: `params -> gradient noise`.
        measured_rows: rows whose gradient one measurement computes.
        largest: the largest batch size.
        at_size: `(config, batch_size) -> config` of the same run with another batch size.
    """

    noise: Callable[[Params], GradientNoise]
    measured_rows: int
    largest: int
    at_size: Callable[[LoopConfig, int], LoopConfig]

    def config(self, config: LoopConfig, growth: Growth | None) -> LoopConfig:
        """The run with the batch size that it has grown to."""
        return config if growth is None else self.at_size(config, growth.batch_size)

    def is_due(self, loop: LoopState, batch_size: int) -> bool:
        """Whether to measure the noise: at the end of an epoch, and only as often as is cheap.

        That follows from the history alone, so a resumed run measures at the same evaluations.
        """
        history = loop.own_history
        if GROWTH * batch_size > self.largest or len(history) < 2:
            return False
        if loop.growth is not None and loop.growth.update == loop.state.update:
            return False  # It has just grown.
        before, last = history[-2:]
        if loop.position.index != 0 or last.update != loop.state.update:
            return False
        return last.examples // self._every > before.examples // self._every

    def why_constant(self, loop: LoopState, batch_size: int) -> str:
        """Why the batch has not grown in a run that ended."""
        larger = GROWTH * batch_size
        if larger > self.largest:
            return (
                f"a batch of {larger:,} rows would make too few updates an epoch, or does not fit "
                "in the memory"
            )
        if loop.own_history[-1].examples < self._every:
            return f"the noise is first measured after {self._every:,} rows"
        return "its gradient noise scale was nowhere measured to be several times its rows"

    @property
    def _every(self) -> int:
        """Rows of training from one measurement to the next."""
        return round(self.measured_rows / MEASURING_PART)


def can_grow(noise: GradientNoise, batch_size: int) -> bool:
    """Whether even the low end of the interval of the noise scale is several times the batch.

    >>> can_grow(GradientNoise(1.0, 900.0, 900.0, (700.0, 1200.0)), 128)
    True
    >>> can_grow(GradientNoise(1.0, 900.0, 900.0, (300.0, 2500.0)), 128)
    False
    """
    return noise.interval[0] >= GROWTH * batch_size


def noise_text(noise: GradientNoise) -> str:
    """A noise scale with its interval.

    >>> noise_text(GradientNoise(1.0, 900.0, 900.0, (700.0, 1200.0)))
    'The gradient noise scale is 900 rows (700 to 1,200)'
    >>> noise_text(GradientNoise(0.0, 900.0, None, (700.0, float("inf"))))
    'The gradient noise scale is at least 700 rows'
    """
    low, high = (f"{end:,.0f}" for end in noise.interval)
    if noise.noise_scale is None or noise.interval[1] == float("inf"):
        return f"The gradient noise scale is at least {low} rows"
    return f"The gradient noise scale is {noise.noise_scale:,.0f} rows ({low} to {high})"


def course_of(growth: Growth | None, updates: npt.NDArray[np.int64]) -> Updates:
    """The numbers of updates that the first batch size would have needed for the same rows.

    A schedule of the learning rate is planned in these, so a growing batch neither shortens nor
    lengthens it.

    >>> grown = Growth(batch_size=512, update=200, course=200, first=100, now=25)
    >>> course_of(grown, np.array([200, 225])).tolist()
    [200.0, 300.0]
    """
    if growth is None:
        return updates
    return growth.course + (updates - growth.update) * growth.first / growth.now


def grow(loop: LoopState, config: LoopConfig, grown: LoopConfig) -> LoopState:
    """The loop state at the end of an epoch from which the batch is larger.

    Args:
        loop: before.
        config: of the run with the batch size until here.
        grown: of the same run with the next one.
    """
    first = config.plan.updates_per_epoch if loop.growth is None else loop.growth.first
    plan = grown.plan
    course = loop.own_position.epoch * first
    return loop._replace(
        growth=Growth(plan.batch_size, loop.state.update, course, first, plan.updates_per_epoch)
    )
