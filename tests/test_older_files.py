"""Files written by version 0.1 are still read: runs, checkpoints, models, row stores, records."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.commands.inspect import inspect
from descend.commands.report import report
from descend.commands.resume import resume
from descend.data.rows.mapped_store import open_store
from descend.io.checksum import seal_of
from descend.reporting.progress import SilentProgress
from descend.runtime.run import Options

WRITTEN = Path(__file__).parent / "fixtures" / "version_0_1"
FIRST_PREDICTIONS = [132.77386780843023, 135.58875857312427, 130.68197688449567, 114.25565586077553]
"""What version 0.1 predicted for the first rows of the table."""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what version 0.1 wrote, its table where and when the records say it was."""
    folder = tmp_path / "old"
    shutil.copytree(WRITTEN, folder)
    monkeypatch.chdir(folder)
    table = folder / "bikes.csv"
    for path in folder.glob("*/run.json"):
        record = json.loads(path.read_text())
        for file in (record["data"]["fingerprint"] or {}).get("data", {}).get("files", ()):
            file["path"] = str(table)
            os.utime(table, ns=(file["mtime_ns"], file["mtime_ns"]))
        path.write_text(json.dumps({**record, "seal": seal_of(record)}))
    return folder


def test_a_model_predicts_what_it_predicted(old: Path) -> None:
    predicted = descend.load_model(old / "finished").predict("bikes.csv")
    assert np.ravel(predicted)[:4] == pytest.approx(FIRST_PREDICTIONS, rel=1e-5)
    classes = descend.load_model(old / "classes" / "model.safetensors").predict("bikes.csv")
    assert list(classes[:4]) == ["wet", "dry", "dry", "wet"]


def test_a_model_scores_what_its_record_says(old: Path) -> None:
    record = json.loads((old / "finished" / "run.json").read_text())
    found = descend.evaluate(old / "finished", "bikes.csv")
    # On all rows instead of the validation rows: near, not equal.
    assert found["model"]["r2"] == pytest.approx(
        record["result"]["metrics"]["model"]["r2"], abs=0.3
    )


def test_an_interrupted_run_goes_on_and_ends_as_the_whole_one(old: Path) -> None:
    whole = json.loads((old / "whole_run.json").read_text())["result"]
    result = resume(old / "interrupted", Options(SilentProgress())).record["result"]
    assert result["updates"] == whole["updates"]
    assert result["best_validation_loss"] == pytest.approx(whole["best_validation_loss"], rel=1e-4)


def test_a_finished_run_resumes_to_itself(old: Path) -> None:
    before = json.loads((old / "finished" / "run.json").read_text())["result"]
    result = resume(old / "finished", Options(SilentProgress())).record["result"]
    assert result["updates"] == before["updates"]
    assert result["metrics"]["model"] == pytest.approx(before["metrics"]["model"], rel=1e-4)


def test_a_row_store_is_read(old: Path) -> None:
    (folder,) = (old / "store").iterdir()
    assert inspect(str(folder), None, exclude=(), categorical=())["rows"]
    training, validation = open_store(folder)
    assert (len(training), len(validation)) == (104, 16)
    rows = training.gather(np.arange(len(training)))
    # Standardised when they were written.
    assert rows.y.mean() == pytest.approx(0.0, abs=1e-5)
    assert rows.y.std() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("run", ["finished", "classes", "interrupted", "custom"])
def test_the_page_of_a_run_is_made_again(old: Path, run: str) -> None:
    report([old / run])
    assert (old / run / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["compare", "advice", "landscape"])
def test_the_page_of_a_record_is_made_again(old: Path, name: str) -> None:
    folder = old / name
    folder.mkdir()
    shutil.move(old / f"{name}.json", folder)
    report([folder])
    assert (folder / f"{name}.html").stat().st_size > 10_000


def test_a_custom_run_can_be_inspected(old: Path) -> None:
    assert inspect(str(old / "custom"), None, exclude=(), categorical=())
