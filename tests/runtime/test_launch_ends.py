"""Which of several processes is named once one has failed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

import pytest

from descend.runtime import launch

ABORT, LATER = "kill -ABRT $$", "sleep 0.3; "
LOSES = f"exit {launch.LOST}"


def status_of(commands: Sequence[str]) -> int:
    processes = [subprocess.Popen(["sh", "-c", one]) for one in commands]
    return launch._wait(processes, [])


def test_who_is_aborted_for_want_of_process_0_is_not_the_one_that_failed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Process 1 hangs; process 0 has named it, and its end aborts the last one.
    assert status_of([LOSES, LATER + LOSES, LATER + ABORT]) == launch.LOST
    assert "killed by signal" not in capfd.readouterr().err


def test_who_was_aborted_first_is_the_one_that_failed(capfd: pytest.CaptureFixture[str]) -> None:
    # The texts of process 1 are none here: it was killed.
    assert status_of([LATER + LOSES, ABORT]) == 128 + signal.SIGABRT
    assert "Process 1 of 2 was killed by signal 6" in capfd.readouterr().err
