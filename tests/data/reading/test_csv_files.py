"""CSV files however they are written."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.reading.expressions import (
    number_sql,
)
from descend.data.reading.open_table import open_table
from descend.data.reading.text_types import find_types
from descend.data.reading.typed_columns import TextRules
from tests.tables import rows_of, write

CSV = "a,b,c\n1,x,true\n2.5,,false\n,z,\n"
TEXTS_OF_CSV = [(1.0, "x", "true"), (2.5, None, "false"), (None, "z", None)]
EMPTY = ("", "NA", "null")
CONTENTS = {
    "plain.csv": CSV.encode(),
    "mark.csv": b"\xef\xbb\xbf" + CSV.encode(),
    "crlf.csv": CSV.replace("\n", "\r\n").encode(),
    "semicolon.csv": CSV.replace(",", ";").encode(),
    "tab.tsv": CSV.replace(",", "\t").encode(),
    "pipe.txt": CSV.replace(",", "|").encode(),
    "caret.dat": CSV.replace(",", "^").encode(),
    "no-end.csv": CSV.rstrip("\n").encode(),
    "packed.csv.gz": gzip.compress(CSV.encode()),
    "packed.csv.zst": pa.compress(CSV.encode(), codec="zstd", asbytes=True),
    "quoted.csv": b'"a","b","c"\n"1","x","true"\n"2.5","","false"\n"","z",""\n',
    "nulls.csv": b"a,b,c\n1,x,true\n2.5,NA,false\nNaN,z,null\n",
    "it's.csv": CSV.encode(),
    "unnamed": CSV.encode(),
}


WRAPPED = ["in\ntwo" if one % 2 else "one" for one in range(30)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ['a,"b\nc"', 'a,"b\r\nc"', '"a\n\n",b', '# x\n"a",b'])
def test_a_header_may_have_line_breaks_of_another_kind_than_rows(
    mark: bytes, end: str, header: str, tmp_path: Path
) -> None:
    text = (
        mark + end.join([header, *(f'{n},"{one}"' for n, one in enumerate(WRAPPED)), ""]).encode()
    )
    table = open_table(write(tmp_path / "t.csv", text))
    assert rows_of(table) == list(enumerate(WRAPPED))


@pytest.mark.parametrize("name", CONTENTS)
def test_csv_is_read_however_it_is_written(tmp_path: Path, name: str) -> None:
    table = open_table(write(tmp_path / name, CONTENTS[name]))
    assert [(column.name, column.type) for column in table.columns] == [
        ("a", "number"),
        ("b", "text"),
        ("c", "text"),
    ]
    found = [tuple(None if cell in EMPTY else cell for cell in row) for row in rows_of(table)]
    assert found == TEXTS_OF_CSV
    assert table.count() == 3


def test_quoted_line_breaks_and_delimiters_belong_to_the_value(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'a,"b ""q"", c"\n1,"x\r\ny, ""z"""\n2,w\n')
    table = open_table(path)
    assert [column.name for column in table.columns] == ["a", 'b "q", c']
    assert rows_of(table) == [(1.0, 'x\r\ny, "z"'), (2.0, "w")]


def test_decimal_commas_are_numbers_between_semicolons(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "t.csv", "a;b;c\n1,5;2;x,y\n-2,25;;z\n"))
    columns = find_types(table, table.columns, TextRules())
    assert [one.column.type for one in columns.values()] == ["number", "number", "text"]
    a, b = number_sql(columns["a"].column), number_sql(columns["b"].column)
    rows = table.query(f"SELECT {a} AS a, {b} AS b FROM {table.rows}").to_pylist()
    assert rows == [{"a": 1.5, "b": 2.0}, {"a": -2.25, "b": None}]


def test_numbers_after_the_first_rows_may_have_decimals(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a\n" + "1\n" * 30_000 + "2.5\n")
    assert open_table(path).aggregate({"most": "max(a)"}) == {"most": 2.5}


def test_a_column_that_is_empty_at_first_is_still_a_number(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n" + ",1\n" * 30_000 + "2.5,1\n")
    assert open_table(path).columns[0].type == "number"


def test_infinities_are_numbers(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "t.csv", "a\n1\ninf\n-Infinity\n"))
    column = find_types(table, table.columns, TextRules())["a"].column
    found = table.query(f"SELECT {number_sql(column)} AS a FROM {table.rows}").column("a")
    assert found.to_pylist() == [1.0, float("inf"), float("-inf")]


def test_dates_in_csv_stay_text(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "t.csv", "a,b\n2020-01-02,01/02/03\n2020-01-03,02/03/04\n"))
    assert rows_of(table) == [("2020-01-02", "01/02/03"), ("2020-01-03", "02/03/04")]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(["text", "number"])
        writer.writerows([(f"~{text}", repr(number)) for text, number in rows])
    table = open_table(path)
    assert rows_of(table) == [(f"~{text}", number) for text, number in rows]
