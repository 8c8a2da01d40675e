"""Signals while the main thread is inside a library."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
