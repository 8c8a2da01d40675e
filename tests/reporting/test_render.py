"""Pages: well formed, complete in themselves, and deaf to what stands in the data."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.reporting.escaping import escape_json
from descend.reporting.html import anchors, cell_text, number_text, section_html, table_html
from descend.reporting.page_model import (
    Finding,
    Interval,
    KeyFigure,
    Page,
    Plot,
    Ranged,
    Section,
    Summary,
    Table,
)
from descend.reporting.pages.train import train_page
from descend.reporting.plots.figures import figure, line
from descend.reporting.render import render
from descend.types import History, HistoryLine
from tests.browser import Browser

EVIL = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
HOSTILE = (
    EVIL,
    "'\"><svg onload=alert(1)>",
    "<!--<script>",
    "]]>&lt;b&gt;&#60;i>",
    "line\u2028and paragraph\u2029",
    "nul\0bell\x07half\ud800",
    "\u202egnirts",
    "%{y} $x^2$ {{7*7}}",
    "javascript:alert(1)",
)
VOID = {"meta", "link", "input", "img", "br", "hr"}
METRICS = {
    "model": {"r2": 0.9, "rmse": 2.0, "mae": 1.5},
    "baseline": {"r2": -0.0001, "rmse": 6.0, "mae": 5.0},
}


class Outline(HTMLParser):
    """Checks that elements are nested rightly; keeps tags, attributes, text and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.text += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def record_of(name: str = "price", **changes: Any) -> dict[str, Any]:
    column = {"name": name, "type": name, "becomes": "category", "missing": 0, "distinct": 3}
    return {
        "descend": "0.1.0",
        "state": "finished",
        "command": ["train", f"{name}.csv", "--target", name],
        "asked": {"target": name, "batch_size": "auto", "learning_rate": 0.1, "hidden": [8]},
        "settings": {"target": name, "batch_size": 64, "learning_rate": 0.1, "hidden": [8]},
        "data": {
            "source": f"{name}.csv",
            "rows": {"total": 10, "training": 8, "validation": 2},
            "task_reason": name,
            "warnings": [name],
            "columns": [{**column, "values": name, "remark": name}],
        },
        "device": name,
        "versions": {"python": "3"},
        "result": {
            "stop_reason": "EPOCHS",
            "stop_text": "The number of epochs was reached.",
            "updates": 20,
            "epochs": 2.0,
            "seconds": 0.5,
            "lowerings": 2,
            "rescues": 1,
            "metrics": METRICS,
        },
        **changes,
    }


def history_of(lines: int = 20) -> History:
    return tuple(
        HistoryLine(
            n, n / 2, 64 * n, 0.1 * n, float("nan") if n == 0 else 2 / n, 1 / (n + 1), 64, 0.1
        )
        for n in range(lines)
    )


def plot_of(name: str, text: str = "a") -> Plot:
    traces = [line(text, [1, 2], [3, 4])]
    return Plot(name, text, figure(traces, text, text), Table([text], [[text]]), text)


