"""Ctrl-C and SIGTERM: during a run a request to save and stop; at any other time the end.

However often the keys are pressed, a command ends with one text and the status 130. What cannot be
stopped at once (a library's import, a program that is being compiled, a query that is being
planned) is waited for a few seconds; then the process ends as it is. No file is half written then:
each is whole or not there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from descend.training.callback import Callback
from descend.types import StopReason

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CTRL_C = (signal.SIGINT,)
INTERRUPTED = 130
"""The exit status, as of programs that Ctrl-C ended."""
STOPPED = "descend: stopped.\n"
SECONDS_OF_ONE_WISH = 1.0
"""Pressed again within this time, Ctrl-C means what it meant before."""
LONGEST_IMPORT = 1.0
"""Seconds that Ctrl-C waits for the end of an import."""
LONGEST_ENDING = 5.0
"""Seconds that the clearing up may take after Ctrl-C."""


class StopRequest(Callback):
    """Asks the run to stop where the user pressed Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False
        self._asked_at = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the request; a second Ctrl-C after a while does not wait."""
        now = time.monotonic()
        if not self.asked:
            self.asked, self._asked_at = True, now
        elif number == signal.SIGINT and now - self._asked_at >= SECONDS_OF_ONE_WISH:
            raise KeyboardInterrupt

    def stop_requested(self) -> StopReason | None:
        """Whether Ctrl-C was pressed, or the process was asked to end."""
        return StopReason.INTERRUPTED if self.asked else None


@contextmanager
def stop_requests(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[StopRequest]:
    """Within this block the signals set the request instead of ending the process.

    Outside the main thread, where Python delivers no signals, the request stays unset.

    Args:
        signals: those that do so. SIGTERM is not among them where a run saves nothing: a program
            that went on after it would take a model for trained that is not.
    """
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop_request
        return
    before = {number: signal.signal(number, stop_request) for number in signals}
    try:
        yield stop_request
    finally:
        for number, handler in before.items():
            if stop_request.asked and isinstance(handler, Interrupts):
                handler.known = True
            signal.signal(number, handler)


class Interrupts:
    """The handler of a whole command, outside of training.

    Attributes:
        came: whether the command was interrupted here.
        known: whether the command is ending already, so that a further signal says nothing new.
        over: whether the command has ended, and its exit status is decided.
    """

    def __init__(self) -> None:
        self.came = self.known = self.over = False
        self._held_since: float | None = None
        self._heard = 0
        sys.unraisablehook = self._again
        for number in SIGNALS:
            signal.signal(number, self)
        self._watch()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """End the command: once, and not within an import."""
        self._heard += 1
        if self.over or self.known:
            return
        if not _is_importing(frame):
            self.came = self.known = True
            # Threads that compile or read may hold up the ending.
            _after(LONGEST_ENDING, self._end)
            raise KeyboardInterrupt
        # Libraries turn an error during their import into others, or print it themselves.
        now = time.monotonic()
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since >= LONGEST_IMPORT:
            self._end()
        _after(0.02, os.kill, os.getpid(), number)

    def _watch(self) -> None:
        """End the process where Python does not come to call the handler.

        While the main thread is inside a library that looks at no signals, for instance where
        DuckDB plans a query over thousands of columns, only this thread learns of them.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(reading,), daemon=True).start()

    def _listen(self, reading: int) -> None:
        while came := os.read(reading, 1):
            if came[0] in SIGNALS:
                _after(LONGEST_ENDING, self._end_unheard, came[0], self._heard)

    def _end_unheard(self, number: int, heard: int) -> None:
        handler: object = signal.getsignal(number)
        if self._heard == heard and handler is self:
            self._end()

    def _end(self) -> None:
        if not self.over:
            os.write(2, STOPPED.encode())
            os._exit(INTERRUPTED)

    def _again(self, lost: Any) -> None:
        """Ctrl-C that fell into a callback, where Python drops errors, comes once more."""
        if self.came and issubclass(lost.exc_type, KeyboardInterrupt):
            self.known = False
            _after(0.02, os.kill, os.getpid(), signal.SIGINT)
        else:
            sys.__unraisablehook__(lost)


def _after(seconds: float, act: Any, *arguments: Any) -> None:
    timer = threading.Timer(seconds, act, arguments)
    timer.daemon = True
    timer.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
