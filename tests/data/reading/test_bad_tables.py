"""Each bad input gives one short text that says what was found and what to do."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.data.reading.open_table import open_table
from descend.errors import DataError

LONG = "a,b\n" + "1,2\n" * 199_999 + "1,oops\n" + "1,2\n"


def read(data: Any) -> None:
    table = open_table(data)
    for _ in table.batches([column.sql for column in table.columns]):
        pass


def error_of(data: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(data)
    text = str(caught.value)
    assert len(text) < 500
    assert "\n" not in text
    return text


FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty.csv": ("", ["empty.csv is empty"]),
    "blank.csv": ("\n \n", ["is empty"]),
    "mark.csv": (b"\xef\xbb\xbf", ["is empty"]),
    "mark_and_blank.csv": (b"\xef\xbb\xbf\r\n", ["is empty"]),
    "empty.parquet": ("", ["is empty"]),
    "empty.csv.gz": (gzip.compress(b""), ["is empty"]),
    "header.csv": ("a,b\n", ["no rows", "header"]),
    "few.csv": ("a,b,c\n1,2,3\n4,5\n6,7,8\n", ["line 3", "expected 3 fields", "found 2"]),
    "many.csv": ("a,b\n1,2\n1,2,3\n", ["line 3", "expected 2 fields", "found 3"]),
    "counts.csv": (
        '569,4,malignant\n1,"2,5",3,4,0,6\n5,"6,1",7,8,1,7\n',
        ["line 2", "expected 3 fields", "found 6", "leave it out with skip_lines=1"],
    ),
    "counts.tsv": (
        "set\tnine\n1\t2\t3\t4\t5\n5\t6\t7\t8\t1\n",
        ["line 2", "expected 2 fields", "found 5"],
    ),
    "late.csv": ("a,b\n" + "1,2\n" * 60_000 + "1\n", ["line 60002", "found 1"]),
    "breaks.csv": ('a,b\n1,"x\ny"\n1,2,3\n', ["line 4", "expected 2 fields"]),
    "text.csv": (LONG, ["text.csv, column 'b'", "a number", "'oops'"]),
    "twice.csv": ("a,b,a\n1,2,3\n", ["two columns named 'a'"]),
    "case.csv": ("a,A\n1,2\n", ["'a' and 'A'", "letter case"]),
    "open.csv": ('a,b\n1,"x\n2,y\n', ["line 2", "closing"]),
    "latin.csv": ("a,b\n1,café\n".encode("latin1"), ["line 2", "UTF-8", "0xe9", "cp1252"]),
    "late_latin.csv": (
        b"a,b\n" + b"1,2\n" * 60_000 + b"1,t\xe4\n",
        ["line 60002", "UTF-8", "0xe4", "iconv -f cp1252"],
    ),
    "wide.csv": ("a,b\n1,2\n".encode("utf-16-le"), ["UTF-16", "iconv -f utf-16le"]),
    "big.csv": ("a,b\n1,2\n".encode("utf-16-be"), ["UTF-16", "iconv -f utf-16be"]),
    "parquet.csv": (b"PAR1\0\0\1" * 100, ["is a Parquet file", ".parquet"]),
    "lines.csv": ('{"a": 1, "y": 2}\n' * 50, ["JSON", ".jsonl"]),
    "list.csv": ('[\n {"a": 1, "y": 2},\n {"a": 1, "y": 2}]\n', ["JSON", ".json"]),
    "zeros.csv": (b"\0\1\2" * 100, ["not a text file"]),
    "packed.csv.gz": (b"not packed", ["cannot be read"]),
    "noise.parquet": (b"noise" * 100, ["not a complete Parquet file"]),
    "noise.feather": (b"noise" * 100, ["not an Arrow or Feather file"]),
    "sheet.xlsx": (b"PK\3\4" + b"0" * 100, ["workbook"]),
    "sheet.zip": (b"PK\3\4" + b"0" * 100, ["damaged zip archive"]),
    "case.jsonl": ('{"a": 1, "A": 2}\n{"a": 1}\n', ["'A' and 'a'", "letter case"]),
    "late.jsonl": ('{"a": 1}\n' * 30_000 + '{"a": 1, "A": 2}\n', ["'A' and 'a'"]),
    "cut.jsonl": ('{"a": 1}\n{"a":', ["line 2", "JSON"]),
    "word.jsonl": ('{"a": 1}\nword\n{"a": 2}\n', ["line 2", "JSON"]),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = error_of(str(path))
    assert name in text
    for part in expected:
        assert part in text


@pytest.mark.skipif(shutil.which("iconv") is None, reason="there is no iconv")
@pytest.mark.parametrize("encoding", ["latin1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a b.csv", "t.csv.gz"])
def test_the_command_for_another_encoding_makes_a_table(
    tmp_path: Path, name: str, encoding: str
) -> None:
    path = tmp_path / name
    content = "a,b\n1,café\n2,thé\n".encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    command = error_of(str(path)).partition("for example with  ")[2]
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    new = tmp_path / name.removesuffix(".gz").replace(".csv", "-utf8.csv")
    assert new.read_text("utf-8") == "a,b\n1,café\n2,thé\n"
    read(str(new))


def test_a_misspelled_query_is_told_how_queries_begin() -> None:
    assert "A query begins with SELECT" in error_of("SELEC * FROM 't.csv'")


def test_columns_with_names_in_one_level_are_named_so() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[1.0, 2.0]], columns=[("a",), ("y",)])
    frame.columns = pandas.MultiIndex.from_tuples([("a",), ("y",)])
    assert [column.name for column in open_table(frame).columns] == ["a", "y"]


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"a": np.arange(1000)}), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a complete Parquet file" in error_of(path)


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    frame = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pa.parquet.write_table(frame, tmp_path / "t.parquet")
    assert "two columns named 'a'" in error_of(tmp_path / "t.parquet")


def test_no_such_file_offers_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("a\n1\n")
    (tmp_path / "bikes").mkdir()
    assert "Did you mean 'flights.csv'?" in error_of(str(tmp_path / "flihgts.csv"))
    assert "bikes'" not in error_of(str(tmp_path / "bikes.csv"))
    assert "there are: flights.csv" in error_of(str(tmp_path / "quite-another"))
    assert "there is no folder" in error_of(str(tmp_path / "none" / "t.csv"))
    assert "No file matches" in error_of(str(tmp_path / "*.parquet"))


def test_a_folder(tmp_path: Path) -> None:
    assert "holds no tables" in error_of(tmp_path)
    (tmp_path / "t.csv").write_text("a\n1\n")
    assert f"type '{tmp_path}{os.sep}*.csv'" in error_of(tmp_path)


@pytest.mark.parametrize(("record", "command"), [("run", "train"), ("advice", "advise")])
def test_a_folder_that_a_command_wrote_is_no_table(
    tmp_path: Path, record: str, command: str
) -> None:
    (tmp_path / f"{record}.json").write_text("{}")
    text = error_of(tmp_path)
    assert f"descend {command}" in text
    assert "*.json" not in text


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "3.parquet")
    assert "has no column 'b'" in error_of(str(tmp_path / "*.csv"))
    assert "one format" in error_of([tmp_path / "1.csv", tmp_path / "3.parquet"])
    assert "empty list" in error_of([])


def test_queries(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(LONG)
    assert "syntax" in error_of("SELECT FROM WHERE")
    assert "nowhere" in error_of("SELECT * FROM nowhere")
    assert "no file nowhere.csv" in error_of("SELECT * FROM 'nowhere.csv'")
    assert "two columns named 'a'" in error_of(f"SELECT a, a FROM '{tmp_path}/t.csv'")
    text = error_of(f"SELECT a, b FROM '{tmp_path}/t.csv'")
    assert "line 200001, column 'b'" in text


@pytest.mark.parametrize("url", ["http://host.invalid/t.csv", "s3://none/t.parquet"])
def test_the_network_without_its_extension(url: str) -> None:
    assert url in error_of(url)


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    assert "two columns" in error_of(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    assert "no rows" in error_of(pandas.DataFrame({"a": [1]}).iloc[:0])
    levels = pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", "x"), "by"]))
    assert "2 levels" in error_of(levels)


def test_what_is_no_table() -> None:
    assert "found builtins.int" in error_of(5)
    assert "2 dimensions" in error_of((np.zeros(3), np.zeros(3)))
    assert "3 rows and y has 2" in error_of((np.zeros((3, 1)), np.zeros(2)))
    frame = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "A"])
    assert "letter case" in error_of(frame)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"": 1, "y": 2}'] * 3, "a key without a name"),
        (['{"x": 1, "y": 2}', "3"], "values that are no objects with keys"),
        (["[1, 2]"] * 3, "values that are no objects with keys"),
        (["{}"] * 3, "values that are no objects with keys"),
    ],
)
def test_json_whose_rows_are_no_objects(tmp_path: Path, lines: list[str], said: str) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    assert f"{said}; expected JSON objects" in error_of(str(tmp_path / "t.jsonl"))
    (tmp_path / "a.jsonl").write_text('{"x": 1, "y": 2}\n{"x": 3, "y": 4}')
    if lines[0] != "{}":  # Beside others these are rows without a value.
        assert f"t.jsonl has {said}; expected" in error_of(str(tmp_path / "*.jsonl"))


def test_a_key_may_be_called_json(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"json": 1}\n{"json": 2}')
    read(str(tmp_path / "t.jsonl"))


@pytest.mark.parametrize(("text", "mark"), [("x;y\n1,5;2\n", "';'"), ("y\tx\n1\t2\n", r"'\t'")])
def test_files_with_other_delimiters_are_told_as_such(tmp_path: Path, text: str, mark: str) -> None:
    (tmp_path / "a1.csv").write_text("x,y\n1.5,2\n")
    (tmp_path / "a2.csv").write_text(text)
    said = error_of(str(tmp_path / "a*.csv"))
    assert f"a2.csv has the delimiter {mark}" in said
    (tmp_path / "a2.csv").write_text("u;v\n1;2\n")
    assert "has no column 'x'" in error_of(str(tmp_path / "a*.csv"))
