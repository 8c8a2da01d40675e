"""Training, and going on with it, in processes that Ray starts on the hosts of its cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from descend.commands.resume import resume
from descend.commands.train import train
from descend.errors import InputError, LostProcessError, what_after_a_loss
from descend.reporting.progress import make_progress
from descend.runtime.launch import GRACE, free_port
from descend.runtime.run import Options
from descend.runtime.table_run import NOTHING_NAMED, Named, Run
from descend.settings import Settings
from descend.training.processes.joining import join, leave
from descend.training.processes.starters import COORDINATOR, COUNT, INDEX, INTERFACE

HERE = "local"
"""In place of an address: a cluster on this machine, for this call."""


def train_with_ray(
    data: Any,
    settings: Settings,
    *,
    processes: int,
    address: str | None = None,
    cores: int = 1,
    out: str | Path | None = None,
    **written: Any,
) -> Run:
    """Train on a table in processes of a Ray cluster; returns the run.

    Args:
        data: whatever `descend.train` takes; files must be reachable from every host.
        settings: as the user gave them.
        processes: how many; each is placed where Ray finds its cores.
        address: of the cluster; None joins the one that this program runs in, or starts one.
        cores: of each process.
        out: the run directory, where all hosts see it; None writes nothing.
        **written: `force`, `command`, `title` and `note` of the run.

    Raises:
        InputError: Ray is not installed or cannot be reached, or training says so.
        LostProcessError: a process ended.
    """
    # A worker has another working directory.
    if isinstance(data, str | Path) and Path(data).exists():
        data = str(Path(data).resolve())
    if out is not None:
        written["out"] = str(Path(out).resolve())
    run: Run = _in_cluster(address, _train, (data, settings, written), processes, cores)
    return run


def resume_with_ray(
    path: str | Path,
    named: Named = NOTHING_NAMED,
    *,
    processes: int,
    address: str | None = None,
    cores: int = 1,
) -> Run:
    """Continue a run in processes of a Ray cluster; returns the run.

    Args:
        path: of the run, where the host of process 0 sees it.
        named: what the user names himself of what stands in the record.
        processes: how many; as many as before give the same bytes.
        address: as for `train_with_ray`.
        cores: of each process.

    Raises:
        InputError: as `train_with_ray`, and as `resume`.
        LostProcessError: a process ended.
    """
    run: Run = _in_cluster(address, _resume, (str(Path(path).resolve()), named), processes, cores)
    return run


def _train(data: Any, settings: Settings, written: Mapping[str, Any]) -> Run:
    return train(
        data, settings, Options(make_progress("silent"), write="out" in written, **written)
    )


def _resume(path: str, named: Named) -> Run:
    return resume(Path(path), Options(make_progress("silent")), named)


def _in_cluster(
    address: str | None, work: Callable[..., Run], asked: tuple[Any, ...], count: int, cores: int
) -> Any:
    """What process 0 returns of work that all processes do, in a cluster that is joined for it."""
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        try:
            more = {"include_dashboard": False} if address in (None, HERE) else {}
            ray.init(address=address, log_to_driver=False, **more)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"The Ray cluster {address!r} cannot be reached: {str(error).splitlines()[0]} "
                f"Type the address that `ray status` works with, or {HERE}; a cluster that asks "
                "for a token is reached with RAY_AUTH_TOKEN set."
            ) from error
    try:
        return _on_workers(ray, work, asked, count, cores)
    finally:
        if ours:
            ray.shutdown()


def _on_workers(
    ray: Any, work: Callable[..., Run], asked: tuple[Any, ...], count: int, cores: int
) -> Any:
    room = int(ray.cluster_resources().get("CPU", 0))
    if room < count * cores:
        raise InputError(
            f"{count} processes of {cores} cores each need {count * cores} cores; the Ray cluster "
            f"has {room}. Type fewer processes."
        )
    # Ray hides the GPUs of a host from what asks for none.
    gpus = int(ray.cluster_resources().get("GPU", 0))
    needed = {"num_cpus": cores, "num_gpus": 1 if gpus >= count else 0}
    # A process of its own for each: JAX joins the others before its first array, once. They take
    # the cores of as many hosts as there are.
    remote = ray.remote(**needed, max_restarts=0, scheduling_strategy="SPREAD")(Worker)
    workers = [remote.remote() for _ in range(count)]
    try:
        host, port = ray.get(workers[0].address.remote())
        shared = {COORDINATOR: f"{host}:{port}", COUNT: str(count)}
        pending = [
            worker.work.remote(work, asked, {**shared, INDEX: str(index)})
            for index, worker in enumerate(workers)
        ]
        numbers = {one: index for index, one in enumerate(pending)}
        result, lost, longest = None, None, None
        while pending:
            done, pending = ray.wait(pending, timeout=longest)
            if not done:
                break
            for one in done:
                try:
                    found = _answer(ray, one, numbers[one], count)
                except LostProcessError as error:
                    # Another one ended first, and Ray will say which.
                    lost, longest = error, GRACE
                    if error.__cause__ is not None:
                        raise
                else:
                    result = found if numbers[one] == 0 else result
        if lost is not None:
            raise lost
        return result
    finally:
        for worker in workers:
            ray.kill(worker)


def _answer(ray: Any, reference: Any, index: int, count: int) -> Any:
    """What a process returned; its error as ours."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError as error:
        raise LostProcessError(
            f"Process {index} of {count} ended; the others cannot go on without it and were "
            f"ended. {what_after_a_loss(count)}"
        ) from error


class Worker:
    """One process of the job, on whatever host Ray puts it."""

    def address(self) -> tuple[str, int]:
        """Where the others reach this process."""
        import ray

        return ray.util.get_node_ip_address(), free_port()

    def work(
        self, work: Callable[..., Run], asked: tuple[Any, ...], job: Mapping[str, str]
    ) -> Run | None:
        """Work as one of the job; process 0 returns the run."""
        import ray

        os.environ.update(job)
        os.environ.setdefault(INTERFACE, ray.util.get_node_ip_address())
        place = join()
        run = work(*asked)
        leave()
        return run if place.first else None


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed. Type: pip install ray") from error
    return ray
