"""Streams, archives, encodings and line ends: the same table however it comes."""

from __future__ import annotations

import bz2
import codecs
import datetime
import functools
import gzip
import http.server
import lzma
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.reading.sharing import Sharing
from descend.data.reading.table import Table
from descend.data.reading.table_share import share_of
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings
from tests.sharing import in_processes

TEXT = 'name,x\nann,1.5\n"bób, jr",2\n'
ROWS = [("ann", 1.5), ("bób, jr", 2.0)]


def rows_of(table: Table) -> list[tuple[Any, ...]]:
    listed = ", ".join(column.sql for column in table.columns)
    found = table.query(f"SELECT {listed} FROM {table.rows}")
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def zipped(*names: str) -> bytes:
    import io

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return sink.getvalue()


UTF8 = TEXT.encode()
FILES = {
    "t.csv.xz": lzma.compress(UTF8),
    "t.xz": lzma.compress(UTF8),
    "xz without its name": lzma.compress(UTF8),
    "gz without its name": gzip.compress(UTF8),
    "gz.csv": gzip.compress(UTF8),
    "bz2 without its name": bz2.compress(UTF8),
    "zst without its name": pa.compress(UTF8, codec="zstd", asbytes=True),
    "one.zip": zipped("folder/t.csv"),
    "mac.zip": zipped("t.csv", "__MACOSX/._t.csv"),
    "zip without its name": zipped("t.csv"),
    "utf16.csv": TEXT.encode("utf-16"),
    "utf16-be.csv": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf32.csv": TEXT.encode("utf-32"),
    "utf16.txt": TEXT.replace(", ", "; ").replace(",", "\t").replace("; ", ", ").encode("utf-16"),
    "utf16.csv.gz": gzip.compress(TEXT.encode("utf-16")),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_unpacked_and_decoded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    table = open_table(path)
    assert rows_of(table) == ROWS
    assert table.name == str(path)
    assert [file["path"] for file in table.fingerprint()["files"]] == [str(path)]
    assert rows_of(open_table(f"SELECT name, x + 1 AS z FROM '{path}'"))[0] == ("ann", 2.5)


ENDS = {
    "a line is appended": "a,b\r\n" + "1,x\r\n" * 5 + "1,x\n",
    "a line with CRLF is appended": "a,b\n" + "1,x\n" * 5 + "1,x\r\n",
    "the header has CRLF": "a,b\r\n" + "1,x\n" * 6,
    "the header has LF": "a,b\n" + "1,x\r\n" * 6,
    "in the middle": "a,b\r\n" + "1,x\r\n" * 3 + "1,x\n" * 3,
    "at the end of a long file": "a,b\r\n" + "1,x\r\n" * 60_000 + "1,x\n",
    "old and new": "a,b\r" + "1,x\r" * 5 + "1,x\n",
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("packed", [False, True])
def test_line_ends_may_be_mixed(tmp_path: Path, name: str, packed: bool) -> None:
    if packed and "long" in name:
        return
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    content = ENDS[name].encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    rows = rows_of(open_table(path))
    assert rows == [(1.0, "x")] * (60_001 if "long" in name else 6)


def test_line_ends_in_quotes_stay(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\r\n1,"x\ny"\r\n2,"x\r\ny"\r\n')
    assert [row[1] for row in rows_of(open_table(path))] == ["x\ny", "x\r\ny"]
    path.write_bytes(b'a,b\r\n1,"x\r\ny"\r\n2,"x\ny"\n')
    assert [row[1] for row in rows_of(open_table(path))] == ["x\r\ny", "x\ny"]


def test_an_archive_with_several_files(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    path.write_bytes(zipped("a.csv", "b.csv"))
    with pytest.raises(DataError, match=r"2 files.*Name one as  '.*t\.zip#a\.csv'"):
        open_table(path)
    first, second = open_table(f"{path}#a.csv"), open_table(f"{path}#b.csv")
    assert rows_of(first) == rows_of(second) == ROWS
    assert first.fingerprint() != second.fingerprint()
    with pytest.raises(DataError, match=r"no file 'c\.csv'"):
        open_table(f"{path}#c.csv")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    for name, content in (("t.csv.xz", lzma.compress(UTF8)[:-9]), ("t.zip", zipped("a")[:-30])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            open_table(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_messages_name_the_file_that_the_user_knows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\n1,2\n1\n".encode("utf-16"))
    with pytest.raises(DataError) as caught:
        rows_of(open_table(path))
    assert str(caught.value).startswith(f"{path}, line 3: expected 2 fields")


PROGRAM = """
import sys
from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
table, again = open_table(sys.argv[1]), open_table(sys.argv[1])
listed = ", ".join(column.sql for column in table.columns)
print(table.name, table.query(f"SELECT {listed} FROM {table.rows}").to_pylist())
print(again.count(), table.fingerprint() == again.fingerprint(), "hash" in table.fingerprint())
"""


@pytest.mark.parametrize(
    "content", [UTF8, gzip.compress(UTF8), zipped("t.csv")], ids=["plain", "gz", "zip"]
)
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read(name: str, content: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name], input=content, capture_output=True, check=True
    )
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("standard input [{'name': 'ann', 'x': 1.5}")
    assert lines[1] == "2 True True"


def test_an_empty_standard_input_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "-"], input=b"", capture_output=True, check=False
    )
    assert b"standard input is empty" in done.stderr


def test_a_device_is_no_table() -> None:
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(DataError, match="is empty"):
            open_table(device)


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(UTF8,))
    writer.start()
    assert rows_of(open_table(path)) == ROWS
    writer.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    make = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_text_from_an_address_is_read_as_its_file_is(site: tuple[Path, str]) -> None:
    folder, address = site
    text = "# made\nday,n,x\n14/02/2021,NA,1\n15/02/2021,3,2\n"
    for name in ("t.csv", "t.csv.gz", "download"):
        packed = name.endswith("gz")
        (folder / name).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        table, local = open_table(f"{address}/{name}?token=secret"), open_table(folder / name)
        assert rows_of(table) == rows_of(local) == [("14/02/2021", None, 1.0), ("15/02/2021", 3, 2)]
        assert [one.type for one in table.columns] == [one.type for one in local.columns]
        assert table.fingerprint()["hash"]
        assert "secret" not in table.name
    (folder / "t.jsonl").write_text('{"a": 1}\n')
    assert rows_of(open_table(f"{address}/t.jsonl")) == [(1.0,)]
    with pytest.raises(DataError, match=r"none\.csv.*404"):
        open_table(f"{address}/none.csv?token=secret")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{address}/t.csv", "Every process downloads all of"),
        ("{address}/t.csv.gz", "it is compressed: every process reads all of"),
        ("SELECT a FROM '{folder}/t.csv'", "Every process reads all of"),
        ("{folder}/t.csv", ""),
    ],
)
def test_shares_say_what_each_process_reads_beyond_its_own(
    site: tuple[Path, str], data: str, said: str
) -> None:
    folder, address = site
    text = b"a,b\n" + b"1,x\n2,y\n" * 20
    (folder / "t.csv").write_bytes(text)
    (folder / "t.csv.gz").write_bytes(gzip.compress(text))
    data = data.format(address=address, folder=folder)

    def share(sharing: Sharing) -> tuple[int, tuple[str, ...]]:
        table = share_of(open_table(data), sharing, folder.parent / "store")
        return len(rows_of(table)), table.notes

    for count, notes in in_processes(2, share):
        assert count == 20
        assert any(said in note for note in notes) if said else notes == ()