def sections_of(text: str) -> list[Section]:
    table = Table([text, "n", "m"], [[text, 1, Ranged(text, text)]], caption=text)
    finding = Finding(text, text, "good", text, [Interval(text, text, 2.0, 1.0, 3.0)])
    return [
        Section(
            text,
            text=[text],
            findings=[finding],
            plots=[plot_of("plot", text)],
            tables=[table],
            warnings=[text],
            code=[text],
            folded=True,
        )
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_and_never_run(text: str) -> None:
    summary = Summary(text, [KeyFigure(text, text, text)], text)
    page = render(Page(text, summary, sections_of(text), text))
    page.encode("utf-8")
    plain_summary = Summary("a", [KeyFigure("a", "a", "a")], "a")
    plain = Outline(render(Page("a", plain_summary, sections_of("a"), "a")))
    outline = Outline(page)
    # The same elements with the same attributes: the text made none.
    assert [(tag, sorted(some)) for tag, some in outline.tags] == [
        (tag, sorted(some)) for tag, some in plain.tags
    ]
    if text.isprintable():
        assert text in outline.text
    assert json.loads(outline.scripts[0])["plot"]["data"][0]["x"] == [1, 2]


@settings(max_examples=200)
@given(
    st.recursive(
        st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@pytest.mark.slow
def test_json_in_a_page_comes_back_and_ends_no_script(value: Any) -> None:
    text = escape_json(value)
    assert text.isascii()
    assert not set(text) & set("<>&")
    assert json.loads(text) == value


def test_scripts_run_by_their_checksum_alone() -> None:
    outline = Outline(render(train_page(record_of(), history_of())))
    (policy,) = [value for value in outline.values("content") if "script-src" in value]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    allowed = rules["script-src"].split()
    data, *scripts = outline.scripts
    json.loads(data)
    assert allowed == [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]


def test_a_page_is_complete_in_itself() -> None:
    page = render(train_page(record_of(), history_of(20_000)))
    assert len(page.encode("utf-8")) < 3e6
    outline = Outline(page)
    assert not outline.values("src")
    assert all(link.startswith("#") or link == "data:," for link in outline.values("href"))
    anchored = {link[1:] for link in outline.values("href") if link.startswith("#")}
    assert anchored <= set(outline.values("id"))
    assert len(set(outline.values("id"))) == len(outline.values("id"))
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_every_plot_has_its_numbers_in_a_table() -> None:
    outline = Outline(render(train_page(record_of(), history_of())))
    plots = outline.values("data-plot")
    assert plots == ["loss", "learning-rate"]
    assert json.loads(outline.scripts[0]).keys() == set(plots)
    figures = render(train_page(record_of(), history_of())).split("<figure")[1:]
    assert all("<table" in one.split("</figure>")[0] for one in figures)


def test_the_summary_says_how_good_the_model_is_beside_the_trivial_one() -> None:
    text = Outline(render(train_page(record_of(), history_of()))).text
    assert "predictions of price are off by 1.5 on average; always predicting the mean" in text
    assert "lowered twice" in text
    assert "exploded once" in text
    classes = {"model": {"accuracy": 0.912}, "baseline": {"accuracy": 0.5}}
    record = copy.deepcopy(record_of())
    record["result"]["metrics"] = classes
    text = Outline(render(train_page(record, history_of()))).text
    assert (
        "correctly 91.2 % of the time; always predicting the most frequent class is correct 50 %"
        in text.replace("\N{NO-BREAK SPACE}", " ")
    )


def test_a_measured_setting_says_what_else_would_do() -> None:
    advice = {"batch_size": 64, "flat_region": [16, 128], "interval": [0.1, 0.1]}
    assert "16 to 128 do about as well" in render(
        train_page(record_of(advice=advice), history_of())
    )
    page = render(train_page(record_of(), history_of()))
    assert "a rule, not measured" in page
    assert "missing and distinct are of the training rows" in page


@pytest.mark.parametrize("history", [(), history_of(1)])
def test_a_run_that_is_not_finished_has_a_page(history: History) -> None:
    record = record_of(state="running")
    del record["result"]
    assert "not finished" in Outline(render(train_page(record, history))).text


def test_figures_that_no_number_was_found_for_are_dashes() -> None:
    record = copy.deepcopy(record_of())
    record["result"]["metrics"] = {"model": dict.fromkeys(METRICS["model"]), "baseline": {}}
    assert "off by — on average" in Outline(render(train_page(record, ()))).text


def test_two_plots_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        render(Page("a", Summary("a"), [Section("a", plots=[plot_of("x"), plot_of("x")])]))


def test_anchors_differ() -> None:
    assert anchors([Section("A b!"), Section("a B"), Section("…")]) == ["a-b", "a-b-2", "section"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "—"),
        (float("nan"), "—"),
        (float("inf"), "inf"),
        (1234567, "1,234,567"),
        (0.000123456, "0.0001235"),
        (-2.5, "−2.5"),
        (12345.678, "12,346"),
        (True, "yes"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_cells_are_written_as_people_write_numbers(cell: Any, text: str) -> None:
    assert cell_text(cell) == text


@given(st.floats())
def test_every_number_has_a_text(value: float) -> None:
    assert number_text(value)


def test_columns_of_numbers_are_set_to_the_right() -> None:
    table = table_html(Table(["name", "count"], [["a", 1], ["b", None]]))
    assert table.count("class=n") == 3


@pytest.mark.browser
def test_a_browser_runs_no_text_from_the_data(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(train_page(record_of(EVIL), history_of())), encoding="utf-8")
    browser.open(path.as_uri())
    browser.wait_for("return document.documentElement.dataset.drawn")
    assert browser.run("return document.title").startswith("Predicting </script>")
    assert browser.run("return document.images.length") == 0
    assert browser.run("return document.querySelectorAll('.scatterlayer .trace').length") == 4
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith("data:")} <= {path.as_uri()}


def test_a_table_that_is_narrow_enough_for_paper_is_marked() -> None:
    assert "<table class=fits>" in table_html(Table(["a", "b"], [["some words", 3]]))
    assert '<table class="sortable wide">' in table_html(
        Table(["a"] * 30, [[1.25] * 30], sortable=True)
    )


def test_a_half_plot_that_stands_alone_takes_the_row() -> None:
    def halves(*half: bool) -> list[bool]:
        plots = [dataclasses.replace(plot_of(f"p{n}"), half=one) for n, one in enumerate(half)]
        drawn = section_html(Section("a", plots=plots), "a")
        return ["class=half" in one for one in drawn.split("<figure")[1:]]

    assert halves(True, True) == [True, True]
    assert halves(True, True, True) == [True, True, False]
    assert halves(False, True, False, True, True) == [False, False, False, True, True]
