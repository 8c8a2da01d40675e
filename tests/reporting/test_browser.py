"""Pages in a real browser: they load, ask nobody, and answer the reader."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from descend.defaults import PATIENCE
from descend.reporting.html import MOST_REACH
from descend.reporting.page_model import Page
from descend.reporting.pages.advice import advice_page
from descend.reporting.pages.compare import compare_page
from descend.reporting.pages.landscape import landscape_page
from descend.reporting.pages.runs import runs_page
from descend.reporting.pages.train import train_page
from descend.reporting.render import render
from descend.runtime.live_page import LivePage
from descend.training.stopping_state import StoppingState
from tests.browser import Browser, missing_browser
from tests.records import compare_record, landscape_record
from tests.reporting.pages.test_advice import advice_of
from tests.reporting.pages.test_advice import record_of as advice_record_of
from tests.reporting.test_render import EVIL, history_of, record_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or ""),
]

DRAWN = "return document.documentElement.dataset.drawn"
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]
PAPER_WIDTH = 718
"""What an A4 page leaves between its margins, in the pixels of style sheets."""
LOSS = "const plot = document.querySelector('[data-plot=loss] .canvas');"


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Browser:
    """The page of a run that began with an advice, drawn."""
    path = tmp_path / "report.html"
    path.write_text(
        render(train_page(record_of(advice=advice_of()), history_of())), encoding="utf-8"
    )
    browser.resize(1280, 900)
    browser.forget()
    browser.open(path.as_uri())
    browser.wait_for(DRAWN)
    return browser


@pytest.fixture(params=["train", "advise", "compare", "landscape", "runs"])
def any_page(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Browser:
    """Each kind of page in turn, opened; its names are markup."""
    path = tmp_path / "page.html"
    path.write_text(render(page_of(request.param, EVIL)), encoding="utf-8")
    browser.resize(1280, 900)
    browser.forget()
    browser.open(path.as_uri())
    browser.wait_for(DRAWN)
    return browser


def page_of(kind: str, text: str) -> Page:
    match kind:
        case "train":
            return train_page(record_of(text, advice=advice_of()), history_of())
        case "advise":
            return advice_page({**advice_record_of(), "settings": {"target": text}})
        case "compare":
            return compare_page(compare_record(text))
        case "landscape":
            return landscape_page(landscape_record(text))
        case _:
            names = (text, f"{text} 2")
            records = {name: record_of(text) for name in names}
            return runs_page(records, {name: history_of() for name in names})


def test_every_page_loads_without_a_request_or_a_complaint(any_page: Browser) -> None:
    assert any_page.complaints() == []
    outside = [
        url for url in any_page.requests() if not url.startswith(("data:", "file:", "blob:"))
    ]
    assert outside == []
    assert any_page.run("return document.title") != "taken"
    assert any_page.run("return document.querySelectorAll('img, svg [onload]').length") == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(any_page: Browser, width: int) -> None:
    any_page.resize(width, 900)
    any_page.wait_for("return innerWidth === arguments[0]", width)
    any_page.wait_for("return document.documentElement.scrollWidth <= innerWidth")
    assert any_page.complaints() == []


def test_paper_is_light_and_nothing_on_it_is_cut(any_page: Browser) -> None:
    any_page.resize(PAPER_WIDTH, 1000, dark=True)
    any_page.command("Emulation.setEmulatedMedia", media="print", features=DARK)
    any_page.run("dispatchEvent(new Event('beforeprint'))")
    ink = "return document.querySelector('.canvas').layout.font.color"
    any_page.wait_for(f"{ink} === '#000'")
    any_page.wait_for(
        "return [...document.querySelectorAll('[data-plot]')].every(place =>"
        " place.querySelector('.main-svg').getBoundingClientRect().bottom"
        " <= place.getBoundingClientRect().bottom)"
    )
    assert any_page.run("return document.documentElement.scrollWidth") <= PAPER_WIDTH
    for hidden in (".theme", "nav", ".switches", ".numbers"):
        assert not any_page.run(
            "return [...document.querySelectorAll(arguments[0])].some(one => one.offsetHeight > 0)",
            hidden,
        )
    any_page.command("Emulation.setEmulatedMedia", media="", features=DARK)
    any_page.run("dispatchEvent(new Event('afterprint'))")
    any_page.wait_for(f"{ink} !== '#000'")
    assert any_page.printed().startswith(b"%PDF")
    assert any_page.complaints() == []


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


@pytest.mark.slow
def test_an_axis_can_be_made_linear_and_logarithmic_again(page: Browser) -> None:
    for kind in ("linear", "log"):
        page.click("[data-plot=loss] input[data-log=y]")
        page.wait_for(f"{LOSS} return plot._fullLayout.yaxis.type === arguments[0]", kind)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.slow
def test_plots_follow_light_and_dark(page: Browser, dark: bool) -> None:
    page.resize(1280, 900, dark=dark)
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    page.wait_for(f"{LOSS} return plot.layout.font.color === {ink}")
    before = page.run(f"return {ink}")
    page.click(".theme")
    assert page.run(f"return {ink}") != before
    page.wait_for(f"{LOSS} return plot.layout.font.color === {ink}")


@pytest.mark.slow
def test_an_interval_is_drawn_where_its_numbers_are(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    record = compare_record()
    path.write_text(render(compare_page(record)), encoding="utf-8")
    browser.resize(1280, 900)
    browser.open(path.as_uri())
    browser.wait_for(DRAWN)
    bars = browser.run(
        "return [...document.querySelectorAll('.ratios li')].map(line => {"
        " const bar = line.querySelector('.bar').getBoundingClientRect();"
        " const dot = line.querySelector('.bar b')?.getBoundingClientRect();"
        " return dot && [(dot.left + dot.right) / 2 - (bar.left + bar.right) / 2, bar.width / 2];"
        "})"
    )
    ratios = [ratio for claim in record["claims"] for ratio in claim["ratios"]]
    assert len(bars) == len(ratios)
    shown = [
        (place / half, math.log(ratio["value"]))
        for (place, half), ratio in zip(filter(None, bars), filter(_known, ratios), strict=True)
    ]
    # The memory of a full batch is beyond the furthest that a bar reaches.
    reach = math.log(MOST_REACH)
    assert max(log for _, log in shown) > reach
    for place, log in shown:
        assert place == pytest.approx(max(-1.0, min(1.0, log / reach)), abs=0.02)


def _known(ratio: dict[str, Any]) -> bool:
    return ratio["value"] is not None


@pytest.mark.slow
def test_the_live_page_grows_and_keeps_what_the_reader_chose(browser: Browser) -> None:
    record, history = record_of(), history_of()
    running = {name: one for name, one in record.items() if name != "result"}
    page = LivePage()
    page.begin({**running, "state": "running"}, None, history[:3])
    counted = f"{LOSS} return plot && plot.data && plot.data[0].x.length === arguments[0]"
    try:
        browser.resize(1280, 900)
        browser.forget()
        browser.open(page.address)
        browser.wait_for(counted, 3)
        browser.run("window.sameDocument = true")
        browser.click("[data-plot=loss] input[value='rows seen']")
        browser.click("[data-plot=loss] input[data-log=y]")
        browser.run(f"{LOSS} Plotly.relayout(plot, {{'xaxis.range': [10, 400]}})")
        browser.click(".theme")
        browser.run(f"{LOSS} plot.parentElement.querySelector('.numbers').open = true")
        browser.run("scrollTo({top: 200, behavior: 'instant'})")
        progress = StoppingState(stale=2)
        page.evaluation(SimpleNamespace(history=history[:7], progress=progress))  # type: ignore[arg-type]
        browser.wait_for(counted, 7)
        left = f"Patience left{PATIENCE - progress.stale}evaluations"
        assert left in browser.run("return document.body.textContent")
        page.finish(record, history)
    finally:
        page.close()
    browser.wait_for(counted, len(history))
    assert record["result"]["stop_text"] in browser.run("return document.body.textContent")
    assert browser.run(
        f"{LOSS} return [window.sameDocument, plot.layout.xaxis.title.text,"
        " plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.type, scrollY,"
        " plot.parentElement.querySelector('.numbers').open,"
        " document.documentElement.dataset.theme]"
    ) == [True, "rows seen", [10, 400], "log", 200, True, "dark"]
    assert browser.run(f"{LOSS} return plot.data[0].x") == [line.examples for line in history]
    # The page speaks to nobody but who served it, and has stopped asking.
    own = (page.address, "data:")
    assert [url for url in browser.requests() if not url.startswith(own)] == []
    assert "has ended" in browser.run("return document.querySelector('.live').textContent")
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_live_page_says_when_nobody_serves_it_any_more(browser: Browser) -> None:
    page = LivePage()
    page.begin({**record_of(), "state": "running", "result": None}, None, history_of(3))
    browser.open(page.address)
    browser.wait_for(DRAWN)
    assert "follows" in browser.run("return document.querySelector('.live').textContent")
    page.close()
    browser.wait_for("return document.querySelector('.live').textContent.includes('no longer')")
    browser.forget()
