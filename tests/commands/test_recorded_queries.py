"""A run from elsewhere only reads: no query of its record is executed, no folder made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import descend
from descend.cli.gather import gather_settings
from descend.errors import DataError, InputError
from descend.io.checksum import seal_of

FAST = {"batch_size": 20, "learning_rate": 0.01, "hidden": (4,), "epochs": 2}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n % 7},{n % 7 * 2}\n" for n in range(90)))
    descend.train("SELECT * FROM 't.csv'", target="y", out="run", **FAST)
    return tmp_path / "run"


def edit(run: Path, part: str, name: str, value: str) -> None:
    record = json.loads((run / "run.json").read_text())
    record[part][name] = value
    (run / "run.json").write_text(json.dumps({**record, "seal": seal_of(record)}))


def test_a_recorded_query_is_run_only_where_the_user_names_it(run: Path) -> None:
    with pytest.raises(DataError, match=r"data=\"SELECT \* FROM"):
        descend.resume(run)
    assert descend.resume(run, data="SELECT * FROM 't.csv'").stop_reason.name == "EPOCHS"


@pytest.mark.parametrize("part", ["data", "settings"])
def test_a_query_that_writes_does_not(run: Path, part: str) -> None:
    victim = run.parent / "victim.txt"
    victim.write_text("precious")
    query = f"SELECT 1; COPY (SELECT 'owned') TO '{victim}'; SELECT 1"
    edit(run, part, {"data": "source", "settings": "validation"}[part], query)
    for named in (None, "SELECT * FROM 't.csv'", query):
        with pytest.raises(InputError):
            descend.resume(run, data=named)
    assert victim.read_text() == "precious"


def test_like_takes_neither_store_nor_query(run: Path) -> None:
    edit(run, "asked", "store", str(run.parent / "elsewhere"))
    assert gather_settings({}, None, run).store is None
    edit(run, "asked", "validation", "SELECT * FROM 't.csv'")
    with pytest.raises(DataError, match="validation="):
        gather_settings({}, None, run)
    typed = {"validation": "SELECT * FROM 't.csv'"}
    assert gather_settings(typed, None, run).validation == typed["validation"]


def test_resume_makes_no_folder_that_a_record_names(run: Path) -> None:
    edit(run, "settings", "store", str(run.parent / "elsewhere" / "deep"))
    descend.resume(run, data="SELECT * FROM 't.csv'")
    assert not (run.parent / "elsewhere").exists()
