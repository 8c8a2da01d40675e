"""A disk that really fills: each part of a run ends in one text and leaves nothing half written."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.commands.resume import resume
from descend.data import prepare
from descend.data.reading.open_table import open_table
from descend.data.rows.budget import Budget, divide
from descend.errors import DataError, InputError
from descend.reporting.progress import make_progress
from descend.runs.checkpoint import load_checkpoint, save_checkpoint
from descend.runtime.run import Options

SIZE = 8 << 20
OPTIONS = {"batch_size": 500, "learning_rate": 0.01, "hidden": (4,), "quiet": True, "epochs": 3}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.4 MB of text, 0.5 MB as numbers."""
    numbers = np.random.default_rng(0).normal(size=(40_000, 3))
    path = tmp_path_factory.mktemp("table") / "t.csv"
    rows = "".join(f"{a:.8f},{b:.8f},{a + b + c:.8f}\n" for a, b, c in numbers)
    path.write_text("a,b,y\n" + rows)
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def left_on(disk: Path) -> list[str]:
    """Files that are no locks."""
    return [path.name for path in disk.rglob("*") if path.is_file() and path.suffix != ".lock"]


def filled(disk: Path, room: int = 0) -> Path:
    """A file that leaves so little room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as sink:
        for _ in range((shutil.disk_usage(disk).free - room) // 4096):
            sink.write(bytes(4096))
    return filler


def test_a_checkpoint_leaves_the_one_before(disk: Path) -> None:
    filled(disk, room=900_000)
    save_checkpoint(disk, 0, {"w": np.zeros(100_000, np.float32)}, {"at": 0})
    with pytest.raises(InputError, match="disk is full"):
        save_checkpoint(disk, 1, {"w": np.zeros(200_000, np.float32)}, {"at": 1})
    saved = load_checkpoint(disk)
    assert saved is not None
    assert saved[1] == {"at": 0}
    assert not list(disk.glob(".*part"))


def test_too_little_room_for_a_store_is_said_before_it_is_written(
    disk: Path, table: Path, tmp_path: Path
) -> None:
    filled(disk, room=300_000)
    with pytest.raises(DataError, match=r"It needs [\d,]+ bytes; [\d,]+ are free"):
        descend.train(
            str(table), target="y", store=str(disk / "s"), out=tmp_path / "run", **OPTIONS
        )
    assert left_on(disk) == ["filler"]


def test_room_that_vanishes_while_a_store_is_written(
    disk: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(disk, room=300_000)
    usage = shutil.disk_usage(disk)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 30))
    with pytest.raises(DataError, match=r"disk is too full.*store"):
        descend.train(
            str(table), target="y", store=str(disk / "s"), out=tmp_path / "run", **OPTIONS
        )
    assert left_on(disk) == ["filler"]


def test_room_that_vanishes_while_text_is_copied(
    disk: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def little(memory: int | None) -> Budget:
        return dataclasses.replace(divide(memory), reading=5_000_000)

    filled(disk, room=100_000)
    usage = shutil.disk_usage(disk)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 30))
    monkeypatch.setattr(prepare, "open_table", lambda data, **_: open_table(data))
    monkeypatch.setattr(prepare, "keep_to", little)
    with pytest.raises(DataError, match=r"disk is too full to read .*t.csv"):
        descend.train(
            str(table), target="y", store=str(disk / "s"), out=tmp_path / "run", **OPTIONS
        )
    assert left_on(disk) == ["filler"]


@pytest.mark.slow
def test_a_run_goes_on_when_there_is_room_again(disk: Path, table: Path, tmp_path: Path) -> None:
    descend.train(str(table), target="y", out=tmp_path / "whole", **OPTIONS)
    model = (tmp_path / "whole" / "model.safetensors").read_bytes()
    out = disk / "run"
    descend.train(str(table), target="y", out=out, **OPTIONS)
    (out / "report.html").unlink()
    filler = filled(disk)
    with pytest.raises(InputError, match="disk is full"):
        resume(out, Options(make_progress("silent")))
    assert load_checkpoint(out / "checkpoint") is not None
    assert not list(out.rglob(".*part"))
    filler.unlink()
    resume(out, Options(make_progress("silent")))
    assert (out / "model.safetensors").read_bytes() == model


@pytest.mark.slow
def test_predictions_that_do_not_fit_leave_no_file(disk: Path, table: Path, tmp_path: Path) -> None:
    run = descend.train(str(table), target="y", out=tmp_path / "run", **OPTIONS)
    filled(disk)
    with pytest.raises(InputError, match="disk is full"):
        descend.predict(run.model, str(table), disk / "p.csv")
    assert left_on(disk) == ["filler"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_one_text(table: Path) -> None:
    command = [sys.executable, "-m", "descend", "inspect", str(table)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    # A slow machine says "Reading ..." first.
    [said] = [line for line in done.stderr.splitlines() if not line.endswith(b" ...")]
    assert said.startswith(b"descend: the output cannot be written: No space left")
