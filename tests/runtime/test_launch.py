"""Several real processes on this machine: one result, and nothing lost when one of them dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import descend
from descend.errors import LostProcessError
from descend.runtime.launch import launch
from descend.training.processes.watch import SLOW

pytestmark = pytest.mark.slow

TRAIN = ["--target", "count", "--batch-size", "10", "--learning-rate", "0.02"]
TRAIN += ["--model", "mlp", "--hidden", "8"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with weights; their number is no multiple of the batch size."""
    random = np.random.default_rng(0)
    x, weight = random.normal(size=(123, 2)), random.integers(1, 4, 123)
    lines = [f"{a},{b},{w},{a - 2 * b}" for (a, b), w in zip(x, weight, strict=True)]
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("\n".join(["a,b,w,count", *lines]))
    return path


def train(table: Path, out: Path, processes: int, *options: str) -> subprocess.Popen[str]:
    """`descend train` in some processes, started."""
    command = [sys.executable, "-m", "descend", "train", str(table), *TRAIN, *options]
    return subprocess.Popen(
        [*command, "--out", str(out), "--quiet", "--processes", str(processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_history(started: subprocess.Popen[str], run: Path) -> Path:
    """The history of a run, once a few lines of it are written or the run has ended."""
    history = run / "history.csv"
    while started.poll() is None and not (history.exists() and history.stat().st_size > 400):
        time.sleep(0.01)
    return history


def weights(run: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(descend.load_model(run).params)]


def test_no_process_compiles_its_updates_twice(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    kept = []
    for run in ("one", "two"):
        started = train(table, tmp_path / run, 2, "--epochs", "1")
        assert started.wait(timeout=300) == 0
        kept.append(sorted(path.name for path in programs.glob("jit_*-cache")))
    assert sum(name.startswith("jit_loops-") for name in kept[0]) == 2, "one of each process"
    assert kept[1] == kept[0]


def test_the_result_is_that_of_one_process(table: Path, tmp_path: Path) -> None:
    options = ("--weight", "w", "--optimizer", "adamw", "--l2", "0.01")
    counts = {"one": 1, "two": 2, "two again": 2, "four": 4}
    for name, count in counts.items():
        started = train(table, tmp_path / name, count, "--epochs", "4", "--json", *options)
        printed, said = started.communicate(timeout=300)
        assert started.returncode == 0, said
        # Nothing but the record is printed, once.
        assert json.loads(printed)["processes"] == count
    one = weights(tmp_path / "one")
    for name in ("two", "four"):
        for expected, found in zip(one, weights(tmp_path / name), strict=True):
            assert found == pytest.approx(expected, abs=2e-5)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in counts]
    assert models[1] == models[2]


@pytest.mark.parametrize("options", [(), ("--sync-every=auto", "--share-rows=yes")], ids=str)
def test_a_lost_process_ends_the_job_and_the_run_goes_on(
    table: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    epochs = ("--epochs", "150", "--patience", "1000")
    run = tmp_path / "run"
    started = train(table, run, 2, *epochs, *options)
    wait_for_history(started, run)
    second = _children(started.pid)[1]
    os.kill(second, signal.SIGKILL)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 128 + signal.SIGKILL
    assert (
        said.strip().splitlines()[-1].startswith("descend: Process 1 of 2 was killed by signal 9")
    )
    shutil.copytree(run, tmp_path / "other")
    resume_run(run, 2)
    # What `auto` found by the clock is kept when the run goes on.
    found = json.loads((run / "run.json").read_text())["settings"]["sync_every"]
    kept = [option.replace("auto", str(found)) for option in options]
    whole = train(table, tmp_path / "whole", 2, *epochs, *kept)
    assert whole.wait(300) == 0
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert same[0] == same[1]
    said = resume_run(tmp_path / "other", 1)
    assert " ".join(said.split()).lower().count("its bytes will differ") == 1


def resume_run(run: Path, processes: int) -> str:
    """What `descend resume` says."""
    command = [sys.executable, "-m", "descend", "resume", str(run), "--processes", str(processes)]
    done = subprocess.run(command, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_interrupt_of_the_starter_alone_reaches_all(table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    started = train(table, run, 2, "--epochs", "100000", "--patience", "100000")
    wait_for_history(started, run)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130
    assert "everything is saved" in said


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_process_is_named(
    table: Path, tmp_path: Path, frozen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCEND_DEADLINE", "6")
    run = tmp_path / "run"
    started = train(table, run, 2, "--epochs", "100000", "--patience", "100000")
    wait_for_history(started, run)
    os.kill(_children(started.pid)[frozen], signal.SIGSTOP)
    _, said = started.communicate(timeout=120)
    assert started.returncode == LostProcessError.exit_status
    last = said.strip().splitlines()[-1]
    assert last.startswith(f"descend: Process {frozen} ")
    assert "says nothing any more (for 6 seconds)" in last


def test_a_process_that_stands_still_for_a_while_is_named_and_the_run_goes_on(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESCEND_DEADLINE", "150")
    run = tmp_path / "run"
    started = train(table, run, 2, "--epochs", "100000", "--patience", "100000")
    history = wait_for_history(started, run)
    second = _children(started.pid)[1]
    os.kill(second, signal.SIGSTOP)
    time.sleep(SLOW + 20)
    os.kill(second, signal.SIGCONT)
    before = history.stat().st_size
    while started.poll() is None and history.stat().st_size < before + 100:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "Process 1 on " in said
    assert "is behind the others, at " in said


def test_rows_that_are_shared_out(table: Path, tmp_path: Path) -> None:
    options = ("--share-rows", "yes", "--weight", "w", "--store", str(tmp_path / "stores"))
    for name in ("run", "again"):
        started = train(table, tmp_path / name, 2, "--epochs", "12", *options)
        _, said = started.communicate(timeout=300)
        assert started.returncode == 0, said
    one = tmp_path / "one"
    assert train(table, one, 1, "--epochs", "12", "--weight", "w").wait(300) == 0
    runs = [tmp_path / "run", tmp_path / "again", one]
    records = [json.loads((run / "run.json").read_text()) for run in runs]
    assert records[0]["schema"] == records[2]["schema"]
    assert records[0]["data"]["layout"]["processes"] == 2
    assert len([path for path in (tmp_path / "stores").iterdir() if path.is_dir()]) == 2
    models = [(run / "model.safetensors").read_bytes() for run in runs]
    assert models[0] == models[1]
    # Another order of the rows, and no other result: the target is a sum of two columns.
    losses = [record["result"]["metrics"]["model"]["rmse"] for record in records]
    assert losses[0] == pytest.approx(losses[2], abs=0.2)


def test_gradient_descent_over_text_that_is_shared_out_is_that_of_one_process(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(4)
    x, kind = random.normal(size=150), ["'a,\n\nb'", "c", "'say so'"]
    lines = [f"{one},{kind[row % 3]},{one * (row % 3)}" for row, one in enumerate(x)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["x,kind,count", *lines]).replace("'", '"'))
    # A batch of all rows has the same rows in every order.
    options = ("--batch-size", "all", "--epochs", "8", "--share-rows", "yes")
    for count in (1, 4):
        started = train(table, tmp_path / str(count), count, *options)
        _, said = started.communicate(timeout=300)
        assert started.returncode == 0, said
    one, four = weights(tmp_path / "1"), weights(tmp_path / "4")
    for expected, found in zip(one, four, strict=True):
        assert found == pytest.approx(expected, abs=2e-5)


def _children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(one) for one in path.read_text().split()]


def test_a_mistake_is_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = ["train", str(tmp_path / "no.csv"), "--target", "y", "--quiet"]
    assert launch(2, missing) == 2
    assert capfd.readouterr().err.count("There is no file") == 1


def test_advice_on_processes(table: Path, tmp_path: Path) -> None:
    small = ["--model", "mlp", "--hidden", "8", "--batch-size", "16", "--learning-rate", "0.02"]
    command = [sys.executable, "-m", "descend", "advise", str(table), "--target", "count", *small]
    done = subprocess.run(
        [*command, "--processes", "2,512", "--json", "--quiet", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["processes"]
    by_count = {job["processes"]: job for job in found["jobs"]}
    assert (by_count[1]["batch_size"], by_count[1]["time"]) == (16, 1.0)
    assert by_count[512]["extrapolated"]
    assert not by_count[1]["extrapolated"]
    # Messages to 512 machines for 123 rows: nobody would. The time of 2 is measured, and depends on
    # what else the machine does.
    assert by_count[512]["time"] > by_count[1]["time"]
    assert found["advised"]["processes"] in (1, 2)
    assert json.loads((tmp_path / "out" / "advice.json").read_text())["processes"] == found
