"""Plan a run of the tabular network within a time budget, and the notes on its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from descend.data.schema.columns import RegressionTarget
from descend.defaults import EFFORTS
from descend.runtime.table_run import TableRun
from descend.settings import Settings
from descend.training.build import with_default_numbers
from descend.training.effort import planned_epochs
from descend.training.network.bins import between_codes, sample
from descend.training.network.day_codes import elapsed_days
from descend.training.network.tabular import FIXED
from descend.training.processes.messages import from_first
from descend.training.processes.place import this_place
from descend.tuning.advice.speed import measure_speed

PLANNED_PART = 0.8
"""Of the budget: seconds of updates vary, and evaluations take some too."""
FEWEST_NETWORKS = 3
"""Networks whose full training has to fit in the budget for an effort of several to be chosen."""
NAMED_COLUMNS = 8


def within_budget(run: TableRun, asked: Settings) -> TableRun:
    """The run with the most effort whose course ends within the time budget.

    Where the courses of its networks end early, it trains further ones, as many as fit.
    Seconds per update are measured with the members of the settings, and taken to grow in
    proportion to them. Where the budget is less than `quick` takes, its course is shorter.

    Args:
        run: with resolved settings.
        asked: as the user gave them; members, networks, epochs and a batch size that they name
            stay.
    """
    settings = run.settings
    if settings.model != "tabular" or asked.time_budget is None or asked.epochs is not None:
        return run
    rows = len(run.prepared.training)
    size = with_default_numbers(settings, rows).batch_size
    assert isinstance(size, int)
    assert settings.members is not None
    place, seconds = this_place(), 0.0
    if place.first:
        problem = run.problem.alone
        size_here = min(size, len(problem.store))
        speed = measure_speed(problem, problem.begin().state, [size_here], repeats=2)
        seconds = speed.seconds_per_update[0]
    if place.count > 1:
        # What each measures would differ, and they have to agree.
        (seconds,) = from_first(np.array([seconds])).tolist()
    epoch = seconds * -(-rows // size)
    free = asked.members is None and asked.networks is None and asked.effort == "default"
    networks = settings.networks or 1
    for effort in ("thorough", "default", "quick") if free else (asked.effort,):
        members = EFFORTS[effort].members if free else settings.members
        networks = EFFORTS[effort].networks if free else networks
        epochs = planned_epochs(effort, rows)
        fitting = PLANNED_PART * asked.time_budget / (epoch * members / settings.members)
        if epochs * (min(networks, FEWEST_NETWORKS) if free else 1) <= fitting:
            break
    else:
        epochs = max(1, int(fitting))
    if free:
        # Courses mostly end early: the run begins another network as long as it fits.
        networks = max(one.networks for one in EFFORTS.values())
    changed = settings.replace(effort=effort, members=members, networks=networks, epochs=epochs)
    return dataclasses.replace(run, settings=changed)


def _with_many_values(run: TableRun, places: Sequence[int]) -> set[int]:
    """Which of the encoded numbers are categories although they have many values."""
    if not places:
        return set()
    rows = sample(run.prepared.sampled, run.settings.seed).numeric
    columns = {place: np.unique(rows[:, place], return_counts=True) for place in places}
    return {place for place, found in columns.items() if between_codes(*found) is None}


def input_notes(run: TableRun) -> Iterator[str]:
    """Notes for the user: which columns are also categories, and which target is never negative."""
    if run.settings.model != "tabular":
        return
    fixed = run.problem.init(run.settings.seed)[FIXED]
    names, days = run.prepared.encoder.numeric_names, elapsed_days(run.prepared.schema)
    places = np.asarray(fixed.get("coded", ()), int).tolist()
    coded = [place for place in places if place not in days]
    many = _with_many_values(run, coded)
    for which, why in (
        (sorted(set(coded) - many), "few distinct values"),
        (sorted(many), "the target depends on single values, not only on their order"),
    ):
        if which:
            named = ", ".join(names[place] for place in which[:NAMED_COLUMNS])
            more = f" and {len(which) - NAMED_COLUMNS} more" if len(which) > NAMED_COLUMNS else ""
            yield f"{named}{more}: {why}, so learned as numbers and as categories."
    for place in places:
        if place in days:
            yield (
                f"{names[place].removesuffix(' elapsed days')}: what each day has of its own is "
                "learned too, since the validation rows are of the same days. To predict later "
                "days, let later rows be the validation rows."
            )
    target = run.prepared.schema.target
    if isinstance(target, RegressionTarget):
        for name, counted in zip(target.names, target.counts, strict=False):
            if counted:
                yield f"{name}: whole numbers from 0 on, so no prediction is below 0."
