"""What is told where the data of a run is no longer what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from descend.data.reading.open_table import open_table
from descend.errors import DataError
from descend.runs.fingerprint import check_unchanged


def told(path: Path, before: object) -> str:
    with pytest.raises(DataError) as raised:
        check_unchanged(Path("runs/r"), before, open_table(str(path)).fingerprint())
    return str(raised.value)


def test_a_file_of_another_time_is_told_in_words_with_what_sets_it_back(tmp_path: Path) -> None:
    path = tmp_path / "my table.csv"
    path.write_text("a,y\n1,2\n3,4\n")
    os.utime(path, ns=(1_700_000_000_123_456_789,) * 2)
    before = open_table(str(path)).fingerprint()
    os.utime(path, ns=(1_700_000_060_000_000_000,) * 2)
    said = told(path, before)
    assert "last written at 2023-11-14 22:13:20 UTC, now 2023-11-14 22:14:20 UTC" in said
    assert "mtime" not in said
    command = said.rpartition("and not its content: ")[2]
    assert command == f"touch -d @1700000000.123456789 '{path}'"
    os.utime(path, ns=(1_700_000_000_123_456_789,) * 2)
    check_unchanged(Path("runs/r"), before, open_table(str(path)).fingerprint())


def test_a_file_of_another_size_cannot_be_set_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n3,4\n")
    before = open_table(str(path)).fingerprint()
    path.write_text("a,y\n1,2\n3,4\n5,6\n")
    said = told(path, before)
    assert "size was 12, is 16" in said
    assert "touch" not in said
