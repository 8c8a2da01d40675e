"""The page to play with: in a real browser it computes what the Python engine does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from descend.commands.landscape_play import play, play_data
from descend.errors import InputError
from descend.settings import Settings
from descend.training.optimizers import make_optimizer
from descend.tuning.landscape.paths import classical_path, descend_path
from descend.tuning.landscape.surfaces import SURFACES
from tests.browser import Browser, chromium, missing_browser

needs_browser = pytest.mark.skipif(missing_browser() is not None, reason=missing_browser() or "")
UPDATES = 40
SETTINGS = {"updates": UPDATES, "batch": 32, "rate": 0.05, "seed": 3, "momentum": 0.9}
METHODS = {
    "full": ("sgd", 256),
    "mini": ("sgd", 32),
    "sgd": ("sgd", 1),
    "mini-momentum": ("momentum", 32),
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    path = play(tmp_path_factory.mktemp("play"), "bowl")
    with chromium() as browser:
        browser.resize(1280, 900)
        browser.open(path.as_uri())
        browser.wait_for("return document.documentElement.dataset.drawn")
        yield browser


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("name", SURFACES)
def test_the_page_computes_the_paths_of_the_engine(page: Browser, name: str) -> None:
    for method, (rule, size) in METHODS.items():
        found = page.run("return play.path(...arguments)", name, method, SETTINGS)
        expected = descend_path(
            SURFACES[name](rows=256),
            method,
            make_optimizer(Settings("y", optimizer=rule)),
            batch_size=size,
            learning_rate=0.05,
            updates=UPDATES,
            seed=3,
        )
        # The engine computes in float32.
        np.testing.assert_allclose(found, expected.points, atol=1e-4)


@needs_browser
@pytest.mark.browser
def test_in_the_valley_conjugate_gradient_ends_in_two_steps(page: Browser) -> None:
    found = page.run("return play.path('valley', 'conjugate', {updates: 2})")
    expected = classical_path(SURFACES["valley"](rows=256), "conjugate-gradient").points
    np.testing.assert_allclose(found, expected[:3], atol=1e-3)
    np.testing.assert_allclose(found[-1], [0.0, 0.0], atol=1e-3)
    stairs = np.diff(page.run("return play.path('valley', 'coordinate', {updates: 6})"), axis=0)
    assert np.all(np.min(np.abs(stairs), axis=1) < 1e-9)
    steepest = np.diff(page.run("return play.path('valley', 'steepest', {updates: 4})"), axis=0)
    for one, other in itertools.pairwise(steepest):
        assert abs(one @ other) < 1e-3 * np.linalg.norm(one) * np.linalg.norm(other)


@needs_browser
@pytest.mark.browser
def test_noise_leaves_the_shallow_well_and_gradient_descent_stays(page: Browser) -> None:
    page.run("play.choose('double-well'); for (let n = 0; n < 150; n++) play.tick()")
    crowd = page.run("return play.crowd().map((one) => [one.key, [...one.left]])")
    left = {key: np.mean(values) for key, values in crowd}
    assert left["full"] == 0.0
    assert left["mini"] > 0.3
    rows = page.run("return play.walks().map((one) => [one.method.key, one.rows])")
    assert dict(rows)["mini"] == 150 * 4
    assert dict(rows)["full"] == 150 * 256


@needs_browser
@pytest.mark.browser
def test_the_controls_work_and_nothing_is_fetched(page: Browser) -> None:
    page.run("play.choose('bowl')")
    page.click("#step")
    assert page.run("return play.walks()[0].updates") == 1
    page.click("#start")
    page.wait_for("return play.walks()[0].updates > 2")
    page.click("#start")
    page.click("#reset")
    assert page.run("return play.walks()[0].updates") == 0
    page.click("#map")  # the middle: the minimum
    start = page.run("return play.walks()[0].points[0]")
    assert np.hypot(*start) < 0.1
    labels = "return [...document.querySelectorAll('.panel input, .panel select')]"
    assert page.run(f"{labels}.filter((one) => !one.labels.length).length") == 0
    box = page.run("const b = document.getElementById('map'); return [b.width, b.height]")
    window = SURFACES["bowl"]().window
    ratio = (window[1][1] - window[1][0]) / (window[0][1] - window[0][0])
    assert box[1] / box[0] == pytest.approx(ratio, abs=0.01)
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("data:", "file:"))] == []


def test_the_page_holds_what_it_needs_and_replaces_no_stranger(tmp_path: Path) -> None:
    path = play(tmp_path / "play.html")
    assert path.stat().st_size < 2_000_000
    text = path.read_text()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert {one["name"] for one in play_data()["surfaces"]} == set(SURFACES)
    other = tmp_path / "mine.html"
    other.write_text("mine")
    with pytest.raises(InputError, match="not replaced"):
        play(other)
    assert play(path) == path
