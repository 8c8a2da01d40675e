"""Text files are shared out by ranges of bytes, and no row is lost, doubled or cut in two."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.reading import text_shares
from descend.data.reading.open_table import open_table
from descend.data.reading.sharing import Sharing
from descend.data.reading.table import Table
from descend.data.reading.table_share import share_of
from descend.errors import DataError
from tests.sharing import in_processes


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of so few bytes that every case occurs at their ends."""
    monkeypatch.setattr(text_shares, "BLOCK", 7)


def rows_of(table: Table) -> list[list[object]]:
    """The rows with their numbers."""
    columns = [column.sql for column in table.columns]
    found = [batch.to_pydict().values() for batch in table.batches(columns)]
    return [list(row) for values in found for row in zip(*values, strict=True)]


def shares(
    data: Path | str, count: int
) -> tuple[list[list[list[object]]], list[tuple[str, ...]], list[int]]:
    """Of each process the rows, the notes, and the bytes of text that it reads."""

    def work(sharing: Sharing) -> tuple[list[list[object]], tuple[str, ...], int]:
        folder = Path(data).parent / "stores" / "t"
        table = share_of(open_table(data), sharing, folder)
        return rows_of(table), table.notes, table.text_bytes

    found = in_processes(count, work)
    return [one[0] for one in found], [one[1] for one in found], [one[2] for one in found]


