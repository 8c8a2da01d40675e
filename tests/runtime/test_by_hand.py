"""Processes started one by one, as on machines of their own: what differs, and what is lost."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from descend.runtime.launch import free_port

pytestmark = pytest.mark.slow

TRAIN = ["train", "t.csv", "--target", "y", "--model", "mlp", "--hidden", "8", "--quiet"]
TRAIN += ["--batch-size", "16", "--learning-rate", "0.02", "--out", "run"]


LONG = ["--epochs", "150", "--patience", "1000"]
"""Enough to be killed meanwhile."""


@pytest.fixture
def machines(tmp_path: Path) -> list[Path]:
    return machines_in(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of a long run that is not disturbed."""
    folders = machines_in(tmp_path_factory.mktemp("undisturbed"))
    statuses, said = ended(begun(folders, [*TRAIN, *LONG]))
    assert statuses == [0, 0], said
    return (folders[0] / "run" / "model.safetensors").read_bytes()


def machines_in(parent: Path) -> list[Path]:
    """Two folders with a copy of the table each, made at different times."""
    random = np.random.default_rng(0)
    lines = [f"{a},{b},{a - 2 * b}" for a, b in random.normal(size=(300, 2))]
    folders = [parent / "first", parent / "second"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "t.csv").write_text("\n".join(["a,b,y", *lines]))
        os.utime(folder / "t.csv", (1e9 + number, 1e9 + number))
    return folders


def begun(
    folders: Sequence[Path],
    command: Sequence[str] | Sequence[Sequence[str]],
    *environments: Mapping[str, str],
) -> list[subprocess.Popen[str]]:
    """A process in each folder, started by hand, with one command or with one for each."""
    address, started = f"127.0.0.1:{free_port()}", []
    for index, folder in enumerate(folders):
        environment = os.environ | {
            "DESCEND_PROCESSES": str(len(folders)),
            "DESCEND_PROCESS": str(index),
            "DESCEND_COORDINATOR": address,
        }
        environment |= environments[index] if environments else {}
        words = command if isinstance(command[0], str) else command[index]
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "descend", *map(str, words)],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def ended(started: Sequence[subprocess.Popen[str]]) -> tuple[list[int], list[str]]:
    """The exit statuses of the processes, and what they said."""
    try:
        said = [one.communicate(timeout=300)[1] for one in started]
    finally:
        for one in started:
            one.kill()
    return [one.returncode for one in started], said


@pytest.mark.parametrize("killed", [0, 1])
def test_a_machine_that_is_lost_and_comes_back(
    killed: int, machines: list[Path], undisturbed: bytes
) -> None:
    """Nothing is shared but the address: the run is in the folder of process 0 alone."""
    run = machines[0] / "run"
    started = begun(machines, [*TRAIN, *LONG])
    history = run / "history.csv"
    while started[0].poll() is None and not (history.exists() and history.stat().st_size > 800):
        time.sleep(0.01)
    started[killed].send_signal(signal.SIGKILL)
    statuses, said = ended(started)
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] == 130
    assert "Another process of this job ended" in said[1 - killed]
    assert not (run / "model.safetensors").exists()
    # An old copy of the run there counts for nothing.
    shutil.copytree(run, machines[1] / "run")
    shutil.rmtree(machines[1] / "run" / "checkpoint")
    statuses, said = ended(begun(machines, ["resume", "run", "--quiet"]))
    assert statuses == [0, 0], said
    assert (run / "model.safetensors").read_bytes() == undisturbed


@pytest.mark.skipif(platform.machine() != "x86_64", reason="an option for these processors")
def test_machines_with_other_processors_keep_the_same_weights(machines: list[Path]) -> None:
    """They round differently. A run ends where the weights of its processes part."""
    older = {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}
    models = []
    for _ in range(2):
        shutil.rmtree(machines[0] / "run", ignore_errors=True)
        statuses, said = ended(begun(machines, [*TRAIN, "--epochs", "5"], {}, older))
        assert statuses == [0, 0], said
        models.append((machines[0] / "run" / "model.safetensors").read_bytes())
    assert models[0] == models[1]


PROGRAM = """
import jax.numpy as jnp, numpy as np
import descend

X = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
model = (lambda key: jnp.ones((2, 1)), lambda params, x: x @ params)
loss = lambda outputs, y: {loss}(outputs - y)[:, 0]
descend.fit(model, (X, X[:, :1]), loss=loss, batch_size=10, learning_rate=0.02, epochs=1)
"""


def test_an_older_program_on_a_machine_is_refused(machines: list[Path]) -> None:
    for folder, loss in zip(machines, ("jnp.square", "jnp.abs"), strict=True):
        (folder / "program.py").write_text(PROGRAM.format(loss=loss))
    _, said = ended(begun(machines, ["run", "program.py"]))
    for one in said:
        assert "Process 1 differs from process 0 in its model, loss or penalty" in one


@pytest.mark.parametrize(
    ("second", "more", "message"),
    [
        (["--l2", "0.5"], {}, "Process 1 differs from process 0 in --l2: 0.5 there, 0"),
        ([], {"JAX_ENABLE_X64": "1"}, "in JAX's option jax_enable_x64: True there, False"),
    ],
)
def test_machines_that_were_started_otherwise(
    second: list[str], more: dict[str, str], message: str, machines: list[Path]
) -> None:
    train = [*TRAIN, "--epochs", "2"]
    statuses, said = ended(begun(machines, [train, [*train, *second]], {}, more))
    assert statuses == [2, 2]
    for one in said:
        assert message in one


def test_a_port_in_use(machines: list[Path]) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        address = f"127.0.0.1:{one.getsockname()[1]}"
        wrong = {"DESCEND_PROCESSES": "2", "DESCEND_COORDINATOR": address}
        (status,), (said,) = ended(begun(machines[:1], TRAIN, wrong))
    assert status == 2
    assert "another program listens at" in said
