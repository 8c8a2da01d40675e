"""How many processes pay: seconds per update of several, put into seconds to a loss.

With u(B) = 1 + B_crit/B, the updates to a loss in units of the fewest, a job of P processes with
batches of B rows takes u(B)·t(P, B) seconds, in units that all jobs share. What processes save in
an update is measured; what a larger batch saves in updates follows from B_crit (McCandlish et al.
2018, arXiv 1812.06162, section 2.3).

More processes than this machine has cores are not measured but extrapolated: each with a machine
like this one, t(P, B) = t(1, B/P) + steps·latency + bytes/bandwidth, with the steps and the bytes
of an all-reduce of the gradient, over links as fast as those between the processes here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from descend.training.processes.all_reduce import Link, all_reduce_cost
from descend.tuning.advice.speed import seconds_at
from descend.types import Speed

CLOSE = 1.05
"""Fewer processes are advised if they take at most this factor of the least time."""


@dataclass(frozen=True)
class Job:
    """A number of processes with its best batch size.

    Attributes:
        processes: how many.
        batch_size: rows of a whole batch.
        seconds_per_update: median.
        time: to the same loss, where one process with the advised batch size takes 1.
        interval: of that time, from the spread of the seconds and the interval of B_crit.
        extrapolated: whether the seconds were not measured but derived.
    """

    processes: int
    batch_size: int
    seconds_per_update: float
    time: float
    interval: tuple[float, float]
    extrapolated: bool


def extrapolated_seconds(alone: Speed, link: Link, count: int, batch: int, size: int) -> float:
    """Seconds per update of processes that have a machine each.

    Args:
        alone: one process here.
        link: between processes.
        count: of processes.
        batch: rows of a whole batch.
        size: bytes of the gradient.
    """
    summing = link.seconds(all_reduce_cost(count, size, link))
    return seconds_at(alone, max(1, math.ceil(batch / count))) + summing


def compared_jobs(
    seconds: Mapping[tuple[int, int], Sequence[float]],
    advised: int,
    critical: tuple[float, float, float] | None,
    extrapolated: frozenset[int] = frozenset(),
) -> list[Job]:
    """The best batch size of each number of processes, and the time it takes.

    Args:
        seconds: per update, repeated, by `(processes, batch size)`; `(1, advised)` is among them.
        advised: batch size for one process.
        critical: B_crit with the ends of its interval; None where it is not known: then all jobs
            have the advised batch size.
        extrapolated: numbers of processes whose seconds were derived.
    """
    base = seconds[1, advised]

    def updates(batch: int, bound: float) -> float:
        if math.isinf(bound):
            return advised / batch
        return (1 + bound / batch) / (1 + bound / advised)

    best: dict[int, Job] = {}
    for (count, batch), repeats in sorted(seconds.items()):
        if critical is None and batch != advised:
            continue
        low, middle, high = critical or (0.0, 0.0, 0.0)
        factors = [updates(batch, bound) for bound in (low, high)]
        per_update = _median(repeats)
        same = (count, batch) == (1, advised)
        job = Job(
            count,
            batch,
            per_update,
            updates(batch, middle) * per_update / _median(base),
            (1.0, 1.0)
            if same
            else (
                min(factors) * min(repeats) / max(base),
                max(factors) * max(repeats) / min(base),
            ),
            count in extrapolated,
        )
        if count not in best or job.time < best[count].time:
            best[count] = job
    return [best[count] for count in sorted(best)]


def choose_job(jobs: Sequence[Job]) -> Job:
    """The job to take: the fewest processes that are surely faster and about as fast as any.

    >>> one = Job(1, 64, 1e-3, 1.0, (1.0, 1.0), False)
    >>> choose_job([one, Job(2, 64, 8e-4, 0.8, (0.7, 1.1), False)]).processes
    1
    """
    alone = next(job for job in jobs if job.processes == 1)
    sure = [job for job in jobs if job.interval[1] < alone.time]
    if not sure:
        return alone
    least = min(job.time for job in sure)
    return min((job for job in sure if job.time <= CLOSE * least), key=lambda job: job.processes)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
