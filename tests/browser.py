"""A real browser for the tests: headless Chromium, driven through ChromeDriver's own protocol."""

from __future__ import annotations

import base64
import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "about:blank",
)
PATIENCE = 60.0
"""Seconds until a browser that does not answer is given up."""
LONGEST = 240.0
"""The same for one script."""


def missing_browser() -> str | None:
    """Why no browser can be driven here, or None where one can."""
    if not any(map(shutil.which, BROWSERS)):
        return "no Chromium is installed: install the packages chromium and chromium-driver"
    if not shutil.which("chromedriver"):
        return "ChromeDriver is not installed: install the package chromium-driver"
    return None


@dataclass
class Browser:
    """One browser window."""

    address: str
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def open(self, url: str) -> None:
        """Go to a page and wait until it has loaded."""
        self._send("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns in the page."""
        return self._send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns, once that is neither false nor empty."""

        def look() -> Any:
            try:
                return self.run(script, *arguments)
            except RuntimeError as error:
                # The page went away under the script: it is loading itself anew.
                if "aborted by navigation" in str(error) or "execution context" in str(error):
                    return None
                raise

        return waited_for(look, script)

    def click(self, selector: str) -> None:
        """Click the first element that a CSS selector finds."""
        found = self._send("POST", "/element", {"using": "css selector", "value": selector})
        # At once: pages scroll smoothly, and the driver would click before they are there.
        self.run(
            "const one = document.querySelector(arguments[0]);"
            "if (one.getBoundingClientRect().bottom > innerHeight)"
            " one.scrollIntoView({block: 'center', behavior: 'instant'});",
            selector,
        )
        self._send("POST", f"/element/{found[ELEMENT]}/click", {})

    def move_to(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        move = {"type": "pointerMove", "duration": 50, "origin": "viewport"}
        steps = [{**move, "x": round(x) - 4, "y": round(y)}, {**move, "x": round(x), "y": round(y)}]
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        self._send("POST", "/actions", {"actions": [mouse]})

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take a size and a colour scheme."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        # Beyond the window there is no scroll bar: with one, a picture would be too narrow.
        self.command("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, box: Sequence[float] | None = None) -> bytes:
        """A PNG of a box (left, top, width, height) of the page, or of the whole of it."""
        if box is None:
            size = self.command("Page.getLayoutMetrics")["cssContentSize"]
            box = (0, 0, size["width"], size["height"])
        left, top, width, height = box
        shot = self.command(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": left, "y": top, "width": width, "height": height, "scale": 1},
        )
        return base64.b64decode(shot["data"])

    def printed(self) -> bytes:
        """The page on A4 paper, as PDF."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        return base64.b64decode(self.command("Page.printToPDF", **paper)["data"])

    def requests(self) -> list[str]:
        """The addresses that pages asked for since the start or `forget`; not its own."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
            and not message["params"]["request"]["url"].startswith(("chrome:", "chrome-untrusted:"))
        ]

    def complaints(self) -> list[str]:
        """Errors and warnings that the console showed since the start or `forget`."""
        return [entry["message"] for entry in self._log("browser")]

    def forget(self) -> None:
        """Begin the lists of requests and complaints anew."""
        for kind in ("performance", "browser"):
            self._log(kind).clear()

    def _log(self, kind: str) -> list[dict[str, Any]]:
        """All entries of a log: the driver hands each out once."""
        kept = self.entries.setdefault(kind, [])
        kept += self._send("POST", "/se/log", {"type": kind})
        return kept

    def _send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return _request(method, self.address + path, body)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, gone when the block ends."""
    # The last of its processes may write to the profile while that is being removed.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        _driver() as address,
    ):
        binary = next(path for path in map(shutil.which, BROWSERS) if path)
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": binary,
                "args": [*FLAGS, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            # axe-core takes long on a page with many cells, and longer beside other work.
            "timeouts": {"script": int(1000 * LONGEST)},
        }
        body = {"capabilities": {"alwaysMatch": wanted}}
        session = _request("POST", f"{address}/session", body)["sessionId"]
        browser = Browser(f"{address}/session/{session}")
        try:
            yield browser
        finally:
            _request("DELETE", browser.address, None)


def waited_for(look: Callable[[], Any], what: str) -> Any:
    """What a look sees, once that is neither false nor empty."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true in {PATIENCE:g} seconds")
        time.sleep(0.05)
    return seen


@contextmanager
def _driver() -> Iterator[str]:
    """The address of a ChromeDriver on a port that was free."""
    process = subprocess.Popen(
        ["chromedriver", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    try:
        while True:
            found = re.search(r"started successfully on port (\d+)", lines.get(timeout=PATIENCE))
            if found:
                break
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _read(stream: Any, lines: queue.Queue[str]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        return  # closed, for the driver is no longer needed


def _request(method: str, url: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # A proxy of the environment has no part in talking to this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=LONGEST) as answer:
            return cast("dict[str, Any]", json.load(answer))["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {url}: {error.read().decode()}") from error
