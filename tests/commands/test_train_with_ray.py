"""Training in the processes of a real Ray cluster on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.commands.train_with_ray import train_with_ray
from descend.errors import InputError, LostProcessError
from descend.runtime.launch import free_port
from descend.settings import Settings

RAY_ENVIRONMENT = os.environ | {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
HAS_RAY = importlib.util.find_spec("ray") is not None

PROGRAM = """
import sys
import numpy as np
import descend.ray

options = dict(model="mlp", hidden=(4,), batch_size=16, learning_rate=0.02, epochs=3)
run = descend.ray.train(
    sys.argv[1], target="y", processes=2, address="local", out=sys.argv[2], **options
)
print(run.record["processes"], *run.model.predict(sys.argv[1])[:5].ravel())
try:
    descend.ray.train(sys.argv[1], target="no", processes=1, address="local")
except descend.InputError as error:
    print(error)
"""


def made_table(folder: Path) -> Path:
    """A table of two numbers and their linear target."""
    x = np.random.default_rng(0).normal(size=(103, 2))
    table = folder / "t.csv"
    table.write_text("\n".join(["a,b,y", *(f"{a},{b},{a - 2 * b}" for a, b in x)]))
    return table


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_what_to_type_where_ray_is_missing() -> None:
    with pytest.raises(InputError, match="pip install ray"):
        train_with_ray("t.csv", Settings("y"), processes=2)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed; pip install ray")
def test_two_processes_of_a_cluster_learn_what_one_learns(tmp_path: Path) -> None:
    table = made_table(tmp_path)
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(table), str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=RAY_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures, error = done.stdout.strip().split("\n", 1)
    count, *predicted = figures.split()
    assert count == "2"
    options = {"model": "mlp", "hidden": (4,), "batch_size": 16, "learning_rate": 0.02}
    one = descend.train(table, target="y", epochs=3, **options)  # type: ignore[arg-type]
    assert np.array(predicted, float) == pytest.approx(one.model.predict(table)[:5], abs=1e-4)
    assert (out / "model.safetensors").exists()
    assert "no" in error


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed; pip install ray")
def test_the_command_line(tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "run"
    table.write_text("\n".join(["a,y", *(f"{one % 17},{2 * (one % 17)}" for one in range(60))]))
    train = [sys.executable, "-m", "descend", "train", str(table), "--target", "y", "--quiet"]
    train += ["--model", "linear", "--batch-size", "8", "--learning-rate", "0.05", "--epochs", "2"]
    done = subprocess.run(
        [*train, "--ray", "local", "--processes", "2", "--share-rows", "yes", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=RAY_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((out / "run.json").read_text())
    assert record["processes"] == record["data"]["layout"]["processes"] == 2


@contextmanager
def head_node() -> Iterator[str]:
    """The address of a cluster that `ray start --head` made on this machine, for two processes."""
    port = free_port()
    # Not in the folder of the test: names of sockets have a hundred bytes at most.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        command = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
        command += ["--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        started = subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), *command, "--include-dashboard=false"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=RAY_ENVIRONMENT,
            start_new_session=True,
        )
        try:
            assert started.stdout is not None
            said = ""
            while "--block" not in said:
                line = started.stdout.readline()
                assert line, said
                said += line
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(started.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                started.wait(30)
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed; pip install ray")
def test_a_worker_that_is_killed_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    table, run = made_table(tmp_path), tmp_path / "run"
    descend_ = [sys.executable, "-m", "descend"]
    train = [*descend_, "train", str(table), "--target", "y", "--model", "mlp", "--hidden", "4"]
    train += ["--batch-size", "16", "--learning-rate", "0.02", "--patience", "100000", "--quiet"]
    train += ["--epochs", "150", "--processes", "2"]
    subprocess.run([*train, "--out", str(tmp_path / "whole")], check=True, timeout=600)
    cluster = ["--ray", "local"]
    started = subprocess.Popen(
        [*train, "--out", str(run), *cluster],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=RAY_ENVIRONMENT,
    )
    history = run / "history.csv"
    while started.poll() is None and not (history.exists() and history.stat().st_size > 800):
        time.sleep(0.01)
    assert started.poll() is None, started.communicate()
    os.kill(workers_below(started.pid)[-1], signal.SIGKILL)
    _, said = started.communicate(timeout=120)
    assert started.returncode == LostProcessError.exit_status, said
    assert re.search("Process [01] of 2 ended; the others cannot go on", said)
    command = [*descend_, "resume", str(run), "--quiet", *cluster, "--processes", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env=RAY_ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # The bytes are those of processes that somebody else started, and nobody killed.
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert models[0] == models[1]


def workers_below(parent: int) -> list[int]:
    """The processes of our job that Ray started below another process."""
    below = [parent]
    for one in below:
        for thread in Path(f"/proc/{one}/task").iterdir():
            below += [int(child) for child in (thread / "children").read_text().split()]
    return [one for one in below if b"ray::Worker" in Path(f"/proc/{one}/cmdline").read_bytes()]


AT_ADDRESS = """
import sys
import descend, descend.ray

run = descend.ray.train(
    sys.argv[1], target="y", processes=2, address=sys.argv[2],
    model="mlp", hidden=(4,), batch_size=16, learning_rate=0.02, epochs=3,
)
print(*run.model.predict(sys.argv[1])[:5].ravel())
"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed; pip install ray")
def test_a_cluster_at_an_address(tmp_path: Path) -> None:
    table = made_table(tmp_path)
    options = ["--target", "y", "--model", "mlp", "--hidden", "4", "--epochs", "3"]
    options += ["--batch-size", "16", "--learning-rate", "0.02", "--quiet"]
    train = [sys.executable, "-m", "descend", "train", str(table), *options]

    def run(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=600, env=RAY_ENVIRONMENT
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    with head_node() as address:
        run(*train, "--ray", address, "--processes", "2", "--out", str(tmp_path / "ray"))
        printed = run(sys.executable, "-c", AT_ADDRESS, str(table), address)
    run(*train, "--out", str(tmp_path / "one"))
    assert json.loads((tmp_path / "ray" / "run.json").read_text())["processes"] == 2
    expected = descend.load_model(tmp_path / "one").predict(table)[:5].ravel()
    found = descend.load_model(tmp_path / "ray").predict(table)[:5].ravel()
    assert found == pytest.approx(expected, abs=2e-5)
    assert [float(one) for one in printed.split()] == pytest.approx(expected, abs=2e-5)
