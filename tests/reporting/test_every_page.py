"""Each kind of page in a real browser, light and dark, wide and on a phone, and on paper.

It asks nobody for anything, complains of nothing, is under 6 MB, is no wider than the screen or the
paper, breaks no number in two, and axe-core finds no fault in it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from descend.runtime.live_page import LivePage
from descend.training.stopping_state import StoppingState
from tests.browser import Browser, missing_browser
from tests.reporting.test_accessibility import FOUND, KINDS, path_of
from tests.reporting.test_browser import DARK, DRAWN, PAPER_WIDTH
from tests.reporting.test_render import history_of, record_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or ""),
]

MOST_BYTES = 6_000_000
SCREENS = [(width, dark) for width in (1280, 390) for dark in (False, True)]
BROKEN = """
return [...document.querySelectorAll('td.n, th.n, .key b')].filter(cell => {
  if (!cell.offsetHeight) return false;
  for (const node of cell.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE) continue;
    for (const word of node.data.matchAll(/\\S+/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1) return true;
    }
  }
  return false;
}).map(cell => cell.textContent);
"""
"""Numbers and headings of numbers a word of which stands on two lines."""

CUT_OFF = """
return [...document.querySelectorAll('.canvas')].flatMap(canvas => {
  const outer = canvas.getBoundingClientRect();
  return [...canvas.querySelectorAll('.xtitle, .ytitle')].filter(title => {
    const box = title.getBoundingClientRect();
    return box.left < outer.left - 1 || box.right > outer.right + 1
      || box.top < outer.top - 1 || box.bottom > outer.bottom + 1;
  }).map(title => title.textContent);
});
"""
"""Titles of axes that reach beyond their drawing."""


@pytest.fixture(params=[*KINDS, "live"])
def page(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Iterator[Browser]:
    """Each page in turn, opened and drawn."""
    browser.resize(1280, 900)
    browser.forget()
    if request.param == "live":
        live = LivePage()
        live.begin({**record_of(), "state": "running", "result": None}, None, history_of(3))
        progress = StoppingState(stale=2)
        live.evaluation(SimpleNamespace(history=history_of(7), progress=progress))  # type: ignore[arg-type]
        browser.open(live.address)
        browser.wait_for(DRAWN)
        yield browser
        live.close()
        browser.open("about:blank")
    else:
        path = path_of(request.param, folder)
        assert path.stat().st_size < MOST_BYTES
        browser.open(path.as_uri())
        browser.wait_for(DRAWN)
        yield browser


def test_a_page_is_sound_on_every_screen_and_on_paper(page: Browser) -> None:
    axe = importlib.util.find_spec("axe_core_python")
    for width, dark in SCREENS:
        page.resize(width, 900, dark=dark)
        page.wait_for("return innerWidth === arguments[0]", width)
        page.wait_for("return document.documentElement.scrollWidth <= innerWidth")
        assert page.run(BROKEN) == []
        page.wait_for(f"return (() => {{ {CUT_OFF} }})().length === 0")
        # On a wide screen in both colours: test_accessibility.py.
        if width == 390 and dark and axe is not None and axe.origin is not None:
            script = (Path(axe.origin).parent / "axe.min.js").read_text(encoding="utf-8")
            page.run(f"{script}\nwindow.axe = axe;")
            page.run(FOUND)
            assert page.wait_for("return window.found && [window.found]") == [[]]
    page.resize(PAPER_WIDTH, 1000)
    page.command("Emulation.setEmulatedMedia", media="print", features=DARK)
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.wait_for(f"return document.documentElement.scrollWidth <= {PAPER_WIDTH}")
    page.wait_for(
        "return [...document.querySelectorAll('[data-plot]')].every(place => {"
        " const [inner, outer] = [place.querySelector('.main-svg'), place]"
        "   .map(one => one.getBoundingClientRect());"
        " return inner.bottom <= outer.bottom && inner.right <= outer.right; })"
    )
    # A drawing keeps its proportions.
    assert page.run(
        "return [...document.querySelectorAll('canvas')].every(one => !one.clientHeight ||"
        " Math.abs(one.clientWidth / one.clientHeight / (one.width / one.height) - 1) < 0.05)"
    )
    assert page.run(BROKEN) == []
    page.command("Emulation.setEmulatedMedia", media="", features=[])
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.printed().startswith(b"%PDF")
    own = ("data:", "file:", "blob:", page.run("return location.origin"))
    assert [url for url in page.requests() if not url.startswith(own)] == []
    assert page.complaints() == []
