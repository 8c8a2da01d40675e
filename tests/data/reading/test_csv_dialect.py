"""How a CSV file is written is found, or the user is asked; no row and no name is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from descend.data.reading.open_table import open_table
from descend.data.reading.options import ReadingOptions
from descend.data.reading.table import Table
from descend.errors import DataError

ROWS = [("ann", 1.0, 2.5), ("bob", 3.0, 4.5), ("cid", 5.0, 6.5)]
BODY = "ann,1,2.5\nbob,3,4.5\ncid,5,6.5\n"
PLAIN = f"name,x,y\n{BODY}"


def read(tmp_path: Path, content: str, **options: Any) -> Table:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    return open_table(path, options=ReadingOptions(**options))


def rows_of(table: Table) -> list[tuple[Any, ...]]:
    listed = ", ".join(column.sql for column in table.columns)
    found = table.query(f"SELECT {listed} FROM {table.rows}")
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


SAME = {
    "plain": PLAIN,
    "comments": f"# made by hand\n# in 2024\n{PLAIN}",
    "comments with delimiters": f"# exported, by tool, v1\n{PLAIN}",
    "comments with per cent signs": f"% first, second, third\n\n{PLAIN}",
    "a comment with a quote": f'# 5" pipes\n{PLAIN}',
    "a title": f"Sales of 2024\n{PLAIN}",
    "a title and an empty line": f"Sales of 2024\n\n{PLAIN}",
    "a title with a delimiter": f"Sales, 2024\nby month\n\n{PLAIN}",
    "a title in a row of cells": f"Sales of 2024,,\n,,\n{PLAIN}",
    "spaces before quotes": PLAIN.replace(",x,y", ', "x", "y"'),
    "empty lines": f"\n\n{PLAIN}",
    "sep": "sep=;\n" + PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "spaces": PLAIN.replace(",", "   "),
    "spaces around": "  name   x\ty \n ann 1   2.5\nbob  3 4.5 \n\tcid 5 6.5\n",
    "spaces and quotes": PLAIN.replace(",", "  ").replace("ann", '"ann"'),
    "single quotes": PLAIN.replace("ann", "'ann'").replace("bob", "'bob'").replace("cid", "'cid'"),
    "quotes": PLAIN.replace("ann", '"ann"').replace("x", '"x"'),
}


@pytest.mark.parametrize("way", SAME)
def test_a_table_is_the_same_however_it_is_written(tmp_path: Path, way: str) -> None:
    table = read(tmp_path, SAME[way])
    assert [column.name for column in table.columns] == ["name", "x", "y"]
    assert rows_of(table) == ROWS


@pytest.mark.parametrize(
    ("above", "skipped"),
    [
        ("Sales of 2024,by Ann,,,\n", True),
        ("Sales of 2024,by Ann,,,\n,,,,\nin euro,,,,\n", True),
        ("First,,,Second,\n", True),
        (",,,,\nSales of 2024,,,,\n", True),
        ("Sales,of,2024,,\n", False),
    ],
)
def test_titles_in_several_cells(tmp_path: Path, above: str, skipped: bool) -> None:
    rows = "".join(f"n{row},{row}.5,{row * 3 % 5},x,{row}\n" for row in range(9))
    table = read(tmp_path, f"{above}name,a,b,c,y\n{rows}")
    assert ([column.name for column in table.columns] == ["name", "a", "b", "c", "y"]) is skipped
    assert table.count() == 9 + (not skipped)
    assert any("above the header" in note for note in table.notes) is skipped


@pytest.mark.parametrize("above", ["Sales 2024,by Ann,,\n", "First,,Second,\n", ",,,\n", "Sales\n"])
@pytest.mark.parametrize("row", ["n{0},{0}.5,x,{1}\n", "n{0},3.{1}.2024,x,'$1 {1}50.{0}'\n"])
def test_titles_above_half_of_the_columns(tmp_path: Path, above: str, row: str) -> None:
    rows = "".join(row.format(place, place % 7 + 1) for place in range(9)).replace("'", '"')
    table = read(tmp_path, f"{above}name,a,b,y\n{rows}")
    assert [column.name for column in table.columns] == ["name", "a", "b", "y"]
    assert table.count() == 9


@pytest.mark.parametrize(
    "above", ["Sales,2024,by Ann,draft\n", "Sales,of,2024,\n", '"a\nb",c,d,e\n']
)
@pytest.mark.parametrize("first", ["name,a,b,y\n", "-,kg,,EUR\n", ",a,b,y\n"])
def test_words_above_numbers_are_told(tmp_path: Path, above: str, first: str) -> None:
    rows = "".join(f"n{row},{row}.5,x,{row % 7}-3-2024\n" for row in range(9))
    table = read(tmp_path, f"{above}{first}{rows}")
    assert table.count() == 10
    lines = above.count("\n")
    assert f"Line {lines + 1} has words ({first.split(',')[1]!r}, " in table.notes[0]
    assert f"skip_lines={lines}" in table.notes[0]
    skipped = read(tmp_path, f"{above}{first}{rows}", skip_lines=lines)
    assert [column.name for column in skipped.columns][1] == first.split(",")[1]
    assert skipped.notes == ()


@pytest.mark.parametrize(
    "first", ["ann,?,x,n/a\n", "ann,1,x,withheld\n", "ann,withheld,,1-1-2024\n"]
)
def test_words_in_place_of_some_numbers_are_no_names(tmp_path: Path, first: str) -> None:
    rows = "".join(f"n{row},{row}.5,x,{row % 7}-3-2024\n" for row in range(9))
    assert read(tmp_path, f"name,a,b,y\n{first}{rows}").notes == ()


def test_dates_as_names_of_columns(tmp_path: Path) -> None:
    table = read(tmp_path, "name,2024-01-01,2024-02-01\nann,1,2.5\nbob,3,4.5\ncid,5,6.5\n")
    assert table.notes == ()
    table = read(tmp_path, "ann,2024-01-01,$5\nbob,2024-02-01,$6\ncid,2024-02-02,$7\n")
    assert "header=False" in table.notes[0]


def test_a_header_without_some_names_is_one(tmp_path: Path) -> None:
    rows = "".join(f"n{row},{row}.5,{row * 3 % 5},x,{row}\n" for row in range(9))
    for first in ("n,1.5,?,?,?\n", "?,?,?,?,?\n"):
        table = read(tmp_path, f"name,a,,,\n{first}{rows}")
        assert [column.name for column in table.columns][:2] == ["name", "a"]
        assert table.count() == 10


@pytest.mark.parametrize("way", [way for way in SAME if "comment" in way or "title" in way])
def test_skipped_lines_are_told(tmp_path: Path, way: str) -> None:
    table = read(tmp_path, SAME[way])
    assert any("skipped" in note and str(tmp_path) in note for note in table.notes)


def test_a_header_may_begin_with_a_comment_sign(tmp_path: Path) -> None:
    table = read(tmp_path, f"# a comment\n#name,x,y\n{BODY}")
    assert [column.name for column in table.columns] == ["#name", "x", "y"]
    assert rows_of(table) == ROWS


def test_a_comment_that_may_be_the_header_is_told(tmp_path: Path) -> None:
    table = read(tmp_path, "# a,b\nred,blue\ngreen,grey\n")
    assert rows_of(table) == [("red", "blue"), ("green", "grey")]
    assert "skip_lines=1" in table.notes[0]
    table = read(tmp_path, "# a,b\nred,blue\ngreen,grey\n", skip_lines=1)
    assert rows_of(table) == [("green", "grey")]


@pytest.mark.parametrize("first", ["ann,1,2.5", "5.1,3.5,7", "-1,2,3"])
def test_a_header_that_looks_like_data_is_told(tmp_path: Path, first: str) -> None:
    content = f"{first}\n{first.replace('5', '6')}\n{first}\n"
    table = read(tmp_path, content)
    assert "header=False" in table.notes[0]
    assert len(rows_of(table)) == 2
    bare = read(tmp_path, content, header=False)
    assert [column.name for column in bare.columns] == ["column0", "column1", "column2"]
    assert len(rows_of(bare)) == 3
    assert bare.notes == ()


@pytest.mark.parametrize("header", ["x,1990,1991,1992", "name,0,1,2", "name,2024,b,c"])
def test_years_and_numbers_in_turn_are_names(tmp_path: Path, header: str) -> None:
    table = read(tmp_path, f"{header}\nde,1.5,2.5,3\nfr,4,5,6\nit,1,2,3\n")
    assert table.notes == ()
    assert len(rows_of(table)) == 3


def test_repeated_values_in_a_missing_header_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="header=False"):
        read(tmp_path, "1,1,2\n3,4,5\n6,7,8\n")


def test_lines_are_skipped_as_asked(tmp_path: Path) -> None:
    assert rows_of(read(tmp_path, f"one\ntwo\n{PLAIN}", skip_lines=2)) == ROWS
    assert rows_of(read(tmp_path, f"one\ntwo\n{BODY}", skip_lines=2, header=False)) == ROWS


def test_the_delimiter_is_taken_as_asked(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b;c\n1,5;2\n", delimiter=";")
    assert [column.name for column in table.columns] == ["a,b", "c"]


def test_row_names_become_a_column(tmp_path: Path) -> None:
    body = "".join(f"r{place},{line}\n" for place, line in enumerate(BODY.splitlines()))
    table = read(tmp_path, f"name,x,y\n{body}")
    assert [column.name for column in table.columns] == ["column0", "name", "x", "y"]
    assert rows_of(table) == [(f"r{place}", *row) for place, row in enumerate(ROWS)]
    assert "column0" in table.notes[0]


def test_a_delimiter_at_the_end_of_each_row_is_no_row_name(tmp_path: Path) -> None:
    assert rows_of(read(tmp_path, "a,b\n1,2,\n3,4,\n")) == [(1.0, 2.0), (3.0, 4.0)]


def test_quotes_inside_quotes(tmp_path: Path) -> None:
    expected = [('5" pipe, long', 1.0), ("x", 2.0)]
    assert rows_of(read(tmp_path, 'a,b\n"5"" pipe, long",1\nx,2\n')) == expected
    assert rows_of(read(tmp_path, 'a,b\n"5\\" pipe, long",1\nx,2\n')) == expected
    assert rows_of(read(tmp_path, "a,b\n'5\" pipe, long',1\nx,2\n")) == expected


@pytest.mark.parametrize("above", ["", "# c\n", "# a\n\n# 'b\n", "title\n\n"])
def test_errors_name_the_line_that_an_editor_shows(tmp_path: Path, above: str) -> None:
    lines = above.count("\n")
    good = 'a,b\n1,"x\ny"\n2,z\n'
    body = good + "3,w\n" * 30_000
    with pytest.raises(DataError, match=rf"line {lines + 30_005}.*expected 2 fields"):
        rows_of(read(tmp_path, above + body + "4,5,6\n"))
    (tmp_path / "l.csv").write_bytes((above + body).encode() + b"\xe9,1\n")
    with pytest.raises(DataError, match=rf"line {lines + 30_005}: expected UTF-8.*0xe9"):
        rows_of(open_table(tmp_path / "l.csv"))


@pytest.mark.slow
def test_a_header_of_any_length(tmp_path: Path) -> None:
    names = [f"a rather long name of a column {place}" for place in range(12_000)]
    content = ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"
    path = tmp_path / "t.csv"
    path.write_text(content)
    table = open_table(path)
    assert [column.name for column in table.columns] == names
    long = "n" * 300_000
    assert [column.name for column in read(tmp_path, f"{long},b\n1,2\n").columns] == [long, "b"]


def test_each_file_of_a_glob_has_its_own_comments(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(f"# one\n{PLAIN}")
    (tmp_path / "2.csv").write_text(f"# two\n# lines\n{PLAIN}")
    (tmp_path / "3.csv").write_text("y,name,x\n1.5,dan,7\n2.5,eve,8\n3.5,fay,9\n")
    more = [("dan", 7.0, 1.5), ("eve", 8.0, 2.5), ("fay", 9.0, 3.5)]
    assert rows_of(open_table(str(tmp_path / "*.csv"))) == [*ROWS, *ROWS, *more]
