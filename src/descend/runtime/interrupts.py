"""Ctrl-C and SIGTERM as a request that the loop asks about, so that all is saved first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from descend.training.callback import Callback
from descend.types import StopReason

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest(Callback):
    """Asks the run to stop where the user pressed Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note the request; a second Ctrl-C does not wait."""
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def stop_requested(self) -> StopReason | None:
        """Whether Ctrl-C was pressed, or the process was asked to end."""
        return StopReason.INTERRUPTED if self.asked else None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within this block the signals set the request instead of ending the process.

    Outside the main thread, where Python delivers no signals, the request stays unset.
    """
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop_request
        return
    before = {number: signal.signal(number, stop_request) for number in SIGNALS}
    try:
        yield stop_request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
