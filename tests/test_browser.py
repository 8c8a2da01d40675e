"""Pages in a real browser: they load, ask nobody, and answer the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from descend.jobs.live import LivePage
from descend.reporting.page import advice_report, train_report
from tests.browser import Browser, chromium, missing_browser
from tests.test_advice_page import advice_of
from tests.test_advice_page import record_of as advice_record_of
from tests.test_page import history_of, record_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or ""),
]

DRAWN = "return document.documentElement.dataset.drawn"
LOSS = "const plot = document.querySelector('[data-plot=loss] .canvas');"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Browser:
    """The page of a run that began with an advice, drawn."""
    path = tmp_path / "report.html"
    path.write_text(train_report(record_of(advice=advice_of()), history_of()), encoding="utf-8")
    browser.resize(1280, 900)
    browser.forget()
    browser.open(path.as_uri())
    browser.wait_for(DRAWN)
    return browser


def test_a_page_loads_without_a_request_or_a_complaint(page: Browser, tmp_path: Path) -> None:
    path = tmp_path / "advice.html"
    path.write_text(advice_report(advice_record_of()), encoding="utf-8")
    page.open(path.as_uri())
    page.wait_for(DRAWN)
    assert page.complaints() == []
    outside = [url for url in page.requests() if not url.startswith(("data:", "file:", "blob:"))]
    assert outside == []


def test_the_policy_lets_nothing_out(page: Browser) -> None:
    page.run("fetch('http://127.0.0.1:9/').catch(() => { document.title = 'refused'; })")
    page.wait_for("return document.title === 'refused'")
    assert any("Content Security Policy" in text for text in page.complaints())


def test_every_plot_is_drawn(page: Browser) -> None:
    places = page.run(
        "return [...document.querySelectorAll('[data-plot]')].map(p => p.dataset.plot)"
    )
    drawn = page.run("return [...document.querySelectorAll('.main-svg .xtitle')].length")
    assert len(places) == drawn
    assert {"loss", "learning-rate", "trials", "race", "cosine"} <= set(places)


def test_hover_shows_a_value(page: Browser) -> None:
    x, y = page.run(
        f"{LOSS} plot.scrollIntoView({{block: 'center', behavior: 'instant'}});"
        "const box = plot.querySelector('.nsewdrag').getBoundingClientRect();"
        "return [box.left + box.width / 2, box.top + box.height / 2];"
    )
    page.move_to(x, y)
    text = page.wait_for(f"{LOSS} return plot.querySelector('.hoverlayer').textContent")
    assert "validation" in text
    # Updates go from 0 to 19: the line nearest to the middle is that of 9 or 10.
    assert any(f"{1 / (update + 1):.4g}" in text for update in (9, 10))


def test_the_axis_switch_redraws(page: Browser) -> None:
    asked = history_of()
    for title, field in (("rows seen", "examples"), ("seconds", "seconds"), ("updates", "update")):
        page.click(f"[data-plot=loss] input[value='{title}']")
        shown = page.wait_for(
            f"{LOSS} return plot.querySelector('.xtitle').textContent === arguments[0]"
            " && [plot.data[0].x, plot.layout.xaxis.range]",
            title,
        )
        assert shown[0] == pytest.approx([getattr(line, field) for line in asked])
        assert shown[1][1] >= shown[0][-1]


def test_an_axis_can_be_made_logarithmic_and_back(page: Browser) -> None:
    for kind in ("log", "linear"):
        page.click("[data-plot=loss] input[data-log=y]")
        page.wait_for(f"{LOSS} return plot._fullLayout.yaxis.type === arguments[0]", kind)


@pytest.mark.parametrize("dark", [False, True])
def test_plots_follow_light_and_dark(page: Browser, dark: bool) -> None:
    page.resize(1280, 900, dark=dark)
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    page.wait_for(f"{LOSS} return plot.layout.font.color === {ink}")
    before = page.run(f"return {ink}")
    page.click(".theme")
    assert page.run(f"return {ink}") != before
    page.wait_for(f"{LOSS} return plot.layout.font.color === {ink}")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Browser, width: int) -> None:
    page.resize(width, 900)
    page.wait_for("return innerWidth === arguments[0]", width)
    page.wait_for("return document.documentElement.scrollWidth <= innerWidth")
    page.resize(1280, 900)


def test_the_live_page_grows_by_itself_and_stays_when_the_run_ends(browser: Browser) -> None:
    record, history = record_of(), history_of()
    running = {name: one for name, one in record.items() if name != "result"}
    page = LivePage()
    page.begin({**running, "state": "running"}, None)
    try:
        browser.forget()
        browser.open(page.address)
        for length in (3, 7):
            page.evaluation(history[:length])
            browser.wait_for(
                f"{LOSS} return plot && plot.data && plot.data[0].x.length === arguments[0]",
                length,
            )
        page.finish(record, history)
    finally:
        page.close()
    browser.wait_for(DRAWN)
    assert record["result"]["stop_text"] in browser.run("return document.body.textContent")
    own = (page.address, "data:")
    assert [url for url in browser.requests() if not url.startswith(own)] == []
