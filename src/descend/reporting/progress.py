"""Progress on stderr: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, final

from descend.errors import LONGEST_ERROR, DataWarning, printable, warn_user
from descend.types import HistoryLine

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

SECONDS_BETWEEN_DRAWINGS = 0.12
SECONDS_BETWEEN_LINES = 2.0
SECONDS_WITHOUT_LINE = 5.0
"""After this time a line is written between evaluations too."""
COMPILING = "Compiling the updates"
BAR = 20
WARNING = "Warning: "
"""What messages about a table begin with that are to be read in any case."""
"""Characters of the bar, where the terminal is wide enough."""


class Progress(ABC):
    """Is informed of how a run goes."""

    @contextmanager
    def open(self, epochs: int | None, rows: int, budget: float | None = None) -> Iterator[None]:
        """Show progress while the block runs.

        Args:
            epochs: most epochs, or None where only the stopping rule decides.
            rows: training rows of an epoch.
            budget: most seconds of training, or None.
        """
        yield

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say what is being done while the block runs, where it takes long; no bar is open.

        Args:
            what: like `Reading the table`.
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
        """A text for the user."""

    def warn(self, text: str) -> None:
        """A text for the user that must not be missed where nothing else is shown."""
        self.message(text)


@final
class SilentProgress(Progress):
    """Shows nothing.

    Args:
        warns: whether what a table holds is warned of all the same, as Python does.
    """

    def __init__(self, *, warns: bool = False) -> None:
        self._warns = warns

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Do nothing."""

    def evaluated(self, line: HistoryLine) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Warn where the text is a warning; else do nothing."""
        if self._warns and text.startswith(WARNING):
            warn_user(text.removeprefix(WARNING), DataWarning)

    def warn(self, text: str) -> None:
        """Warn, as Python does."""
        warn_user(text, UserWarning)


class Pace:
    """Elapsed time, rows per second, the share done and the time left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._rows_before: int | None = None
        self._counted_from = self._began
        self._epochs: int | None = None
        self._budget: float | None = None
        self._rows = 1

    def begin(self, epochs: int | None, rows: int, budget: float | None = None) -> None:
        """Start to count."""
        self._began = self._clock()
        self._epochs = epochs
        self._budget = budget
        self._rows = max(1, rows)
        self._rows_before = None

    def start(self, examples: int) -> None:
        """Count rows from here on, unless they are counted already.

        Called after the first updates: before them lies their compilation, which says nothing of
        the speed.
        """
        if self._rows_before is None:
            self._rows_before = examples
            self._counted_from = self._clock()

    def share(self, examples: int) -> float | None:
        """How much of the run is done at least, from 0 to 1; None where nothing limits it."""
        shares = []
        if self._epochs is not None:
            shares.append(examples / (self._epochs * self._rows))
        if self._budget:
            shares.append((self._clock() - self._began) / self._budget)
        return min(1.0, max(shares)) if shares else None

    def text(self, examples: int) -> str:
        """Like `0:20 elapsed · 0:12 left at most · 1,200,000 rows/s`."""
        if self._rows_before is None or examples <= self._rows_before:
            return ""
        now = self._clock()
        seconds, counted = now - self._began, now - self._counted_from
        if counted <= 0:
            return ""
        speed = (examples - self._rows_before) / counted
        parts = [f"{clock_time(seconds)} elapsed"]
        left = []
        if self._epochs is not None:
            left.append(max(0.0, self._epochs * self._rows - examples) / speed)
        if self._budget is not None:
            left.append(max(0.0, self._budget - seconds))
        if left:
            parts.append(f"{clock_time(min(left))} left at most")
        return " · ".join([*parts, f"{speed:,.0f} rows/s"])


