"""The batch schedule of a run, as its settings ask for it."""

from __future__ import annotations

import dataclasses
import math

from descend.data.rows.budget import divide
from descend.defaults import LEAST_UPDATES
from descend.errors import SettingsError, option_text
from descend.settings import Settings
from descend.training.batch_schedule import GROWTH, BatchSchedule
from descend.training.loop_state import LoopConfig
from descend.training.problem import Problem
from descend.training.processes.place import Place
from descend.tuning.advice.noise import NoiseMeter, gradient_noise
from descend.tuning.advice.speed import Footprint
from descend.types import GradientNoise, Params


def with_batch_schedule(problem: Problem, config: LoopConfig, settings: Settings) -> LoopConfig:
    """The run with a batch that grows by measured noise, where the settings ask for it.

    It grows no further than to `LEAST_UPDATES` updates an epoch, and only while a batch fits in one
    chunk and in the memory that was given. Free memory does not count: a resumed run has other.
    """
    if settings.batch_schedule == "constant":
        return config
    meter = NoiseMeter(problem)

    def noise(params: Params) -> GradientNoise:
        return gradient_noise(meter(params, singles=False), problem.seed)

    schedule = BatchSchedule(
        noise,
        meter.groups * meter.group_rows,
        _largest(problem, config.plan.batch_size, settings.memory),
        problem.at_size,
    )
    return dataclasses.replace(config, batch_schedule=schedule)


def _largest(problem: Problem, batch_size: int, memory: int | None) -> int:
    footprint = Footprint(problem, problem.begin().state)
    limit = math.inf if memory is None else divide(memory).working
    size = batch_size
    while (larger := GROWTH * size) <= len(problem.store) // LEAST_UPDATES:
        if problem.plan(larger).accumulation_steps > 1 or footprint(larger) > limit:
            break
        size = larger
    return size


def check_batch_schedule(settings: Settings, place: Place) -> None:
    """Raise SettingsError where a batch is to grow in one of several processes.

    Each would measure other noise: of its own rows.
    """
    if settings.batch_schedule != "constant" and place.count > 1:
        raise SettingsError(
            f"{option_text('batch_schedule', settings.batch_schedule)} works in one process; "
            f"found {place.count}. Leave it out, or train in one process."
        )
