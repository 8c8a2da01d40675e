"""Who else looks on while a run trains: a page on loopback, event files for TensorBoard."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, final

from descend.io.atomic import json_text
from descend.io.event_files import EventWriter
from descend.reporting.pages.train import train_page
from descend.reporting.render import render
from descend.training.loop import Callback, LoopState
from descend.types import History

LOOPBACK = "127.0.0.1"
SECONDS_BETWEEN = 2
"""The page asks for itself again after so long."""

Record = Mapping[str, Any]


class Onlooker(ABC):
    """Told of a run by its records; changes nothing of it."""

    @abstractmethod
    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Called before the first update, or where a run goes on with what it has learned."""

    @abstractmethod
    def evaluation(self, history: History) -> None:
        """Called after each evaluation."""

    @abstractmethod
    def finish(self, record: Record, history: History) -> None:
        """Called when the run has ended well."""

    @abstractmethod
    def close(self) -> None:
        """Called at the very end, however the run ended."""


@contextmanager
def looked_on(
    onlookers: Sequence[Onlooker], record: Record, folder: Path | None, history: History
) -> Iterator[None]:
    """Onlookers from the begin of a run to its end, however that comes."""
    try:
        for one in onlookers:
            one.begin(record, folder, history)
        yield
    finally:
        for one in onlookers:
            one.close()


class Watched:
    """A watcher whose evaluations onlookers see too."""

    def __init__(self, callback: Callback, onlookers: Sequence[Onlooker]) -> None:
        self._watcher = callback
        self._onlookers = onlookers

    def chunk(self, loop: LoopState) -> None:
        """Pass it on."""
        self._watcher.chunk(loop)

    def evaluation(self, loop: LoopState) -> None:
        """Pass it on and tell the onlookers."""
        self._watcher.evaluation(loop)
        for one in self._onlookers:
            one.evaluation(loop.history)

    def message(self, text: str) -> None:
        """Pass it on."""
        self._watcher.message(text)

    def stop_requested(self) -> bool:
        """As the watcher says."""
        return self._watcher.stop_requested()


@final
class LivePage(Onlooker):
    """The report of a run while it trains, on this machine alone.

    The page is made when it is asked for, so that nobody looking costs nothing. It asks for itself
    again and takes over what is new, so that zoom and switches stay as the reader set them.

    Args:
        say: told where the page is.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self._say = say
        self._record: Record = {}
        self._history: History = ()
        self._finished = False
        self._asked_at = -float("inf")
        self._shown = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        """Where the page is."""
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Serve the page on a port that is free."""
        self._record, self._history = _as_written(record), history
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        self._say(f"Live page: {self.address}")

    def evaluation(self, history: History) -> None:
        """Show what was measured."""
        self._history = history

    def finish(self, record: Record, history: History) -> None:
        """Show the finished run, for as long as a browser that looks on needs to fetch it."""
        self._record, self._history, self._finished = _as_written(record), history, True
        if time.monotonic() - self._asked_at < 2 * SECONDS_BETWEEN:
            self._shown.wait(2 * SECONDS_BETWEEN)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def page(self) -> tuple[str, bool]:
        """The page as it is now, and whether it is the last."""
        self._asked_at = time.monotonic()
        finished = self._finished
        page = train_page(self._record, self._history)
        return render(page, live=None if finished else SECONDS_BETWEEN), finished

    def was_sent(self, last: bool) -> None:
        """Called when a page has been sent."""
        if last:
            self._shown.set()


@final
class TensorBoard(Onlooker):
    """Event files in the `tensorboard` folder of a run."""

    def __init__(self) -> None:
        self._writer: EventWriter | None = None

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Begin a file, where the run has a folder."""
        if folder is not None:
            self._writer = EventWriter(folder / "tensorboard")

    def evaluation(self, history: History) -> None:
        """Write the newest line."""
        if self._writer is not None:
            self._writer.add(history[-1])

    def finish(self, record: Record, history: History) -> None:
        """Nothing is left to write."""

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


def _as_written(record: Record) -> Record:
    """The record as run.json gives it back, so that the page is that of the run directory."""
    written: Record = json.loads(json_text(record))
    return written


def _handler(live: LivePage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers for one page, and only to those who ask for this machine by its name."""

        def do_GET(self) -> None:
            """Send the page."""
            # A foreign page whose name was made to point here may not read this one.
            port = live.address.rsplit(":", 1)[1].rstrip("/")
            if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
                self.send_error(403)
                return
            if self.path != "/":
                self.send_error(404)
                return
            page, last = live.page()
            content = page.encode("utf-8")
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)
            live.was_sent(last)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the terminal belongs to the run."""

    return Handler