@final
class LineProgress(Progress):
    """A plain line now and then, for logs and pipes."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        apart: float = SECONDS_BETWEEN_LINES,
    ) -> None:
        self._apart = apart
        self._stream = stream or sys.stderr
        self._clock = clock
        self._pace = Pace(clock)
        self._rows = 1
        self._next_line = -math.inf
        self._lines = 0
        self._compiling = threading.Timer(0.0, lambda: None)

    @contextmanager
    def open(self, epochs: int | None, rows: int, budget: float | None = None) -> Iterator[None]:
        """Begin to count rows."""
        self._pace.begin(epochs, rows, budget)
        self._rows = max(1, rows)
        self._next_line = self._clock()
        self._compiling = self._later(COMPILING)
        try:
            yield
        finally:
            self._compiling.cancel()

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Write what is being done, if it takes more than a few seconds."""
        waiting = self._later(what)
        try:
            yield
        finally:
            waiting.cancel()

    def _later(self, what: str) -> threading.Timer:
        """A timer that says what is being done, unless it is cancelled or a line comes before."""
        lines = self._lines

        def say() -> None:
            if self._lines == lines:
                self.message(f"{what} ...")

        timer = threading.Timer(SECONDS_WITHOUT_LINE, say)
        timer.daemon = True
        timer.start()
        return timer

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Write a line if the last one is long ago."""
        self._compiling.cancel()
        self._pace.start(examples)
        if self._clock() < self._next_line + SECONDS_WITHOUT_LINE - self._apart:
            return
        parts = [f"epoch {examples / self._rows:.3g}"]
        if loss is not None:
            parts.append(f"loss {_number(loss)}")
        self._write(parts, examples)

    def evaluated(self, line: HistoryLine) -> None:
        """Write a line if the last one is a while ago."""
        if self._clock() < self._next_line:
            return
        parts = [
            f"epoch {round(line.epoch, 2):.6g}",
            f"loss {_number(line.train_loss)}",
            f"validation loss {_number(line.validation_loss)}",
            *(f"{name} {_number(value)}" for name, value in line.metrics.items()),
        ]
        self._write(parts, line.examples)

    def _write(self, parts: list[str], examples: int) -> None:
        self._next_line = self._clock() + self._apart
        pace = self._pace.text(examples)
        self.message(" · ".join([*parts, pace] if pace else parts))

    def message(self, text: str) -> None:
        """Write the text."""
        self._lines += 1
        print(printable(text, LONGEST_ERROR), file=self._stream, flush=True)


@final
class BarProgress(Progress):
    """One line on a terminal, drawn again a few times a second."""

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
        self._best = math.inf

    @contextmanager
    def open(self, epochs: int | None, rows: int, budget: float | None = None) -> Iterator[None]:
        """Draw the bar while the block runs."""
        from rich.live import Live
        from rich.spinner import Spinner

        self._pace.begin(epochs, rows, budget)
        self._epochs, self._rows = epochs, max(1, rows)
        self._line, self._best = None, math.inf
        try:
            # Drawn by a thread of its own: a sign moves while the updates are compiled.
            waiting = Spinner("dots", text=COMPILING)
            with Live(waiting, console=self._console, transient=True) as self._live:
                yield
        finally:
            self._live = None

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show what is being done, with a sign that moves; messages stand above it."""
        with self._console.status(printable(what)):
            yield

    def update(self, epoch: int, examples: int, loss: float | None) -> None:
        """Draw again if the last drawing is a while ago."""
        now = self._clock()
        self._pace.start(examples)
        if self._live is None or now < self._next_drawing:
            return
        self._next_drawing = now + SECONDS_BETWEEN_DRAWINGS
        self._live.update(self._drawn(epoch, examples, loss), refresh=True)

    def evaluated(self, line: HistoryLine) -> None:
        """Keep the line for the next drawing."""
        self._line = line
        self._best = min(self._best, line.validation_loss)

    def message(self, text: str) -> None:
        """Print the text above the bar."""
        self._console.print(printable(text, LONGEST_ERROR), markup=False, highlight=False)

    def _drawn(self, epoch: int, examples: int, loss: float | None) -> Text:
        """The bar; what does not fit the terminal is left out, the least important first."""
        from rich.text import Text

        place = examples / self._rows
        known = self._pace.share(examples)
        share = place - int(place) if known is None else known
        total = f"/{self._epochs}" if self._epochs is not None else ""
        # After the last update the next epoch would begin.
        parts = [f"epoch {min(epoch + 1, self._epochs or math.inf)}{total}"]
        if self._line is not None:
            parts.append(f"validation loss {_number(self._line.validation_loss)}")
        parts += self._pace.text(examples).split(" · ")
        if known is not None:
            parts.append(f"{100 * known:.0f} %")
        if loss is not None:
            parts.append(f"loss {_number(loss)}")
        if math.isfinite(self._best):
            parts.append(f"best {_number(self._best)}")
        if self._line is not None:
            parts += [f"{name} {_number(value)}" for name, value in self._line.metrics.items()]
        space = self._console.width - 1
        wide = BAR if space >= 100 else BAR // 2
        shown: list[str] = []
        for part in filter(None, parts):
            if len(" · ".join([*shown, part])) + wide + 2 <= space:
                shown.append(part)
        filled = round(wide * min(1.0, share))
        text = Text("━" * filled, style="cyan")
        text.append("━" * (wide - filled), style="dim")
        text.append("  " + " · ".join(shown), style="default")
        return text


def make_progress(kind: str = "auto") -> Progress:
    """A bar on a terminal, lines elsewhere; `each` a line for each evaluation.

    `quiet` shows warnings about the table alone, `silent` nothing.
    """
    if kind in ("silent", "quiet"):
        return SilentProgress(warns=kind == "quiet")
    if sys.stderr.isatty():
        return BarProgress()
    return LineProgress(apart=0.0) if kind == "each" else LineProgress()


def progress_for(quiet: bool | None) -> Progress:
    """What a Python function shows: warnings alone where `quiet`; None shows all in a notebook."""
    if quiet is None:
        quiet = "ipykernel" not in sys.modules
    return make_progress("quiet" if quiet else "auto")


def clock_time(seconds: float) -> str:
    """A time like a clock.

    >>> clock_time(75), clock_time(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.4g}"
