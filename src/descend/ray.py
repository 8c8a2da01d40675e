"""`descend.ray.train`: training in the processes of a Ray cluster."""

from __future__ import annotations

from typing import Any, Unpack

from descend.commands.train_with_ray import train_with_ray
from descend.keywords import TrainKeywords
from descend.runtime.table_run import Run
from descend.settings import settings_from

__all__ = ["train"]


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
