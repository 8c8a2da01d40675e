"""Join the processes that were started together, and part from them."""

from __future__ import annotations

import functools
import math
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from descend.errors import InputError
from descend.io.machine import instruction_set
from descend.training.processes.messages import from_all
from descend.training.processes.place import Place, known, this_place
from descend.training.processes.slices import over_processes, replicate, sum_over_processes
from descend.training.processes.starters import CORES, job_of
from descend.training.processes.waiting import LONGEST, check_addresses, telling_of_waiting
from descend.training.processes.watch import Watch, deadline
from descend.training.program_cache import keep_in_every_process

HEARTBEAT = 4.0
"""Times the deadline after which JAX ends the job of a process that says nothing, without saying
which. It may do so after half of that: the process beats twice within it. The watch comes first,
and a broken connection is noticed at once."""

FAREWELL = 30
"""Seconds that a process waits at its end for the others."""

_watches: list[Watch] = []


def join() -> Place:
    """Join the processes that were started together; before the first array.

    Called by the command line alone: a program of the user's may have been started several times
    for another purpose.

    Raises:
        InputError: the others did not come.
    """
    job = job_of() if known.place is None else None
    if job is None:
        return this_place()
    if CORES in os.environ and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in os.environ[CORES].split(",")])
    with telling_of_waiting(job):
        check_addresses(job)
    import jax

    options: dict[str, Any] = {
        "coordinator_address": job.coordinator,
        "num_processes": job.count,
        "process_id": job.index,
        "initialization_timeout": math.ceil(2 * LONGEST),
        "heartbeat_timeout_seconds": math.ceil(HEARTBEAT * deadline()),
        "shutdown_timeout_seconds": FAREWELL,
    }
    if _has_accelerators():
        options["local_device_ids"] = [device_of(job.local_index)]
    if job.interface is not None:
        port = job.coordinator.rpartition(":")[2]
        options["coordinator_bind_address"] = f"{job.interface}:{port}"
    # After all that may be wrong with the start: JAX keeps the setting.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        with telling_of_waiting(job):
            jax.distributed.initialize(**options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The {job.count} processes that {job.starter} started could not join each other at "
            f"{job.coordinator}: {str(error).splitlines()[0]}"
        ) from error
    with _without_stdout(), _listening_at(job.interface):
        # The first question makes the backend, which chooses the address; the first message makes
        # the connections, and Gloo prints a line about each.
        known.place = Place(jax.process_index(), jax.process_count())
        if jax.default_backend() == "cpu":
            keep_in_every_process()
        from_all(np.zeros(1))
        _connect_pairs()
        from descend.training.processes.link import measure_link

        measure_link(job.interface)
        found = from_all(np.array([zlib.crc32(_arithmetic().encode())], np.int64))
        known.alike = len(np.unique(found)) == 1
    _watch_over_others()
    return this_place()


def _arithmetic() -> str:
    """What decides how this process rounds: its device, and the instructions that XLA may use."""
    import jax

    if jax.default_backend() != "cpu":
        return str(jax.devices()[0].device_kind)
    return f"{instruction_set()} {os.environ.get('XLA_FLAGS', '')}"


def _connect_pairs() -> None:
    """Make the connections of the exchanges of `all_reduce`: one sum does."""
    import jax

    summed = jax.jit(over_processes(sum_over_processes, (False,)))
    jax.block_until_ready(summed(replicate(np.zeros(1, np.float32))))


def _watch_over_others() -> None:
    """Name the process that the others wait for, from here to `leave`."""
    from jax._src import distributed

    client = getattr(getattr(distributed, "global_state", None), "client", None)
    if client is not None:
        place = this_place()
        _watches.append(Watch(client, place.index, place.count))
        _watches[0].start()


def leave() -> None:
    """Wait until all processes are here, and part from them.

    Where one ended while the others still have something to do, they would take it for lost.
    """
    if known.place is not None:
        import jax

        while _watches:
            _watches.pop().stop()
        jax.distributed.shutdown()
        known.place, known.link, known.alike = None, None, True


@contextmanager
def _without_stdout() -> Iterator[None]:
    """What libraries print to file descriptor 1 meanwhile goes nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _listening_at(interface: str | None) -> Iterator[None]:
    """Meanwhile JAX makes its connections between CPUs at this address of the host.

    Without it they are made at the address that the name of the host leads to, which some systems
    set to one that no other host can reach. JAX has no option for it.
    """
    from jax._src import xla_bridge

    library: Any = getattr(xla_bridge, "_jax", None)
    make = getattr(library, "make_gloo_tcp_collectives", None)
    if interface is None or make is None:
        yield
        return
    library.make_gloo_tcp_collectives = functools.partial(make, hostname=interface)
    try:
        yield
    finally:
        library.make_gloo_tcp_collectives = make


def device_of(local_index: int, environment: Mapping[str, str] = os.environ) -> int:
    """Which of the GPUs that it sees a process takes.

    Args:
        local_index: of the process among those of its host.
        environment: its variables.

    >>> device_of(1, {"CUDA_VISIBLE_DEVICES": "0,1"}), device_of(1, {"CUDA_VISIBLE_DEVICES": "1"})
    (1, 0)
    """
    seen = environment.get("CUDA_VISIBLE_DEVICES", "")
    # SLURM (--gpus-per-task) and Ray show each process a GPU of its own, whose number there is 0.
    return local_index if not seen or "," in seen else 0


def _has_accelerators() -> bool:
    return os.environ.get("JAX_PLATFORMS", "") != "cpu" and Path("/dev/nvidia0").exists()
