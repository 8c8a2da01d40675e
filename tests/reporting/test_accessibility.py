"""Every page can be read by everybody: names of controls, order of headings, contrast.

axe-core looks at the page; it does not look at plots, whose text and lines are measured here. The
contrast asked for is that of WCAG 2.2: 4.5 for text (1.4.3), 3 for lines (1.4.11).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import descend
from descend.commands.landscape_play import play
from descend.reporting.pages.compare_play import compare_play_page
from descend.reporting.render import render
from tests.browser import Browser, missing_browser
from tests.reporting.pages.test_compare_play import played_record
from tests.reporting.test_browser import DRAWN, page_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or ""),
]

KINDS = ("advise", "compare", "landscape", "runs", "numbers", "classes", "play", "compare-play")
TEXT, LINE = 4.5, 3.0
FOUND = """
window.found = null;
axe.run({exclude: [['.main-svg']]}, {resultTypes: ['violations']}).then(answer => {
  window.found = answer.violations.map(one => [one.id, one.nodes[0].html.slice(0, 200)]);
});
"""
CONTRASTS = """
const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b]
  .map(one => one / 255)
  .map(one => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
  .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
const ground = light(numbers(getComputedStyle(document.body).backgroundColor));
const contrast = (colour) => {
  const [low, high] = [light(numbers(colour)), ground].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const of = (selector, name) => [...document.querySelectorAll(selector)]
  .map(one => [one, getComputedStyle(one)])
  .filter(([one, style]) => style[name] !== 'none' && one.closest('[style*="opacity: 0"]') === null)
  .map(([one, style]) => [selector, style[name], contrast(style[name])]);
return [
  of('.xtick text, .ytick text, .legendtext, .xtitle, .ytitle', 'fill'),
  of('.legend .js-line', 'stroke'),
];
"""


@pytest.fixture(params=KINDS)
def page(request: pytest.FixtureRequest, browser: Browser, folder: Path) -> Browser:
    """Each page in turn, in the colours of the day."""
    browser.resize(1280, 900)
    browser.open(path_of(request.param, folder).as_uri())
    browser.wait_for(DRAWN)
    return browser


def path_of(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.html"
    if path.exists():
        return path
    if kind == "play":
        play(path)
    elif kind == "compare-play":
        path.write_text(compare_play_page(played_record()), encoding="utf-8")
    elif kind in ("numbers", "classes"):
        return _trained(kind, folder) / "report.html"
    else:
        path.write_text(render(page_of(kind, "cnt")), encoding="utf-8")
    return path


def _trained(kind: str, folder: Path) -> Path:
    """A model of one or two columns that is not quite right, with everything its page shows."""
    out = folder / f"run-{kind}"
    if out.exists():
        return out
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 300))
    y = a + 0.3 * random.normal(size=300)
    table: dict[str, Any] = {"a": a, "b": np.where(b > 0, "left", "right"), "y": y}
    if kind == "classes":
        table["y"] = np.where(y > 0.5, "high", np.where(y > -0.5, "middle", "low"))
    settings: dict[str, Any] = {"model": "linear", "epochs": 3, "quiet": True}
    descend.train(
        pa.table(table), target="y", batch_size=32, learning_rate=0.1, out=out, **settings
    )
    return out


@pytest.mark.skipif(
    importlib.util.find_spec("axe_core_python") is None, reason="axe-core-python is not installed"
)
def test_axe_finds_nothing(page: Browser) -> None:
    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None
    assert spec.origin is not None
    script = (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    page.run(f"{script}\nwindow.axe = axe;")
    for dark in (False, True):
        page.resize(1280, 900, dark=dark)
        page.run(FOUND)
        assert page.wait_for("return window.found && [window.found]") == [[]]


def test_text_and_lines_of_plots_stand_out_from_the_page(page: Browser) -> None:
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    for dark in (False, True):
        page.resize(1280, 900, dark=dark)
        page.wait_for(
            "const plots = [...document.querySelectorAll('.js-plotly-plot')];"
            f"return plots.every(one => one.layout.font.color === {ink});"
        )
        texts, lines = page.run(CONTRASTS)
        assert [one for one in texts if one[2] < TEXT] == []
        assert [one for one in lines if one[2] < LINE] == []


def test_every_control_has_a_name(page: Browser) -> None:
    unnamed = page.run(
        "return [...document.querySelectorAll('button, input, select, summary, [tabindex]')]"
        ".filter(one => !one.closest('.modebar') && !(one.labels && one.labels.length)"
        " && !one.getAttribute('aria-label') && !one.textContent.trim())"
        ".map(one => one.outerHTML.slice(0, 200));"
    )
    assert unnamed == []
