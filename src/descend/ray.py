"""`descend.ray.train` and `resume`: training in the processes of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from descend.commands.train_with_ray import resume_with_ray, train_with_ray
from descend.keywords import TrainKeywords
from descend.runtime.table_run import Named, Run
from descend.settings import settings_from

__all__ = ["resume", "train"]


def train(
    data: Any,
    *,
    target: str | None = None,
    processes: int,
    address: str | None = None,
    cores: int = 1,
    out: str | None = None,
    force: bool = False,
    **options: Unpack[TrainKeywords],
) -> Run:
    """Train a model on a table in several processes that Ray starts.

    The processes share every mini-batch, and learn what `descend.train` learns in one, up to
    rounding.

    Args:
        data: whatever `descend.train` takes; files must be reachable from every host.
        target: the column to predict; needed where `data` is no pair of arrays `(X, y)`.
        processes: how many; each is placed where Ray finds its cores.
        address: of the Ray cluster, as `ray.init` takes it; None joins the one that this program
            runs in, or starts one on this machine.
        cores: of each process.
        out: the run directory to write, where all hosts see it; None writes nothing.
        force: replace an existing run directory.
        **options: any field of `Settings`.

    Returns:
        The run.

    Raises:
        InputError: Ray is not installed, cannot be reached or has too few cores; or as
            `descend.train`.
        LostProcessError: a process ended.

    Example:
        `descend.ray.train("s3://bucket/flights/*.parquet", target="arr_delay", processes=8)`
    """
    settings = settings_from(
        {"target": target or ("y" if isinstance(data, tuple) else ""), **options}
    )
    return train_with_ray(
        data, settings, processes=processes, address=address, cores=cores, out=out, force=force
    )


def resume(
    run: str | Path,
    *,
    processes: int,
    address: str | None = None,
    cores: int = 1,
    data: str | Path | None = None,
    validation: str | Path | None = None,
    store: str | Path | None = None,
) -> Run:
    """Continue an interrupted run in several processes that Ray starts.

    As many processes as before end with the same bytes as if the run had never been interrupted,
    whoever started them.

    Args:
        run: the run directory, where the host of process 0 sees it.
        processes: how many.
        address: of the Ray cluster, as for `train`.
        cores: of each process.
        data: as for `descend.resume`.
        validation: likewise.
        store: likewise.

    Returns:
        The run.

    Raises:
        InputError: as `train`, and as `descend.resume`.
        LostProcessError: a process ended.

    Example:
        `descend.ray.resume("/shared/runs/flights", processes=8)`
    """
    named = Named(*(None if one is None else str(one) for one in (data, validation, store)))
    return resume_with_ray(run, named, processes=processes, address=address, cores=cores)