def joined(parts: list[list[list[object]]]) -> list[list[object]]:
    return [row for part in parts for row in part]


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [True, False])
def test_quoted_line_breaks_do_not_cut_rows(
    count: int, end: str, header: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    words = ["plain", '"two\nlines"', '"a ""word"""', '"x,\n\n\ny"', '""', "", "ü"]
    names = ["n,text,more"] if header else []
    lines = [f"{one},{words[random.integers(7)]},{words[random.integers(7)]}" for one in range(90)]
    path = tmp_path / "t.csv"
    path.write_text(end.join([*names, *lines, ""]), newline="")
    whole = rows_of(open_table(path))
    parts, notes, sizes = shares(path, count)
    assert joined(parts) == whole
    assert min(map(len, parts)) > 0.5 * len(whole) / count
    assert sum(sizes) < 1.2 * path.stat().st_size
    assert notes == [()] * count


@pytest.mark.parametrize("count", [2, 3])
def test_a_file_that_each_process_converts_for_itself_is_shared_out_alike(
    count: int, tmp_path: Path
) -> None:
    rows = [f'{one},"two{chr(10)}lines, {one % 3}"' for one in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\r\n".join(["n,text", *rows]) + "\n", encoding="utf-16", newline="")
    parts, _, _ = shares(path, count)
    assert joined(parts) == rows_of(open_table(path))
    assert min(map(len, parts)) > 0


@pytest.mark.slow
@given(
    cells=st.lists(st.tuples(*[st.text('a",\n', max_size=6)] * 2), min_size=1, max_size=12),
    count=st.integers(2, 5),
    ended=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_quoted_cells(
    cells: list[tuple[str, str]], count: int, ended: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    path = tmp_path_factory.mktemp("t") / "t.csv"
    # A first row tells the dialect, whatever comes behind it.
    path.write_text("\n".join(['"first","second"', '"b","c"', *lines]) + "\n" * ended)
    assert joined(shares(path, count)[0]) == rows_of(open_table(path))


def test_several_files_with_dialects_of_their_own(tmp_path: Path) -> None:
    lines = [f'{one},"{one % 3},\n"' for one in range(40)]
    (tmp_path / "1.csv").write_text("\n".join(["n,t", *lines, ""]))
    (tmp_path / "2.csv").write_text("n,t\n")
    texts = ["# a comment", "t,n", *(f"{one},{one}" for one in range(60))]
    (tmp_path / "3.csv").write_text("\n".join(texts))
    data = str(tmp_path / "*.csv")
    for count in (2, 3, 4):
        assert joined(shares(data, count)[0]) == rows_of(open_table(data))


def test_a_file_that_every_process_copies(tmp_path: Path) -> None:
    # Lines that end in different ways: each process reads a copy with a path of its own.
    path = tmp_path / "t.csv"
    lines = [f'{one},"a\n\nb"' + ("\r\n" if one % 2 else "\n") for one in range(60)]
    path.write_text("".join(["n,t\n", *lines]), newline="")
    for count in (2, 3):
        parts, notes, _ = shares(path, count)
        assert joined(parts) == rows_of(open_table(path))
        assert notes == [()] * count


def test_more_processes_than_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"' + "x\n" * 40 + '"\n2,y\n')
    parts, _, _ = shares(path, 5)
    assert joined(parts) == rows_of(open_table(path))
    assert [len(part) for part in parts].count(0) >= 3


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("form", ["lines", "crlf", "indented"])
def test_json_is_cut_between_objects(count: int, form: str, tmp_path: Path) -> None:
    objects = [{"n": one, "deep": {"t": '}\n{"'}, "list": [{}, {}]} for one in range(50)]
    indent, end = (1 if form == "indented" else None), ("\r\n" if form == "crlf" else "\n")
    path = tmp_path / "t.jsonl"
    path.write_text(end.join(json.dumps(one, indent=indent) for one in objects), newline="")
    parts, notes, sizes = shares(path, count)
    assert joined(parts) == rows_of(open_table(path))
    assert min(map(len, parts)) > 0.5 * 50 / count
    assert sum(sizes) <= path.stat().st_size
    assert notes == [()] * count


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("t.csv", 'a,b\n1,5" pipe\n2,"x\ny"\n3,4\n5,6\n7,8\n', "it has quotes within fields"),
        ("t.csv", "a\n1\n\n2\n3\n4\n", "it has one column, where an empty line is a row"),
        ("t.json", '[{"a": 1},\n{"a": 2},\n{"a": 3}]', "it is one JSON array"),
        ("t.csv.gz", "a,b\n1,2\n3,4\n5,6\n7,8\n", "it is compressed"),
        ("t.csv", 'a,b\n"x\\"y",1\n"z",2\n"z",2\n"z",2\n', "it marks quotes within fields with \\"),
    ],
)
def test_what_cannot_be_cut_is_read_by_everyone_and_said(
    name: str, text: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    parts, notes, _ = shares(path, 3)
    assert joined(parts) == rows_of(open_table(path))
    for said in notes:
        assert f"{path} cannot be cut, because {reason}: every process reads all" in said[0]


def test_small_files_that_cannot_be_cut_go_to_one_process(tmp_path: Path) -> None:
    for number in range(6):
        text = "n,t\n" + "".join(f"{number},{row}\n" for row in range(20))
        (tmp_path / f"{number}.csv.gz").write_bytes(gzip.compress(text.encode()))
    data = str(tmp_path / "*.csv.gz")
    parts, notes, _ = shares(data, 3)
    assert joined(parts) == rows_of(open_table(data))
    assert [len(part) for part in parts] == [40, 40, 40]
    assert notes == [()] * 3


def test_a_disk_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 50)
    usage = (0, 0, 30)
    named = type("Usage", (tuple,), {"free": 30})
    monkeypatch.setattr("shutil.disk_usage", lambda _: named(usage))
    parts, notes, _ = shares(path, 2)
    assert joined(parts) == rows_of(open_table(path))
    assert "lacks room" in notes[0][0]


def test_copies_are_removed_with_the_table_and_those_of_killed_processes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 50)
    shares(path, 2)
    assert not list((tmp_path / "stores").iterdir())
    left = tmp_path / "stores" / f".t-text-{socket.gethostname()}-999999999-x.descend-part"
    left.mkdir()
    shares(path, 2)
    assert not left.exists()


def test_an_error_names_the_file_and_the_place(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 50)
    tables = [open_table(path) for _ in range(2)]
    with path.open("a") as stream:
        stream.write("1,2,3\n")
    with pytest.raises(DataError, match=r"t\.csv \(from byte \d+\), line \d+: expected 2 fields"):
        in_processes(2, lambda one: share_of(tables[one.index], one, tmp_path / "stores" / "t"))
