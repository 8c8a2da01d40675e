"""Measure what updates cost in several processes, each number of them in a job of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from descend.errors import DescendError, SettingsError, option_text
from descend.io.atomic import write_json
from descend.reporting.progress import Progress, make_progress
from descend.runtime.launch import launch
from descend.runtime.synchrony import seconds_together
from descend.runtime.trial_setup import table_setup
from descend.settings import Settings, settings_from
from descend.training.processes.all_reduce import Link
from descend.training.processes.link import lower_quartile, measured_link
from descend.training.processes.place import this_place
from descend.tuning.advice.processes import (
    choose_job,
    compared_jobs,
    extrapolated_seconds,
)
from descend.types import Advice, Speed, split_variables

MEASURE = "measure-processes"
"""The hidden command that each of the processes runs."""
SIZES = (0.25, 1, 4, 16)
"""Batch sizes that are measured, in units of the advised one."""


def processes_record(
    data: str, settings: Settings, advice: Advice, counts: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """How many processes pay, as a record for the advice.

    Args:
        data: the table, by name.
        settings: as the user gave them.
        advice: for one process.
        counts: numbers of processes to compare; 1 is always among them.
        progress: told what is being measured.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    # Without a batch size of their own, so that the settings fit every size that is measured.
    asked = settings.replace(batch_size="auto", learning_rate="auto")
    sizes = [max(1, round(advice.batch_size * factor)) for factor in SIZES]
    measured = sorted({1, *(count for count in counts if count <= cores)})
    beyond = sorted({count for count in counts if count > cores})
    if beyond and len(measured) == 1:
        measured.append(2)
    seconds: dict[tuple[int, int], list[float]] = {}

    def measure_job(count: int) -> dict[str, Any]:
        progress.message(f"Measuring updates in {count} process{'' if count == 1 else 'es'}.")
        found = _measure_in_processes(data, asked, sizes, count)
        for size, repeats in zip(found["sizes"], found["seconds"], strict=True):
            seconds.setdefault((count, size), []).extend(repeats)
        return found

    found: dict[str, Any] = {}
    for count in measured:
        found = measure_job(count)
    link = None if found["link"] is None else Link(*found["link"])
    for count in beyond:
        assert link is not None
        for size in found["sizes"]:
            lines = [seconds[1, one] for one in found["sizes"]]
            seconds[count, size] = [
                extrapolated_seconds(
                    Speed(tuple(found["sizes"]), times, ()), link, count, size, found["bytes"]
                )
                for times in zip(*lines, strict=True)
            ]
    if 2 in measured and 2 not in (1, *counts):
        seconds = {key: value for key, value in seconds.items() if key[0] != 2}
    critical = _critical(advice)
    jobs = compared_jobs(seconds, advice.batch_size, critical, frozenset(beyond))
    advised, confirmed = choose_job(jobs), None
    if advised.processes > 1 and not advised.extrapolated:
        # What the machine did beside may have favoured one of them: now in the other order.
        first = advised.processes
        for count in (first, 1):
            measure_job(count)
        jobs = compared_jobs(seconds, advice.batch_size, critical, frozenset(beyond))
        advised = choose_job(jobs)
        confirmed = advised.processes == first
    return {
        "jobs": [dataclasses.asdict(job) for job in jobs],
        "advised": dataclasses.asdict(advised),
        "confirmed": confirmed,
        "critical": None if critical is None else critical[1],
        "link": None if link is None else link._asdict(),
        "cores": cores,
    }


def _critical(advice: Advice) -> tuple[float, float, float] | None:
    """B_crit with the ends of its interval: by the law, else by the newest noise scale."""
    law = advice.evidence.get("law")
    if law:
        low, high = law["interval"]
        return low, law["critical"], float("inf") if high is None else high
    for noise in reversed(advice.evidence.get("noise", [])):
        if noise["noise_scale"] is not None:
            low, high = noise["interval"]
            return low, noise["noise_scale"], float("inf") if high is None else high
    return None


def _measure_in_processes(
    data: str, settings: Settings, sizes: Sequence[int], count: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder) / "asked.json", Path(folder) / "found.json"
        write_json(
            asked,
            {"data": data, "settings": settings.as_json(), "sizes": list(sizes), "out": str(out)},
        )
        if launch(count, [MEASURE, str(asked)]):
            raise DescendError(f"Updates in {count} processes could not be measured.")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def measure(asked: Mapping[str, Any]) -> None:
    """What each process of a measuring job does; process 0 writes what was found.

    Args:
        asked: data, settings, sizes, and the file to write.
    """
    place = this_place()
    setup = table_setup(asked["data"])(settings_from(asked["settings"]), make_progress("silent"))
    problem = setup.problem
    state = problem.begin().state
    sizes = sorted({min(size, len(problem.store)) for size in asked["sizes"]})
    seconds = [seconds_together(problem, state, size, place) for size in sizes]
    weights, _ = split_variables(state.params)
    floats = sum(leaf.size for leaf in jax.tree.leaves(weights))
    link = measured_link(lower_quartile) if place.count > 1 else None
    if place.first:
        found = {"sizes": sizes, "seconds": seconds, "link": link, "bytes": 4 * floats}
        write_json(Path(asked["out"]), found)


def parse_counts(text: str) -> tuple[int, ...]:
    """Numbers of processes in a list with commas.

    Raises:
        SettingsError: one is no whole number above 0.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise SettingsError(
            f"{option_text('processes')} must be whole numbers with commas, like 1,2,4; "
            f"found {text!r}."
        )
    return tuple(sorted({int(part) for part in parts}))
