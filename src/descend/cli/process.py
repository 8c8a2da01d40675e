"""The command line as a process: signals, closed pipes, errors as one text, an exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from descend.errors import DescendError

NO_MEMORY = (
    "the system refused memory. Type a bound with --memory 2GiB, which reads the rows from disk, "
    "or a smaller --batch-size; or end other programs."
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
LONGEST_IMPORT = 1.0
"""Seconds that Ctrl-C waits for the end of an import."""


class _Signals:
    """Ctrl-C and SIGTERM outside training end the program, cleaning up on the way."""

    def __init__(self) -> None:
        self.came = False
        self._first = 0.0
        sys.unraisablehook = self._again
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.perf_counter()
        self._first = self._first if self.came else now
        self.came = True
        if not _importing(frame):
            raise KeyboardInterrupt
        # Libraries turn an error during their import into others, or print it themselves.
        if now - self._first < LONGEST_IMPORT:
            _send_again(number)
            return
        os.write(2, b"descend: stopped.\n")
        os._exit(130)

    def _again(self, lost: Any) -> None:
        """Ctrl-C that fell into a callback, where Python drops errors, comes once more."""
        if self.came and issubclass(lost.exc_type, KeyboardInterrupt):
            _send_again(signal.SIGINT)
        else:
            sys.__unraisablehook__(lost)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    import threading

    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


def run_command_line(command: Callable[[], object], *, debug: bool = False) -> None:
    """Run a command and end the process: every error of ours is one short text and a status."""
    signals = _Signals()
    try:
        status = _written(command)
        if signals.came:
            status = _told("stopped.", 130)
    except DescendError as error:
        if debug:
            raise
        status = _told(str(error), error.exit_status)
    except KeyboardInterrupt:
        status = _told("stopped.", 130)
    except BrokenPipeError:
        # Whoever reads our output has enough. A shell shows this status for other programs, too.
        _print_no_more()
        status = 128 + signal.SIGPIPE
    except MemoryError:
        status = _told(NO_MEMORY, 2)
    except Exception as error:
        # A library may turn Ctrl-C into an error of its own, NumPy does while it is imported.
        if signals.came:
            status = _told("stopped.", 130)
        elif debug:
            raise
        elif "RESOURCE_EXHAUSTED" in str(error):  # As JAX says it.
            status = _told(NO_MEMORY, 2)
        elif isinstance(error, OSError) and error.errno in _FULL:
            status = _told(f"the output cannot be written: {error.strerror}.", 2)
            _print_no_more()
        else:
            status = _told(
                f"a defect of ours: {type(error).__name__}: {error}\n"
                "Run again with --debug and report what it prints.",
                1,
            )
    sys.exit(status)


def _written(command: Callable[[], object]) -> int:
    """Run a command until all that it printed is written, and return its exit status."""
    status = 0
    try:
        command()
    except SystemExit as ended:
        # The library that reads the arguments ends the program when a pipe is closed.
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        status = ended.code if isinstance(ended.code, int) else 0
    if sys.stdout is not None:
        sys.stdout.flush()
    return status


def _print_no_more() -> None:
    """Let what is still to be printed go nowhere: Python writes it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())


def _told(text: str, status: int) -> int:
    print(f"descend: {text}", file=sys.stderr)
    return status
