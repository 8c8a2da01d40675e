"""The page that plays the runs of a comparison shows what was measured."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from descend.reporting.pages.compare_play import compare_play_page
from tests.browser import chromium, missing_browser
from tests.records import compare_record

DRAWN = "return document.documentElement.dataset.drawn"
TABLE = (
    "return [...document.querySelectorAll('#methods tbody tr')]"
    ".map(row => [...row.cells].slice(3, 7).map(cell => cell.textContent));"
)


def played_record(text: str = "cnt") -> dict[str, Any]:
    """Two runs: one of 4 updates in 4 seconds, one of 400 in 8."""
    path = {
        "method": f"{text} slow",
        "batch_size": 100,
        "learning_rate": 0.5,
        "away": 0.0,
        "points": [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]],
        "losses": [1.0, 0.5, 0.25],
        "updates": [0, 2, 4],
        "examples": [0, 200, 400],
        "seconds": [0.0, 2.0, 4.0],
    }
    other = copy.deepcopy(path)
    other |= {"method": f"{text} fast", "updates": [0, 200, 400], "seconds": [0.0, 4.0, 8.0]}
    ends = [0.0, 1.0, 2.0]
    loss = [[1.0, 0.5, 0.25], [1.0, 0.6, 0.3], [1.0, None, 0.4]]
    plane = {"explained": 0.9, "grid": {"x": ends, "y": ends, "loss": loss}, "paths": [path, other]}
    return {**compare_record(text), "plane": plane}


def test_names_cannot_become_markup() -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    page = compare_play_page(played_record(evil))
    assert "<img" not in page
    assert page.count("</script>") == 2


def test_the_losses_are_those_of_every_evaluation() -> None:
    record = played_record()
    run = next(one for one in record["runs"] if one["panel"] == "tuned" and one["seed"] == 0)
    record["plane"]["paths"][0]["method"] = run["method"]["title"]
    run["history"]["validation_loss"][7] = 123.5  # A jump between two places of the path.
    page = compare_play_page(record)
    found = re.search(r'id="compare_play">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    known = json.loads(found[1])
    curve = known["paths"][0]["curve"]
    assert curve["losses"] == run["history"]["validation_loss"]
    assert curve["seconds"] == run["history"]["seconds"]
    assert curve["updates"] == run["history"]["update"]
    assert "curve" not in known["paths"][1]


@pytest.mark.browser
@pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or "")
@pytest.mark.slow
def test_each_run_is_shown_up_to_the_same_seconds_updates_or_rows(tmp_path: Path) -> None:
    path = tmp_path / "play.html"
    path.write_text(compare_play_page(played_record()), encoding="utf-8")
    with chromium() as browser:
        browser.resize(1280, 900)
        browser.open(path.as_uri())
        browser.wait_for(DRAWN)
        ends = [["4", "400", "4", "0.25"], ["400", "400", "8", "0.25"]]
        assert browser.run(TABLE) == ends
        # Seconds go from 2 to 8 along the slider; halfway on a logarithmic scale they are 4.
        set_half = "const one = document.querySelector('#place'); one.value = 200;"
        browser.run(set_half + "one.dispatchEvent(new Event('input'));")
        assert browser.run(TABLE) == [["4", "400", "4", "0.25"], ["200", "200", "4", "0.5"]]
        browser.click("input[name=axis][value=updates]")
        # From 2 to 400 updates: halfway are 28.3, which the slow run never made.
        shown = browser.run(TABLE)
        assert [row[0] for row in shown] == ["4", "28"]
        assert shown[1][3] == "0.929"
        browser.click("#reset")
        assert [row[3] for row in browser.run(TABLE)] == ["1", "1"]
        browser.click("#start")
        browser.wait_for(f"{TABLE[:-1]}[1][0] === '400'")
        assert browser.complaints() == []
        assert [url for url in browser.requests() if not url.startswith(("data:", "file:"))] == []
