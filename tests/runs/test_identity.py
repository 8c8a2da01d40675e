"""A record that was edited, and sealed anew, does not go on as another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import descend
from descend.errors import FileFormatError
from descend.io.atomic import write_json
from descend.io.checksum import seal_of
from descend.runs.identity import IDENTITY, check_identity, identity_of

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    x = np.linspace(-1, 1, 80).round(3)
    pa.csv.write_csv(pa.table({"x": x, "y": 2 * x, "z": -x}), folder / "t.csv")
    descend.train(
        folder / "t.csv",
        target="y",
        model="linear",
        batch_size=8,
        learning_rate=0.01,
        epochs=1,
        out=folder / "run",
        quiet=True,
    )
    return folder / "run"


def edited(run: Path, to: Path, edit: Edit) -> Path:
    """A copy of a run whose record was edited and has a right checksum."""
    shutil.copytree(run, to)
    record = json.loads((to / "run.json").read_text())
    del record["seal"]
    edit(record)
    write_json(to / "run.json", {**record, "seal": seal_of(record)})
    return to


def set_to(name: str, value: Any) -> Edit:
    return lambda record: record["settings"].update({name: value})


def interrupted(record: dict[str, Any]) -> None:
    record["state"] = "running"
    record.pop("result", None)


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("seed is 7", set_to("seed", 7)),
        ("l2 is 0.5", set_to("l2", 0.5)),
        ("target is 'z'", set_to("target", "z")),
        ("exclude is \\['\"'\\]", set_to("exclude", ['"'])),
        ("epochs is 9", set_to("epochs", 9)),
        ("the columns differ", lambda record: record["schema"]["target"].update(names=["z"])),
        ("the data differ", lambda record: record["data"]["layout"].update(stored=True)),
    ],
)
def test_an_edited_record_is_refused(
    name: str, edit: Edit, unfinished: bool, finished: Path, tmp_path: Path
) -> None:
    def both(record: dict[str, Any]) -> None:
        edit(record)
        if unfinished:
            interrupted(record)

    run = edited(finished, tmp_path / "run", both)
    before = (run / "run.json").read_bytes()
    with pytest.raises(FileFormatError, match=f"was altered.*{name}"):
        descend.resume(run, quiet=True)
    assert (run / "run.json").read_bytes() == before


def test_a_record_with_another_state_alone_goes_on(finished: Path, tmp_path: Path) -> None:
    run = edited(finished, tmp_path / "run", interrupted)
    assert descend.resume(run, quiet=True).record["state"] == "finished"


def test_a_checkpoint_of_an_older_version_says_nothing() -> None:
    check_identity(Path("run"), {"settings": {"seed": 1}}, {})
    record: dict[str, Any] = {"settings": {"seed": 1}}
    check_identity(Path("run"), record, {IDENTITY: identity_of(record)})
