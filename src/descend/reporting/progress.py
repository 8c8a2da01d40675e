"""How a run goes, on stderr: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, final

from descend.types import HistoryLine

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

SECONDS_BETWEEN_DRAWINGS = 0.12
SECONDS_BETWEEN_LINES = 2.0
SECONDS_WITHOUT_LINE = 10.0
"""After so long a line is written between evaluations too."""


class Progress(ABC):
    """Who is told how a run goes."""

    @contextmanager
    def open(self, epochs: int | None, rows: int) -> Iterator[None]:
        """Show progress while the block runs.

        Args:
            epochs: most epochs, or None where only the stopping rule knows.
            rows: training rows of an epoch.
        """
        yield

    @abstractmethod
    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Called after every chunk; costs microseconds."""

    @abstractmethod
    def evaluated(self, line: HistoryLine) -> None:
        """Called after every evaluation."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Something that the user should read."""


@final
class SilentProgress(Progress):
    """Says nothing but what must be known."""

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Do nothing."""

    def evaluated(self, line: HistoryLine) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""


class Pace:
    """Rows per second and the time left, from what was seen so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._rows_before: int | None = None
        self._epochs: int | None = None
        self._rows = 1

    def begin(self, epochs: int | None, rows: int) -> None:
        """Start to count."""
        self._began = self._clock()
        self._epochs = epochs
        self._rows = max(1, rows)
        self._rows_before = None

    def text(self, examples: int) -> str:
        """Like `1,200,000 rows/s · 0:12 left`."""
        if self._rows_before is None:
            self._rows_before = examples
        seconds = self._clock() - self._began
        done = examples - self._rows_before
        if seconds <= 0 or done <= 0:
            return ""
        speed = done / seconds
        text = f"{speed:,.0f} rows/s"
        if self._epochs is not None:
            left = max(0.0, self._epochs * self._rows - examples) / speed
            text += f" · {_clock_time(left)} left at most"
        return text


@final
class LineProgress(Progress):
    """A plain line now and then, for logs and pipes."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._pace = Pace(clock)
        self._rows = 1
        self._next_line = -math.inf

    @contextmanager
    def open(self, epochs: int | None, rows: int) -> Iterator[None]:
        """Begin to count rows."""
        self._pace.begin(epochs, rows)
        self._rows = max(1, rows)
        self._next_line = self._clock()
        yield

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Write a line, if the last one is long ago."""
        if self._clock() < self._next_line + SECONDS_WITHOUT_LINE - SECONDS_BETWEEN_LINES:
            return
        parts = [f"epoch {examples / self._rows:.3g}"]
        if loss is not None:
            parts.append(f"loss {_number(loss)}")
        self._write(parts, examples)

    def evaluated(self, line: HistoryLine) -> None:
        """Write a line, if the last one is a while ago."""
        if self._clock() < self._next_line:
            return
        parts = [
            f"epoch {round(line.epoch, 2):.6g}",
            f"loss {_number(line.train_loss)}",
            f"validation loss {_number(line.validation_loss)}",
        ]
        self._write(parts, line.examples)

    def _write(self, parts: list[str], examples: int) -> None:
        self._next_line = self._clock() + SECONDS_BETWEEN_LINES
        pace = self._pace.text(examples)
        self.message(" · ".join([*parts, pace] if pace else parts))

    def message(self, text: str) -> None:
        """Write the text."""
        print(text, file=self._stream, flush=True)


@final
class BarProgress(Progress):
    """One line on a terminal that is drawn again a few times a second."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        from rich.console import Console

        self._console: Console = Console(stderr=True)
        self._clock = clock
        self._pace = Pace(clock)
        self._live: Live | None = None
        self._next_drawing = -math.inf
        self._epochs: int | None = None
        self._rows = 1
        self._line: HistoryLine | None = None

    @contextmanager
    def open(self, epochs: int | None, rows: int) -> Iterator[None]:
        """Draw the bar while the block runs."""
        from rich.live import Live

        self._pace.begin(epochs, rows)
        self._epochs, self._rows = epochs, max(1, rows)
        try:
            with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
                yield
        finally:
            self._live = None

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Draw again, if the last drawing is a while ago."""
        now = self._clock()
        if self._live is None or now < self._next_drawing:
            return
        self._next_drawing = now + SECONDS_BETWEEN_DRAWINGS
        self._live.update(self._drawn(epoch, examples, loss), refresh=True)

    def evaluated(self, line: HistoryLine) -> None:
        """Keep the line for the next drawing."""
        self._line = line

    def message(self, text: str) -> None:
        """Print the text above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def _drawn(self, epoch: int, examples: int, loss: float | None) -> Text:
        from rich.text import Text

        place = examples / self._rows
        within = place - int(place)
        total = f"/{self._epochs}" if self._epochs is not None else ""
        share = examples / (self._epochs * self._rows) if self._epochs is not None else within
        filled = round(20 * min(1.0, share))
        parts = [f"epoch {epoch + 1}{total}"]
        if loss is not None:
            parts.append(f"loss {_number(loss)}")
        if self._line is not None:
            parts.append(f"validation loss {_number(self._line.validation_loss)}")
        parts.append(self._pace.text(examples))
        text = Text("━" * filled, style="cyan")
        text.append("━" * (20 - filled), style="dim")
        text.append("  " + " · ".join(part for part in parts if part), style="default")
        text.truncate(max(20, self._console.width - 1))
        return text


def make_progress(kind: str = "auto") -> Progress:
    """A bar on a terminal, lines elsewhere; `silent` says nothing."""
    if kind == "silent":
        return SilentProgress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()


def _number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.4g}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
