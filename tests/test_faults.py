"""What goes wrong around a run ends in one text, with the last checkpoint intact."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import descend
from descend.data import prepare
from descend.data.columns.schema import Schema
from descend.data.reading.table import Table
from descend.errors import DataError, FileFormatError, InputError
from descend.jobs.resume import resume
from descend.reporting.progress import make_progress
from descend.runs.checkpoint import SLOTS, load_checkpoint, save_checkpoint
from descend.runs.run import open_run

OPTIONS = {"batch_size": 50, "learning_rate": 0.01, "hidden": (4,), "quiet": True}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0).normal(size=(500, 2))
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{a:.4f},{a + b:.4f}\n" for a, b in numbers))
    return path


@pytest.fixture
def run(table: Path, tmp_path: Path) -> Path:
    out = tmp_path / "run"
    descend.train(str(table), target="y", out=out, epochs=12, **OPTIONS)
    return out


def again(run: Path) -> None:
    resume(run, progress=make_progress("silent"))


def test_a_finished_run_resumed_twice_is_the_same(run: Path) -> None:
    model, history = (run / "model.safetensors").read_bytes(), (run / "history.csv").read_bytes()
    for _ in range(2):
        again(run)
        assert (run / "model.safetensors").read_bytes() == model
        assert (run / "history.csv").read_bytes() == history


def test_history_that_is_missing_comes_from_the_checkpoint(run: Path) -> None:
    whole = (run / "history.csv").read_bytes()
    (run / "history.csv").unlink()
    again(run)
    assert (run / "history.csv").read_bytes() == whole


def test_a_damaged_checkpoint_falls_back_to_the_one_before(run: Path) -> None:
    model = (run / "model.safetensors").read_bytes()
    slots = [run / "checkpoint" / slot for slot in SLOTS]
    newest = max((slot for slot in slots if slot.exists()), key=lambda slot: slot.stat().st_mtime)
    newest.write_bytes(newest.read_bytes()[:100])
    again(run)
    assert (run / "model.safetensors").read_bytes() == model
    for slot in slots:
        slot.write_bytes(b"")
    with pytest.raises(FileFormatError, match="--force"):
        again(run)


def test_a_source_that_changed_or_is_gone_is_named(run: Path, table: Path) -> None:
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"\n", len(whole) // 2) + 1])
    with pytest.raises(DataError, match=r"changed since: .* was .*, is"):
        again(run)
    table.unlink()
    with pytest.raises(DataError, match="There is no file"):
        again(run)
    assert load_checkpoint(run / "checkpoint") is not None


def test_a_damaged_record_is_named(run: Path) -> None:
    record = run / "run.json"
    whole = record.read_text()
    for text in ("", "{", "[]", whole[: len(whole) // 2], "{}", whole.replace('"schema"', '"s"')):
        record.write_text(text)
        with pytest.raises(FileFormatError, match="damaged"):
            again(run)
    record.write_text(whole.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(FileFormatError, match="altered"):
        again(run)


def test_a_run_that_another_process_writes_to_is_refused(run: Path) -> None:
    with open_run(run), pytest.raises(InputError, match="Another descend"):
        again(run)


def test_a_full_disk_leaves_the_last_checkpoint(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_checkpoint(run / "checkpoint")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="disk is full"):
        again(run)
    monkeypatch.undo()
    after = load_checkpoint(run / "checkpoint")
    assert before is not None
    assert after is not None
    assert all(np.array_equal(before[0][name], after[0][name]) for name in before[0])
    assert not list(run.rglob("*.part"))


def test_a_small_disk_that_really_fills(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.call(mount, stderr=-3):
        pytest.skip("no file system can be mounted here")
    try:
        save_checkpoint(disk, 0, {"w": np.zeros(100_000, np.float32)}, {"at": 0})
        with pytest.raises(InputError, match="disk is full"):
            save_checkpoint(disk, 1, {"w": np.zeros(200_000, np.float32)}, {"at": 1})
        saved = load_checkpoint(disk)
        assert saved is not None
        assert saved[1] == {"at": 0}
        assert not list(disk.glob(".*.part"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_source_cut_while_it_is_read_is_named(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = prepare.learn_schema

    def cut_afterwards(*args: Any, **options: Any) -> Schema:
        schema = learn(*args, **options)
        table.write_bytes(table.read_bytes()[:3000])
        return schema

    @contextmanager
    def uncopied(read: Table, *args: Any, **options: Any) -> Iterator[Table]:
        yield read

    monkeypatch.setattr(prepare, "learn_schema", cut_afterwards)
    monkeypatch.setattr(prepare, "staged", uncopied)
    out = tmp_path / "cut"
    with pytest.raises(DataError, match="changed while it was read"):
        descend.train(str(table), target="y", out=out, epochs=1, **OPTIONS)
    assert not out.exists()


def test_output_that_nobody_reads_to_the_end(run: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    long.write_text("a\n" + "0.5\n" * 200_000)
    command = [sys.executable, "-m", "descend", "predict", str(run), str(long)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b'"y"\n'
        process.stdout.close()
        error = process.stderr.read()
    assert error == b""


def test_nothing_is_decided_by_the_clock_on_the_wall() -> None:
    for path in Path(descend.__file__).parent.rglob("*.py"):
        if path.name != "tensorboard.py":  # Its files tell the time of day.
            assert "time.time(" not in path.read_text(), path


@pytest.mark.slow
def test_ctrl_c_at_any_moment_ends_within_two_seconds(table: Path, tmp_path: Path) -> None:
    dice = random.Random(1)
    words = ["train", str(table), "--target", "y", "--batch-size", "1", "--learning-rate", "1e-4"]
    words += ["--patience", "1000000"]  # It does not end by itself.
    for number in range(6):
        out = tmp_path / f"run-{number}"
        command = [sys.executable, "-m", "descend", *words, "--out", str(out), "--quiet"]
        with subprocess.Popen(command, stdout=-1, stderr=subprocess.PIPE) as process:
            time.sleep(dice.uniform(0.2, 4.0))
            began = time.perf_counter()
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=30)[1].decode()
        assert "Traceback" not in error
        assert process.returncode in (130, -signal.SIGINT), error
        # Two seconds on a machine that does nothing else; tests share theirs.
        assert time.perf_counter() - began < 6
