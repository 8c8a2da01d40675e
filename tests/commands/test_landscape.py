"""`descend landscape`: records, pages, and names that must not become markup."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from descend.commands.landscape import landscape
from descend.commands.landscape_surface import WALKS
from descend.commands.report import report
from descend.commands.train import train
from descend.errors import InputError, SettingsError
from descend.reporting.pages.landscape import landscape_page
from descend.reporting.progress import make_progress
from descend.reporting.render import render
from descend.reporting.text.landscape import landscape_text
from descend.runtime.run import Options
from descend.settings import Settings

SILENT = make_progress("silent")
EVIL = "</script><script>alert(1)</script>"


@pytest.mark.slow
def test_a_surface(tmp_path: Path) -> None:
    record = landscape("valley", out=tmp_path / "valley", progress=SILENT)
    page = (tmp_path / "valley" / "landscape.html").read_text()
    again = json.loads((tmp_path / "valley" / "landscape.json").read_text())
    assert render(landscape_page(again)) == page
    assert report([tmp_path / "valley"]).read_text() == page
    ends = {path["method"]: path["losses"][-1] for path in record["paths"]}
    assert ends["Conjugate gradient"] == pytest.approx(min(ends.values()), rel=1e-5)
    tuned = [path for path in record["paths"] if path["trials"]]
    assert len(tuned) == len(WALKS)
    for path in tuned:
        known = [math.inf if loss is None else loss for loss in path["trials"]]
        assert record["rates"][int(np.argmin(known))] == path["learning_rate"]
        assert 0 < int(np.argmin(known)) < len(known) - 1
    assert "Coordinate descent" in landscape_text(record)
    assert len(record["grid"]["loss"]) == len(record["grid"]["y"])
    with pytest.raises(InputError, match="force=True"):
        landscape("valley", out=tmp_path / "valley", progress=SILENT)
    again["name"] = again["title"] = again["paths"][0]["method"] = EVIL
    assert "<script>alert" not in render(landscape_page(again))


@pytest.mark.slow
def test_a_plane_through_a_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 2))
    data = tmp_path / "table.csv"
    with data.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["a", "b", EVIL])
        writer.writerows([*row, row @ [1.0, 2.0]] for row in X)
    settings = Settings(
        EVIL,
        model="linear",
        batch_size=16,
        learning_rate=0.02,
        epochs=3,
        optimizer="sgd",
        advice_budget=0.6,
    )
    train(str(data), settings, Options(SILENT, out=tmp_path / "run"))
    record = landscape(
        str(tmp_path / "run"), out=tmp_path / "plane", directions="path", progress=SILENT
    )
    # The run's own way first, then the other sizes and rules, then conjugate gradient.
    rows = record["rows"]
    assert [path["rows_read"] for path in record["paths"]] == [16, 1, rows, 1, 16, rows, rows]
    assert record["paths"][0]["learning_rate"] == settings.learning_rate
    assert record["paths"][-1]["learning_rate"] is None
    # On a linear model conjugate gradient ends where no method ends lower.
    ends = [path["losses"][-1] for path in record["paths"]]
    assert ends[-1] <= min(ends) + 1e-6
    starts = {tuple(np.round(path["points"][0], 6)) for path in record["paths"]}
    assert len(starts) == 1
    assert "<script>alert" not in (tmp_path / "plane" / "landscape.html").read_text()


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="double-well"):
        landscape("vally", out=tmp_path / "x", progress=SILENT)
    with pytest.raises(SettingsError, match="directions"):
        landscape("bowl", out=tmp_path / "x", directions="north", progress=SILENT)
