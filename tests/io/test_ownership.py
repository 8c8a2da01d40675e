"""What may be replaced: files of ours of the kind that is written, and nothing of the user's."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.errors import InputError
from descend.io.ownership import (
    PAGE,
    PARQUET_MARK,
    PREDICTIONS,
    check_replaceable,
    kind_of_file,
    output_file,
)

PAGE_TEXT = '<!doctype html>\n<meta name="generator" content="descend">'


def written(path: Path, content: bytes, kind: str) -> Path:
    with output_file(path, kind) as sink:
        sink.write(content)
    return path


def test_a_file_of_the_users_is_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text('"y"\n1.0\n')
    for force in (False, True):
        with pytest.raises(InputError, match="no mark of descend"):
            check_replaceable(mine, PREDICTIONS, "-o", force=force)


def test_what_looks_like_ours_is_replaced_by_force_alone(tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_text('"y"\n1.0\n')

    def alike(path: Path) -> bool:
        return path.read_text().startswith('"y"')

    with pytest.raises(InputError, match="force=True replaces it"):
        check_replaceable(copy, PREDICTIONS, "-o", looks_alike=alike)
    assert check_replaceable(copy, PREDICTIONS, "-o", force=True, looks_alike=alike) == copy
    with pytest.raises(InputError, match="is read by this command"):
        check_replaceable(copy, PREDICTIONS, "-o", reads=[copy], force=True, looks_alike=alike)


def test_another_kind_and_what_is_read_need_force(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE_TEXT)
    assert check_replaceable(page, PAGE, "out") == page
    with pytest.raises(InputError, match="is a page; predictions would replace it"):
        check_replaceable(page, PREDICTIONS, "-o")
    with pytest.raises(InputError, match="is read by this command"):
        check_replaceable(page, PAGE, "out", reads=[page])
    assert check_replaceable(page, PREDICTIONS, "-o", reads=[page], force=True) == page


def test_parquet_carries_its_mark(tmp_path: Path) -> None:
    ours, mine = tmp_path / "ours.parquet", tmp_path / "mine.parquet"
    table = pa.table({"y": [1.0]})
    pa.parquet.write_table(table.replace_schema_metadata(PARQUET_MARK), ours)
    pa.parquet.write_table(table, mine)
    assert (kind_of_file(ours), kind_of_file(mine)) == (PREDICTIONS, None)


def test_a_link_stays_and_what_it_leads_to_is_asked_about(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("a,b\n1,2\n")
    link.symlink_to(target)
    with pytest.raises(InputError, match="no mark"):
        check_replaceable(link, PREDICTIONS, "-o", force=True)
    target.unlink()
    written(link, b"y\n", PREDICTIONS)
    assert link.is_symlink()
    assert target.read_bytes() == b"y\n"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    written(check_replaceable(pipe, PREDICTIONS, "-o"), b"y\n", PREDICTIONS)
    reader.join()
    assert found == [b"y\n"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "expected"), [("a\0b", "NUL"), ("x" * 300, "300 bytes"), ("o\udcff", "UTF-8")]
)
def test_names_that_no_file_can_have(name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        check_replaceable(name, PREDICTIONS, "-o")
