"""What `descend inspect` says of folders that other commands have written."""

from __future__ import annotations

import json
from pathlib import Path

from descend.cli.app import _text_of
from descend.commands.inspect import inspect
from descend.commands.outputs import ADVICE, write_record_and_page
from descend.runs.folder import create_run
from tests.reporting.pages.test_advice import record_of
from tests.runs.test_files import run_record


def test_an_advice_is_told_again(tmp_path: Path) -> None:
    content = {**record_of(), "train_command": "descend train t.csv --target y"}
    write_record_and_page(tmp_path, ADVICE, content, ["descend", "advise", "t.csv"])
    found = inspect(str(tmp_path))
    assert found["kind"] == "advice"
    assert found["advice"] == json.loads((tmp_path / "advice.json").read_text())["advice"]
    text = _text_of(found)
    assert f"{content['advice']['batch_size']:,}" in text
    assert text.endswith("To train with it: descend train t.csv --target y")


def test_a_run_that_nobody_goes_on_with_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "run"
    folder = create_run(path, "x")
    folder.write_record(run_record())
    found = inspect(str(path))
    assert found["state"] == "running"
    assert _text_of(found) == f"{path}: running."
    folder.release()
    found = inspect(str(path))
    assert found["state"] == "interrupted"
    assert _text_of(found) == f"{path}: interrupted. To go on: descend resume {path}"
