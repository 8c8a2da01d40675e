"""Pictures of every page as a reader sees it: light and dark, wide and narrow, and on paper.

`make screenshots` runs the commands on the bike rentals, photographs their pages into
`runs/screenshots` and renews those that the documentation shows. It prints how large each page is
and how long it took to load and draw.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.browser import Browser, chromium, missing_browser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "images"
WORK = Path("runs") / "screenshots"
BIKE = "examples/data/bike_sharing.csv"
TABLE = (BIKE, "--target", "cnt", "--exclude", "instant,dteday,casual,registered")
DRAWN = "return document.documentElement.dataset.drawn"
SCREENS = {"wide": (1280, 900), "narrow": (390, 844)}
COLOURS = 192
"""Of a picture in the documentation: enough for plots and text, and a third of the bytes."""


class Shot(NamedTuple):
    """A picture in the documentation: a page, a window, and where the picture ends."""

    page: str
    width: int
    until: str
    """The first element that is not in the picture any more."""
    dark: bool = False


RUNS = {
    "bike": ("train", *TABLE),
    "bike-cosine": (
        "train", *TABLE, "--batch-size", "256", "--learning-rate", "0.1",
        "--schedule", "cosine", "--epochs", "60",
    ),
    "advice": ("advise", *TABLE),
    "compare": ("compare", *TABLE),
    "valley": ("landscape", "valley"),
    "double-well": ("landscape", "double-well"),
    "plane": ("landscape", str(WORK / "bike")),
}  # fmt: skip
PAGES = {
    "train": "bike/report.html",
    "advise": "advice/advice.html",
    "compare": "compare/compare.html",
    "valley": "valley/landscape.html",
    "double-well": "double-well/landscape.html",
    "plane": "plane/landscape.html",
    "runs": "runs.html",
}
SHOTS = {
    "report": Shot("train", 1000, "#which-columns-matter-and-how"),
    "report-dark": Shot("train", 390, "#which-columns-matter-and-how", dark=True),
    "compare": Shot("compare", 1000, "#time-to-the-target"),
    "advice": Shot("advise", 1000, "figure:nth-of-type(2)"),
    "valley": Shot("valley", 1000, "#the-paths figure .numbers"),
    "double-well": Shot("double-well", 1000, "#the-paths figure .numbers"),
    "plane": Shot("plane", 1000, "#the-paths figure .numbers", dark=True),
}


def main(names: Sequence[str]) -> None:
    """Photograph pages; all, or those that are named."""
    why = missing_browser()
    if why is not None:
        raise SystemExit(f"Pictures need a browser: {why}.")
    wanted = {name: path for name, path in PAGES.items() if not names or name in names}
    for name, command in RUNS.items():
        if not (WORK / name).exists():
            _descend(*command, "--out", str(WORK / name))
    _descend(
        "report", str(WORK / "bike"), str(WORK / "bike-cosine"), "--out", str(WORK / "runs.html")
    )
    for name in RUNS:
        _descend("report", str(WORK / name))
    with chromium() as browser:
        for name, path in wanted.items():
            _photograph(browser, name, WORK / path)
        for name, shot in SHOTS.items():
            if shot.page in wanted:
                _document(browser, name, shot)


def _descend(*arguments: str) -> None:
    """Run the command; what was run before is only drawn again."""
    print("descend", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "descend", *arguments], check=True, capture_output=True)


def _open(browser: Browser, page: Path, width: int, height: int, dark: bool) -> float:
    """Open a page; milliseconds until it was drawn."""
    browser.resize(width, height, dark=dark)
    browser.open(page.resolve().as_uri())
    browser.wait_for(DRAWN)
    return float(browser.run("return performance.getEntriesByName('drawn')[0].startTime"))


def _photograph(browser: Browser, name: str, page: Path) -> None:
    times = []
    for screen, (width, height) in SCREENS.items():
        for dark in (False, True):
            times.append(_open(browser, page, width, height, dark))
            path = WORK / f"{name}-{screen}-{'dark' if dark else 'light'}.png"
            path.write_bytes(browser.picture())
    (WORK / f"{name}.pdf").write_bytes(browser.printed())
    complaints = browser.complaints()
    browser.forget()
    size = page.stat().st_size / 1e6
    print(f"{name}: {size:.2f} MB, drawn after {min(times):.0f} to {max(times):.0f} ms", flush=True)
    if complaints:
        raise SystemExit(f"{name} complains: {json.dumps(complaints[:3])}")


def _document(browser: Browser, name: str, shot: Shot) -> None:
    """A picture for the documentation, in few colours."""
    _open(browser, WORK / PAGES[shot.page], shot.width, 900, shot.dark)
    bottom = browser.run(
        "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY;",
        shot.until,
    )
    width = browser.run("return document.documentElement.clientWidth")
    picture = Image.open(io.BytesIO(browser.picture((0, 0, width, bottom))))
    path = DOCS / f"{name}.png"
    # The lines of a plot cover few pixels, and keep their colours all the same.
    few = picture.convert("RGB").quantize(
        COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
