"""What goes wrong around a run ends in one text, with the last checkpoint intact."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import random
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
from descend.commands.resume import resume
from descend.data import prepare
from descend.data.reading.table import Table
from descend.data.rows import write_store
from descend.data.rows.budget import Budget, divide
from descend.data.schema.learn import Schema
from descend.errors import DataError, FileFormatError, InputError
from descend.reporting.progress import make_progress
from descend.runs.checkpoint import SLOTS, load_checkpoint
from descend.runs.folder import open_run
from descend.runtime.run import Options

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
    resume(run, Options(make_progress("silent")))


@pytest.mark.slow
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
    with pytest.raises(FileFormatError, match="force=True"):
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
    assert not list(run.rglob("*part"))


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
    monkeypatch.setattr(prepare, "stage", uncopied)
    out = tmp_path / "cut"
    with pytest.raises(DataError, match="changed while it was read"):
        descend.train(str(table), target="y", out=out, epochs=1, **OPTIONS)
    assert not out.exists()


def test_a_clock_that_jumps_changes_nothing(
    run: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([0.0, 1e9, -1e9, 86_400.0])
    monkeypatch.setattr(time, "time", lambda: 1e9 + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e18 + 1e9 * next(jumps)))
    out = tmp_path / "jumping"
    descend.train(str(table), target="y", out=out, epochs=12, **OPTIONS)
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    os.utime(run / "checkpoint" / SLOTS[0], (2e9, 2e9))  # The files are from the future.
    again(run)
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_store_damaged_between_two_parts_of_a_run_is_made_anew(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def little(memory: int | None) -> Budget:
        return dataclasses.replace(divide(memory), table=2_000, window=3_000, validation=100)

    monkeypatch.setattr(prepare, "keep_to", little)
    monkeypatch.setattr(write_store, "PIECE_BYTES", 300)
    stores = tmp_path / "stores"
    options: dict[str, Any] = {"target": "y", "epochs": 12, "store": str(stores), **OPTIONS}
    whole, out = tmp_path / "whole", tmp_path / "out"
    descend.train(str(table), out=whole, **options)
    descend.train(str(table), out=out, **options)
    for slot in SLOTS[1:]:  # The first is from the beginning of the run.
        (out / "checkpoint" / slot).unlink(missing_ok=True)
    data = next(stores.rglob("training.numeric"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"piece \d+ of training.numeric was altered"):
        again(out)
    again(out)
    model = (whole / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == model
    assert (out / "history.csv").exists()


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
