"""Signals while the main thread is inside a library, and in programs that train."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import descend
from descend import MiniBatchRegressor
from descend.errors import InterruptedRunError
from descend.runtime import run
from descend.runtime.interrupts import INTERRUPTED, STOPPED

DEAF = """
import hashlib, threading
from descend.runtime import interrupts
interrupts.LONGEST_ENDING = 0.2
interrupts.Interrupts()
# From another thread: the main thread is within the library by then.
threading.Timer(0.5, print, ["begun"], {"flush": True}).start()
hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2_000_000_000)  # Looks at no signals.
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_library_that_looks_at_no_signals_is_not_waited_for(number: signal.Signals) -> None:
    command = [sys.executable, "-c", DEAF]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert said == STOPPED


X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
Y = X @ np.ones(2, np.float32)


def fit_own(out: Path | None = None, number: int | None = None) -> Any:
    def press(evaluation: Any) -> None:
        if number is not None and evaluation.epoch > 5:
            signal.raise_signal(number)

    model = (lambda key: np.zeros(2, np.float32), lambda params, x: x @ params)
    options: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.01, "epochs": 30}
    return descend.fit(model, (X, Y), callbacks=[press], out=out, **options)


def test_a_run_without_a_folder_is_not_taken_for_a_finished_one() -> None:
    with pytest.raises(InterruptedRunError, match='Nothing is saved; a run with out="runs/name"'):
        fit_own(number=signal.SIGINT)


def test_a_run_with_a_folder_is_saved_at_sigterm(tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError, match="everything is saved"):
        fit_own(tmp_path / "run", signal.SIGTERM)


class EndedError(Exception):
    pass


@pytest.fixture
def ends_at_sigterm() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise EndedError

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("ends_at_sigterm")
def test_a_program_that_trains_ends_at_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would without training: what follows must not take the model for a trained one."""
    with pytest.raises(EndedError):
        fit_own(number=signal.SIGTERM)
    train = run.fit

    def told_to_end(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return train(*arguments)

    monkeypatch.setattr(run, "fit", told_to_end)
    with pytest.raises(EndedError):
        MiniBatchRegressor(model="linear", max_epochs=2).fit(X, Y)
