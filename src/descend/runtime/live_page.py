"""A page on loopback that follows a run while it trains."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, final

from descend.io.atomic import json_text
from descend.reporting.pages.summary import ASSESSED
from descend.reporting.pages.train import train_page
from descend.reporting.render import render
from descend.runs.folder import read_assessment
from descend.settings import settings_from
from descend.training.build import limits_of
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.training.plateau import MAX_REDUCTIONS
from descend.types import History, StopReason

LOOPBACK = "127.0.0.1"
SECONDS_TO_ASK = 5.0
"""Seconds of silence after which a connection is closed."""
MOST_READERS = 16
SECONDS_BETWEEN = 2
"""Seconds between two reloads of the page."""
SECONDS_AFTER = 5.0
"""Seconds that the page of a finished run can still be loaded, if somebody has followed it."""

LIMITING = ("patience", "schedule", "model", "epochs", "time_budget")
"""The settings on which the patience depends."""

Record = Mapping[str, Any]


@final
class LivePage(Callback):
    """The report of a run while it trains, on this machine alone.

    The page is built when a browser requests it, so that it costs nothing otherwise. It reloads its
    data by itself, and keeps the zoom and switches of the reader.

    Args:
        say: called with a line that gives the address, and with one at the end.
        stay: seconds that the page can still be loaded after the end, if somebody follows it.
    """

    def __init__(
        self, say: Callable[[str], None] = lambda text: None, stay: float = SECONDS_AFTER
    ) -> None:
        self._say, self._stay = say, stay
        self._record: Record = {}
        self._history: History = ()
        self._finished = False
        self._folder: Path | None = None
        self._asked_at = -float("inf")
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        """The URL of the page."""
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Serve the page on a free port."""
        self._record, self._history, self._folder = _reread(record), history, folder
        self._server = _Server(_handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        self._say(f"Live page: {self.address}")

    def evaluation(self, loop: LoopState) -> None:
        """Show an evaluation."""
        self._history = loop.history
        known = {"stale": loop.progress.stale, "lowerings": loop.progress.lowerings}
        self._record = {**self._record, "progress": {**known, **self._patience()}}

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Say that nothing is trained any more: the model is assessed, which takes some seconds."""
        self._history, self._record = loop.history, {**self._record, "state": ASSESSED}

    def finish(self, record: Record, history: History) -> None:
        """Show the finished run for some seconds to those who follow it, and say so."""
        self._record, self._history, self._finished = _reread(record), history, True
        if time.monotonic() - self._asked_at < 2 * SECONDS_BETWEEN and self._stay > 0:
            self._say(f"The live page stays for {self._stay:g} seconds more.")
            time.sleep(self._stay)

    def _patience(self) -> dict[str, int]:
        """The evaluations without improvement that the run's limits allow, if they are its own."""
        if self._record.get("stop_rule"):
            return {}
        recorded = self._record["settings"]
        known = {name: recorded[name] for name in LIMITING if name in recorded}
        if self._record.get("own"):
            known["model"] = "mlp"  # A custom model has the limits of a plain network.
        limits = limits_of(settings_from({"target": "y", **known}))
        return {"patience": limits.patience, "lowers": MAX_REDUCTIONS * limits.lower_first}

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def page(self) -> str:
        """The current page."""
        self._asked_at = time.monotonic()
        finished = self._finished
        assessment: Record = {}
        if finished and self._folder is not None:
            assessment = read_assessment(self._folder)
        page = train_page(self._record, self._history, assessment)
        return render(page, live=None if finished else SECONDS_BETWEEN)


def _reread(record: Record) -> Record:
    """The record as run.json holds it, so that the page equals that of the run directory."""
    written: Record = json.loads(json_text(record))
    return written


class _Server(ThreadingHTTPServer):
    """Serves a few readers at a time; those who leave or stay silent do not disturb the run."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(MOST_READERS)
        super().__init__((LOOPBACK, 0), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless MOST_READERS are being answered."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then free the reader's slot."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a reader who left before the page was sent."""


def _handler(live: LivePage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Serves one page, only for requests whose Host header names this machine."""

        timeout = SECONDS_TO_ASK

        def do_GET(self) -> None:
            """Send the page."""
            # A foreign site whose name resolves to this machine may not read the page.
            port = live.address.rsplit(":", 1)[1].rstrip("/")
            if self.headers.get("Host") not in (f"{LOOPBACK}:{port}", f"localhost:{port}"):
                self.send_error(403)
                return
            if self.path != "/":
                self.send_error(404)
                return
            content = live.page().encode("utf-8")
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: the terminal shows the run."""

    return Handler