def test_parquet_from_an_address_is_read_as_its_file_is(site: tuple[Path, str]) -> None:
    """Also where DuckDB lacks its extension for the network, and in a query."""
    folder, address = site
    table = pa.table({"k": [2**53 + 1, 2**53, None], "x": [0.5, 1.5, 2.5]})
    pa.parquet.write_table(table, folder / "t.parquet")
    (folder / "t.csv").write_text("k,x\n007,NA\n1,2\n")
    url = f"{address}/t.parquet?token=secret"
    assert rows_of(open_table(url)) == rows_of(open_table(folder / "t.parquet"))
    for suffix in ("parquet", "csv"):
        query = f"SELECT k, x FROM '{address}/t.{suffix}' WHERE k IS NOT NULL"
        found = open_table(query)
        assert rows_of(found) == rows_of(open_table(query.replace(address, str(folder))))
        assert found.fingerprint()["hash"]
    with pytest.raises(DataError, match=r"none\.parquet.*404"):
        open_table(f"SELECT * FROM '{address}/none.parquet'")


def test_a_download_that_ends_too_early_is_no_shorter_table() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"a,b\n1,2\n3,4\n")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(DataError, match="ended after 12 of 1,000 bytes"):
                open_table(f"http://127.0.0.1:{server.server_address[1]}/t.csv")
        finally:
            server.shutdown()
            thread.join()


def test_nothing_is_left_when_a_table_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress(UTF8))
    table = open_table(path)
    spooled = table.source.reads[0]
    assert Path(spooled).exists()
    del table
    assert not Path(spooled).exists()


def workbook(
    path: Path,
    sheets: dict[str, list[list[Any]]],
    merged: Sequence[str] = (),
    hidden: Sequence[str] = (),
) -> None:
    """Write an .xlsx file with the parts alone that a reader needs."""
    ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
    joined = f"<mergeCells>{ranges}</mergeCells>" if ranges else ""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    listed = "".join(
        f'<sheet name="{name}" sheetId="{place}" r:id="r{place}" '
        f'state="{"hidden" if name in hidden else "visible"}"/>'
        for place, name in enumerate(sheets, 1)
    )
    relations = "".join(
        f'<Relationship Id="r{place}" Type="{office}/worksheet" Target="worksheets/s{place}.xml"/>'
        for place in range(1, len(sheets) + 1)
    )
    relations += f'<Relationship Id="st" Type="{office}/styles" Target="styles.xml"/>'
    styles = (
        '<numFmts count="1"><numFmt numFmtId="165" formatCode="yyyy-mm-dd hh:mm:ss"/></numFmts>'
        '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="165" applyNumberFormat="1"/></cellXfs>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
            'ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="w" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">{relations}</Relationships>',
        )
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{main}">{styles}</styleSheet>')
        for place, rows in enumerate(sheets.values(), 1):
            body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/s{place}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData>{joined}</worksheet>',
            )


