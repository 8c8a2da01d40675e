"""What is said while a run trains, and when."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Callable

import pytest

from descend.errors import DataWarning
from descend.reporting.progress import (
    SECONDS_BETWEEN_LINES,
    SECONDS_WITHOUT_LINE,
    BarProgress,
    LineProgress,
    Pace,
    SilentProgress,
    make_progress,
    progress_for,
)
from descend.types import HistoryLine


class Clock:
    """Goes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def evaluation(update: int, validation_loss: float = 0.5) -> HistoryLine:
    return HistoryLine(
        update, update / 10, update * 32, 1.0, float("nan"), validation_loss, 32, 0.1
    )


def test_lines_are_some_seconds_apart() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = LineProgress(stream, clock)
    with progress.open(10, 320):
        for update in range(1, 101):
            clock.now += SECONDS_BETWEEN_LINES / 10
            progress.evaluated(evaluation(update))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("epoch 0.1 · loss — · validation loss 0.5")


def test_a_long_epoch_is_not_silent() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = LineProgress(stream, clock)
    with progress.open(2, 1000):
        for chunk in range(1, 31):
            clock.now += 1.0
            progress.update(0, 10 * chunk, 0.25)
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 30 / (SECONDS_WITHOUT_LINE - SECONDS_BETWEEN_LINES)
    assert lines[-1].startswith("epoch 0.2")
    assert "loss 0.25" in lines[-1]
    assert "rows/s" in lines[-1]


def test_the_pace_counts_from_where_a_resumed_run_began() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin(epochs=10, rows=1000)
    pace.start(5000)
    assert pace.text(5000) == ""
    clock.now = 10.0
    assert pace.text(6000) == "0:10 elapsed · 0:40 left at most · 100 rows/s"
    pace.begin(epochs=None, rows=1000)
    pace.start(0)
    clock.now = 20.0
    assert pace.text(1000) == "0:10 elapsed · 100 rows/s"


def test_the_pace_leaves_out_the_time_before_the_first_updates() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin(epochs=10, rows=1000)
    clock.now = 30.0  # Compiling.
    pace.start(1000)
    clock.now = 40.0
    pace.start(2000)
    assert pace.text(2000) == "0:40 elapsed · 1:20 left at most · 100 rows/s"


def test_the_bar_shows_loss_and_pace_without_wearing_out_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    clock = Clock()
    progress = BarProgress(clock)
    with progress.open(4, 1000):
        progress.evaluated(evaluation(1, 0.75))
        for chunk in range(1, 1001):
            clock.now += 0.001
            progress.update(0, chunk, 0.25)
        progress.message("[red]said[/red] while it is drawn")
        clock.now += 9.0
        progress.update(4, 4000, 0.25)
    text = stream.getvalue()
    assert "epoch 1/4" in text
    assert "loss 0.25" in text
    assert "validation loss 0.75" in text
    assert "[red]said[/red]" in text
    assert text.count("epoch 1/4") <= 20
    assert "epoch 4/4" in text
    assert "epoch 5/4" not in text


def test_the_kind_of_progress_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress("silent"), SilentProgress)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_progress(), LineProgress)
    silent = SilentProgress()
    with silent.open(1, 1):
        silent.update(0, 1, 0.5)
        silent.evaluated(evaluation(1))
        silent.message("nobody hears this")
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_quiet_progress_warns_of_the_table_and_says_nothing_else() -> None:
    quiet = make_progress("quiet")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        quiet.message("Warning: a column of words")
        quiet.message("Reading the table ...")
        SilentProgress().message("Warning: told by the first process")
    assert [(one.category, str(one.message)) for one in said] == [
        (DataWarning, "a column of words")
    ]


def test_python_shows_progress_in_a_notebook_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert isinstance(progress_for(None), SilentProgress)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert not isinstance(progress_for(None), SilentProgress)
    assert isinstance(progress_for(True), SilentProgress)


def test_what_takes_long_is_told_in_logs_unless_a_line_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("descend.reporting.progress.SECONDS_WITHOUT_LINE", 0.02)
    stream = io.StringIO()
    progress = LineProgress(stream)
    with progress.doing("Reading the table"):
        _wait_for(stream.getvalue)
    assert stream.getvalue() == "Reading the table ...\n"
    monkeypatch.setattr("descend.reporting.progress.SECONDS_WITHOUT_LINE", 0.1)
    with progress.doing("Measuring"):
        progress.message("Measuring updates of 32 rows")
        time.sleep(0.2)
    with progress.doing("Assessing"):
        pass
    time.sleep(0.2)
    assert stream.getvalue().splitlines()[1:] == ["Measuring updates of 32 rows"]


def test_a_terminal_shows_what_is_being_done_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    progress = BarProgress()
    progress._console.file = stream
    with progress.doing("Reading the table"):
        _wait_for(lambda: "Reading the table" in stream.getvalue())
        progress.message("32 rows left out")
    with progress.open(4, 100):
        assert "Compiling the updates" in stream.getvalue()
        before = len(stream.getvalue())
        # A sign moves, however long that takes.
        _wait_for(lambda: len(stream.getvalue()) > before)
        assert len(stream.getvalue()) > before
    assert "32 rows left out" in stream.getvalue()


def _wait_for(seen: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not seen() and time.monotonic() < end:
        time.sleep(0.005)
