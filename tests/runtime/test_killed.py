"""A run that was killed, or still goes, is told from run.json and history.csv."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from descend.commands.inspect import inspect
from descend.commands.report import report
from descend.errors import FileFormatError, InputError
from descend.reporting.text.records import inspection_text
from descend.runs.folder import create_run
from descend.runs.history import read_history
from descend.types import HistoryLine

LINES = [
    HistoryLine(0, 0.0, 0, 0.0, float("nan"), 2.5, 8, 0.1),
    HistoryLine(10, 0.5, 80, 0.25, 1.75, 1.5, 8, 0.1),
    HistoryLine(20, 1.0, 160, 0.5, 1.25, 1.0, 8, 0.1),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory whose process was killed in the middle of training."""
    folder = tmp_path_factory.mktemp("killed")
    numbers = np.random.default_rng(0).normal(size=(500, 2))
    (folder / "t.csv").write_text("a,y\n" + "".join(f"{a:.4f},{a + b:.4f}\n" for a, b in numbers))
    words = ["train", "t.csv", "--target", "y", "--batch-size", "10", "--learning-rate", "1e-3"]
    # It does not end by itself.
    words += ["--patience", "1000000", "--out", "run", "--quiet"]
    history = folder / "run" / "history.csv"
    with subprocess.Popen([sys.executable, "-m", "descend", *words], cwd=folder) as process:
        try:
            until = time.monotonic() + 120
            while not history.exists() or len(history.read_text().splitlines()) < 5:
                assert process.poll() is None, "it ended before it was killed"
                assert time.monotonic() < until, "nothing was written"
                time.sleep(0.02)
        finally:
            os.kill(process.pid, signal.SIGKILL)
    return folder / "run"


@pytest.mark.slow
def test_the_page_of_a_killed_run_shows_what_was_measured(killed: Path) -> None:
    assert not (killed / "report.html").exists()
    history = read_history(killed)
    assert len(history) >= 4
    assert [line.update for line in history] == sorted({line.update for line in history})
    page = report([killed]).read_text()
    assert "This run is not finished" in page
    assert f"{history[-1].validation_loss!r}"[:6] in page


@pytest.mark.slow
def test_inspect_says_how_far_a_killed_run_came(killed: Path) -> None:
    record = inspect(str(killed), None, exclude=(), categorical=())
    assert record["state"] == "interrupted"
    last = read_history(killed)[-1]
    assert record["progress"]["update"] == last.update
    text = inspection_text(record)
    assert f"{last.update:,} updates" in text
    assert f"{last.validation_loss:.4g}" in text
    assert f"descend resume {killed}" in text


def test_lines_are_appended_and_read_as_they_were(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "run") as folder:
        folder.write_history(LINES[:1])
        with folder.open_history() as sink:
            for line in LINES[1:]:
                folder.append_history(sink, line)
        appended = (tmp_path / "run" / "history.csv").read_bytes()
        folder.write_history(LINES)
        assert (tmp_path / "run" / "history.csv").read_bytes() == appended
    assert [repr(line) for line in read_history(tmp_path / "run")] == [repr(one) for one in LINES]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """Cut after any byte of its lines, the file gives those that are whole.

    The heading was written whole, with all that stood below it when the run began.
    """
    with create_run(tmp_path / "run", "run") as folder:
        folder.write_history(LINES)
    path = tmp_path / "run" / "history.csv"
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 1, len(whole) + 1):
        path.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n") - 1
        assert [line.update for line in read_history(tmp_path / "run")] == [0, 10, 20][:lines]


def test_a_line_that_is_damaged_elsewhere_is_an_error(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "run") as folder:
        folder.write_history(LINES)
    path = tmp_path / "run" / "history.csv"
    path.write_text(path.read_text().replace("10,0.5", "ten,0.5"))
    with pytest.raises(FileFormatError, match="damaged"):
        read_history(tmp_path / "run")
    path.unlink()
    with pytest.raises(InputError, match=r"no history.csv yet"):
        read_history(tmp_path / "run")
