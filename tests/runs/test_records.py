"""Records that were edited: whatever is swapped or lost, one text and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fuzz_records import changed
from descend.commands.report import report
from descend.errors import FileFormatError, InputError
from descend.io.checksum import seal_of
from descend.runs.records import SCHEMAS, read_kind
from tests.records import compare_record, landscape_record, run_record

OLDER = Path(__file__).parents[1] / "fixtures" / "version_0_1"


@pytest.mark.parametrize("key", ["asked", "settings", "data", "state"])
@pytest.mark.parametrize("value", [None, [], "text", 1, {"a": None}])
def test_a_part_of_another_type_is_named(tmp_path: Path, key: str, value: Any) -> None:
    record = run_record(**{key: value})
    (tmp_path / "run.json").write_text(json.dumps({**record, "seal": seal_of(record)}))
    if (key == "asked" and isinstance(value, dict)) or (key == "state" and value == "text"):
        read_kind(tmp_path / "run.json")
        return
    with pytest.raises(FileFormatError, match=rf"run\.json is damaged: .*{key}"):
        read_kind(tmp_path / "run.json")


def test_a_run_on_a_table_without_a_target_is_refused(tmp_path: Path) -> None:
    record = run_record()
    del record["settings"]["target"]
    (tmp_path / "run.json").write_text(json.dumps({**record, "seal": seal_of(record)}))
    with pytest.raises(FileFormatError, match="damaged: a run on a table has no target"):
        report([tmp_path])


def test_a_newer_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(run_record(version=2)))
    with pytest.raises(FileFormatError, match="written by a newer descend"):
        read_kind(tmp_path / "run.json")


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name not in ("run", "assessment")])
def test_what_version_0_1_wrote_is_read(name: str) -> None:
    assert read_kind(OLDER / f"{name}.json")


@pytest.mark.parametrize(
    ("name", "record"), [("compare", compare_record()), ("landscape", landscape_record())]
)
def test_a_page_of_an_edited_record_is_drawn_or_refused(
    tmp_path: Path, name: str, record: dict[str, Any]
) -> None:
    dice = random.Random(0)
    refused = 0
    for _ in range(60):
        (tmp_path / f"{name}.json").write_text(json.dumps(changed(record, dice)))
        try:
            report([tmp_path])
        except InputError:
            refused += 1
    assert 0 < refused < 60
