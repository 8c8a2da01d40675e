"""What starters of jobs leave in the environment, read as they write it."""

from __future__ import annotations

import re

import pytest

from descend.errors import InputError
from descend.training.processes.starters import (
    expected_index,
    expected_processes,
    first_host,
    job_of,
)

OPEN_MPI_4 = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}
OPEN_MPI_5 = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "PMIX_NAMESPACE": "prterun-login-1234@1",
}
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "4",
    "SLURM_STEP_NODELIST": "node[007-009],big1",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "JOB_COMPLETION_INDEX": "2",
    "DESCEND_PROCESSES": "4",
    "DESCEND_COORDINATOR": "train-0.train:61440",
}


def test_no_starter_means_one_process() -> None:
    assert job_of({}) is None
    # A batch script of SLURM knows of its tasks, but is no task of a step.
    assert job_of({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None
    # Pods of an indexed job may each do something else.
    assert job_of({"JOB_COMPLETION_INDEX": "2"}) is None


def test_open_mpi() -> None:
    job = job_of(OPEN_MPI_4)
    assert job is not None
    assert (job.starter, job.index, job.count, job.local_index) == ("Open MPI", 3, 4, 1)
    assert job.coordinator.startswith("10.96.0.1:")
    assert job.interface is None
    same = job_of({**OPEN_MPI_4, "OMPI_COMM_WORLD_RANK": "0"})
    assert same is not None
    assert same.coordinator == job.coordinator


def test_on_one_host_nothing_listens_to_others() -> None:
    job = job_of({**OPEN_MPI_5, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert job is not None
    assert job.coordinator.startswith("127.0.0.1:")
    assert job.interface == "127.0.0.1"
    job = job_of({**SLURM, "SLURM_STEP_NUM_NODES": "1"})
    assert job is not None
    assert job.interface == "127.0.0.1"


def test_open_mpi_5_on_several_hosts_needs_an_address() -> None:
    with pytest.raises(InputError, match="mpirun -x DESCEND_COORDINATOR=HOST:PORT"):
        job_of(OPEN_MPI_5)
    job = job_of({**OPEN_MPI_5, "DESCEND_COORDINATOR": "first:7000"})
    assert job is not None
    assert job.coordinator == "first:7000"


def test_slurm() -> None:
    job = job_of(SLURM)
    assert job is not None
    assert (job.starter, job.index, job.count, job.local_index) == ("SLURM", 5, 8, 1)
    host, port = job.coordinator.split(":")
    assert host == "node007"
    other = job_of({**SLURM, "SLURM_STEP_ID": "1"})
    assert other is not None
    # Two steps of one job do not take each other's port.
    assert other.coordinator != f"node007:{port}"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("one", "one"),
        ("one,two", "one"),
        ("node[001-004]", "node001"),
        ("node[3,7-9],x", "node3"),
        ("rack[01-02]-ib,x", "rack01-ib"),
    ],
)
def test_first_host(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_kubernetes() -> None:
    job = job_of(KUBERNETES)
    assert job is not None
    assert (job.starter, job.index, job.count) == ("Kubernetes", 2, 4)
    assert job.coordinator == "train-0.train:61440"
    assert (expected_processes(KUBERNETES), expected_index(KUBERNETES)) == (4, 2)


@pytest.mark.parametrize("address", ["", "train-0", "train-0:http", ":61440"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="host:port"):
        job_of({**KUBERNETES, "DESCEND_COORDINATOR": address})


def test_a_number_beyond_the_job_is_refused() -> None:
    with pytest.raises(InputError, match=r"number 4 .counted from 0. of a job of 4"):
        job_of({**KUBERNETES, "JOB_COMPLETION_INDEX": "4"})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"DESCEND_PROCESSES": "two"},
            "DESCEND_PROCESSES must be a whole number from 1; found 'tw",
        ),
        ({"DESCEND_PROCESSES": "0"}, "DESCEND_PROCESSES must be a whole number from 1; found '0'"),
        ({"DESCEND_PROCESS": "-1"}, "DESCEND_PROCESS must be a whole number from 0; found '-1'"),
        ({"DESCEND_COORDINATOR": "host:99999"}, "as host:port, but found 'host:99999'"),
        ({"DESCEND_COORDINATOR": "host:0"}, "as host:port, but found 'host:0'"),
    ],
)
def test_values_that_make_no_sense(changed: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        job_of(KUBERNETES | changed)


def test_a_process_without_a_number() -> None:
    with pytest.raises(InputError, match="Set DESCEND_PROCESS in each, from 0 to 1"):
        job_of({"DESCEND_PROCESSES": "2", "DESCEND_COORDINATOR": "host:61440"})


def test_torchrun_is_told_what_to_set() -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1"}
    with pytest.raises(InputError, match=r"DESCEND_PROCESSES=\$WORLD_SIZE, DESCEND_PROCESS=\$RANK"):
        job_of(torchrun)
    assert job_of(torchrun | {"WORLD_SIZE": "1"}) is None
    own = {"DESCEND_PROCESSES": "2", "DESCEND_PROCESS": "1", "DESCEND_COORDINATOR": "host:61440"}
    assert job_of(torchrun | own) is not None
