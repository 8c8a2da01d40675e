"""What the environment says of a job of several processes: who started it, and which this one is.

`descend --processes` and Ray set the variables `DESCEND_*` themselves; Open MPI and SLURM have
variables of their own; a Kubernetes indexed job numbers its pods, and its file sets the rest.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from descend.errors import InputError

COORDINATOR, COUNT, INDEX = "DESCEND_COORDINATOR", "DESCEND_PROCESSES", "DESCEND_PROCESS"
"""Address `host:port` at which process 0 waits for the others, number of processes, own number."""
INTERFACE = "DESCEND_INTERFACE"
"""The address of this host at which the other processes reach it; nothing listens at another."""
WATCHED = "DESCEND_WATCHED"
"""Set where `descend --processes` watches over the process and says which one failed."""
CORES = "DESCEND_CORES"
"""Processor cores of a process that `descend --processes` started."""
POD = "JOB_COMPLETION_INDEX"
INDICES = (INDEX, POD, "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
"""Variables with the number of a process, the first that is set counts."""
TORCHRUN = "TORCHELASTIC_RUN_ID"
LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 61440, 4096
"""Where nobody names a port, it follows from the number of the job, in this range."""
_LAST_PORT = 65535


@dataclass(frozen=True)
class Job:
    """A process as one of several.

    Attributes:
        starter: who started it.
        index: of the process, from 0.
        count: of processes.
        local_index: of the process among those of its host; it takes the GPU with this number.
        coordinator: `host:port` of process 0.
        interface: the address at which this process listens; None leaves it to JAX.
    """

    starter: str
    index: int
    count: int
    local_index: int
    coordinator: str
    interface: str | None


def expected_processes(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the environment says there are: 1 where nothing started several.

    >>> expected_processes({"OMPI_COMM_WORLD_SIZE": "4"}), expected_processes({})
    (4, 1)
    """
    for name in (COUNT, "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        if environment.get(name, "").isdigit():
            return max(1, int(environment[name]))
    return 1


def expected_index(environment: Mapping[str, str] = os.environ) -> int:
    """Which of them this process is; 0 where it is alone."""
    for name in INDICES:
        if environment.get(name, "").isdigit():
            return int(environment[name]) if expected_processes(environment) > 1 else 0
    return 0


def job_of(environment: Mapping[str, str] = os.environ) -> Job | None:
    """The job that this process belongs to; None where it is alone.

    Args:
        environment: its variables.

    Raises:
        InputError: a variable is missing, or makes no sense.

    Examples:
        >>> pod = {"JOB_COMPLETION_INDEX": "2", "DESCEND_PROCESSES": "4"}
        >>> job_of(pod | {"DESCEND_COORDINATOR": "train-0.train:61440"}).index
        2
    """
    _check_numbers(environment)
    count = expected_processes(environment)
    if count == 1:
        return None
    index = expected_index(environment)
    if index >= count:
        raise InputError(
            f"This process is number {index} (counted from 0) of a job of {count}. Set {COUNT} to "
            "the number of processes that are started, and start each once."
        )
    if COUNT in environment:
        starter, here = "Kubernetes" if POD in environment else "DESCEND_PROCESSES", False
        local_index, coordinator = index if WATCHED in environment else 0, ""
    elif "OMPI_COMM_WORLD_SIZE" in environment:
        starter = "Open MPI"
        here = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == str(count)
        local_index = _number(environment, "OMPI_COMM_WORLD_LOCAL_RANK")
        coordinator = _of_open_mpi(environment)
    else:
        starter = "SLURM"
        here = environment.get("SLURM_STEP_NUM_NODES") == "1"
        local_index = _number(environment, "SLURM_LOCALID")
        coordinator = _of_slurm(environment)
    if here:
        # Nothing of a job on one host need be seen from others.
        coordinator = f"{LOOPBACK}:{coordinator.rpartition(':')[2]}"
    coordinator = environment.get(COORDINATOR) or coordinator
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= _LAST_PORT:
        found = f"found {coordinator!r}" if host or port else "it is not set"
        raise InputError(
            f"{starter} started {count} processes; {COORDINATOR} must name the address at which "
            f"process 0 waits for the others, as host:port, but {found}. Set it to the same value "
            f"in every process{_how_to_set(starter)}."
        )
    interface = environment.get(INTERFACE)
    if interface is None and host == LOOPBACK:
        interface = LOOPBACK
    return Job(starter, index, count, local_index, coordinator, interface)


def _check_numbers(environment: Mapping[str, str]) -> None:
    """Raise InputError where the variables that count the processes make no sense."""
    for name, least in ((COUNT, 1), (INDEX, 0)):
        text = environment.get(name)
        if text is not None and not (text.isdigit() and int(text) >= least):
            raise InputError(f"{name} must be a whole number from {least}; found {text!r}.")
    numbered = any(name in environment for name in INDICES)
    if int(environment.get(COUNT, 1)) > 1 and not numbered:
        raise InputError(
            f"{COUNT} says that there are {environment[COUNT]} processes, and nothing which of "
            f"them this one is. Set {INDEX} in each, from 0 to {int(environment[COUNT]) - 1}."
        )
    torchrun = environment.get("WORLD_SIZE", "1") if TORCHRUN in environment else "1"
    if torchrun != "1" and expected_processes(environment) == 1:
        raise InputError(
            f"torchrun started {torchrun} processes, each of which would do all of the work. Start "
            "them with mpirun or srun, or set "
            f"{COUNT}=$WORLD_SIZE, {INDEX}=$RANK and {COORDINATOR}=HOST:PORT in each."
        )


def _of_open_mpi(environment: Mapping[str, str]) -> str:
    """The host of mpirun, which Open MPI 4 tells; of version 5 only the port can be derived."""
    daemon = environment.get("OMPI_MCA_orte_hnp_uri", "")
    job = environment.get("PMIX_NAMESPACE") or daemon.split(".")[0]
    found = re.search(r"tcp://([^,:]+)|tcp6://\[([^,\]]+)", daemon)
    host = (found[1] or f"[{found[2]}]") if found else ""
    return f"{host}:{_port(job)}"


def _of_slurm(environment: Mapping[str, str]) -> str:
    """The first host of the step."""
    job = f"{environment.get('SLURM_JOB_ID', '')}.{environment.get('SLURM_STEP_ID', '')}"
    return f"{first_host(environment.get('SLURM_STEP_NODELIST', ''))}:{_port(job)}"


def first_host(nodes: str) -> str:
    """The first name in a list of hosts as SLURM writes it.

    >>> first_host("node[007-015,20]-ib,other"), first_host("one,two")
    ('node007-ib', 'one')
    """
    found = re.match(r"([^,\[]*)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else ""


def _port(job: str) -> int:
    """A port that all processes of a job derive alike, and other jobs seldom."""
    return FIRST_PORT + zlib.crc32(job.encode()) % PORTS


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdigit() else 0


def _how_to_set(starter: str) -> str:
    if starter == "Open MPI":
        return f", with mpirun -x {COORDINATOR}=HOST:PORT"
    return ""