class Inside(NamedTuple):
    """What stands in a cell, as it is, and where the cell is."""

    content: str
    place: str


def _cell(value: Any) -> str:
    if isinstance(value, Inside):
        return f'<c r="{value.place}">{value.content}</c>'
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.datetime):
        days = (value - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)
        return f'<c s="1"><v>{days!r}</v></c>'
    return f"<c><v>{value}</v></c>"


def test_a_workbook_is_read_as_its_csv_would_be(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    rows = [
        ["name", "x", "day", "good", "code"],
        ["ann", 1.5, datetime.datetime(2024, 1, 31), True, "007"],
        ["bob", 2, datetime.datetime(2024, 2, 1, 12), False, "008"],
    ]
    path = tmp_path / "t.xlsx"
    workbook(path, {"Numbers": rows, "Nothing": []})
    text = tmp_path / "t.csv"
    text.write_text(
        "name,x,day,good,code\nann,1.5,2024-01-31,true,007\nbob,2,2024-02-01 12:00:00,false,008\n"
    )
    assert rows_of(open_table(path)) == rows_of(open_table(text))
    workbook(path, {"Numbers": rows, "More": [["a"], [1]]})
    with pytest.raises(DataError, match=r"several sheets: Numbers, More.*t\.xlsx#Numbers"):
        open_table(path)
    assert rows_of(open_table(f"{path}#Numbers")) == rows_of(open_table(text))
    assert rows_of(open_table(f"{path}#More")) == [(1.0,)]
    with pytest.raises(DataError, match="no sheet 'None'"):
        open_table(f"{path}#None")
    workbook(path, {"Lists": [["a"], [1]], "Numbers": rows}, hidden=["Lists"])
    assert rows_of(open_table(path)) == rows_of(open_table(text))
    assert rows_of(open_table(f"{path}#Lists")) == [(1.0,)]


def test_a_cell_merged_over_rows_is_the_value_of_each(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    rows: list[list[Any]] = [["shop", "x"], ["a", 1], ["", 2], ["", 3], ["b", 4], ["", 5]]
    workbook(tmp_path / "t.xlsx", {"S": rows}, merged=["A2:A4", "A5:A6", "B2:B2"])
    table = open_table(tmp_path / "t.xlsx")
    assert rows_of(table) == [("a", 1.0), ("a", 2.0), ("a", 3.0), ("b", 4.0), ("b", 5.0)]
    assert any("3 cells below the first of a merged cell have its value" in n for n in table.notes)
    workbook(tmp_path / "t.xlsx", {"S": rows}, merged=[])
    assert rows_of(open_table(tmp_path / "t.xlsx"))[1] == (None, 2.0)


def test_formulas_without_a_saved_value_are_told(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    cells = [
        ("a", "<f>A2*2</f>"),
        ("b", "<f>A3*2</f><v></v>"),
        ("c", '<f t="shared" si="0"/><v>6</v>'),
        ("d", "<f>A5*2</f><v/>"),
    ]
    rows: list[list[Any]] = [["name", "x"]]
    rows += [[name, Inside(cell, f"B{line}")] for line, (name, cell) in enumerate(cells, 2)]
    workbook(tmp_path / "t.xlsx", {"Other": [], "S": rows})
    table = open_table(tmp_path / "t.xlsx")
    assert rows_of(table) == [("a", None), ("b", None), ("c", 6.0), ("d", None)]
    said = "3 cells hold formulas without a saved value, the first in B2"
    assert any(said in note for note in table.notes)
    numbers = pa.table({"x": [*range(30)] * 2, "y": [row % 7 + 0.5 for row in range(60)]})
    schema = learn_schema(open_table(numbers), Settings("y", task="regression"))
    unseen = UnseenValues(schema)
    assert len([*Encoder(schema).encode(table, target=False, unseen=unseen)]) == 1
    assert said in unseen.sentences()[0]
    workbook(tmp_path / "t.xlsx", {"S": [rows[0], ["c", Inside(cells[2][1], "B2")]]})
    assert open_table(tmp_path / "t.xlsx").notes == ()


@pytest.mark.parametrize("name", ["t.xlsx", "t.xls", "t"])
def test_a_workbook_without_its_library_says_what_to_install(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    workbook(tmp_path / name, {"Numbers": [["a"], [1]]})
    with pytest.raises(DataError, match="pip install python-calamine"):
        open_table(tmp_path / name)
