"""Run directories: nothing of the user's is ever replaced, and damage is named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from descend.errors import FileFormatError, InputError
from descend.runs import folder as runs
from descend.runs.folder import create_run, open_run, read_run_record
from descend.runs.history import read_history
from tests.records import run_record

RECORD = run_record()
PAGE = '<!doctype html>\n<meta name="generator" content="descend">'


@pytest.mark.parametrize("name", ["plots", "store", "checkpoint", "report.html", "notes.txt"])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_no_run_is_never_emptied(tmp_path: Path, name: str, force: bool) -> None:
    mine = tmp_path / "work" / name / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    with pytest.raises(InputError, match=name):
        create_run(tmp_path / "work", "x", force=force)
    assert mine.read_text() == "years of work"
    assert [entry.name for entry in (tmp_path / "work").iterdir()] == [name]


def test_a_strange_file_in_a_run_keeps_it_from_being_replaced(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(RECORD)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        create_run(tmp_path / "run", "x", force=True)


def test_a_run_is_replaced_by_force_alone(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(RECORD)
        folder.write_report(PAGE)
    with pytest.raises(InputError, match="force=True"):
        create_run(tmp_path / "run", "x")
    with create_run(tmp_path / "run", "x", force=True) as folder:
        assert [entry.name for entry in folder.path.iterdir()] == [".lock"]


def test_what_a_link_in_a_run_points_to_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows").write_text("rows")
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(RECORD)
        (folder.path / "store").symlink_to(elsewhere)
    create_run(tmp_path / "run", "x", force=True).release()
    assert (elsewhere / "rows").read_text() == "rows"
    assert (tmp_path / "run" / "store").is_symlink()


def test_a_run_that_ended_between_look_and_lock_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    held = runs._lock_folder

    def other_was_faster(place: Path, made: object = ()) -> runs.RunFolder:
        with held(place) as other:
            other.write_record(RECORD)
        return held(place)

    monkeypatch.setattr(runs, "_lock_folder", other_was_faster)
    with pytest.raises(InputError, match="force=True"):
        create_run(path, "x")
    monkeypatch.undo()
    with open_run(path) as folder:
        assert RECORD.items() <= folder.read_record().items()


def test_a_folder_held_by_a_process_that_died_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from descend.runs.folder import create_run\n"
        "create_run(Path(sys.argv[1]), 'x'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="Another descend"):
            create_run(tmp_path / "run", "x")
        process.kill()
        process.wait()
    create_run(tmp_path / "run", "x").release()


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", read_only)
    with pytest.raises(InputError, match="no permission"):
        create_run(tmp_path / "run", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        create_run(tmp_path / "file", "x")


@pytest.mark.parametrize(
    "content",
    [b"update\n1\n", b'update\n"' + b"x" * 200_000 + b'"\n', b"update\n1\0\n", b"\xff\xfe"],
    ids=["columns", "long", "zero", "bytes"],
)
def test_a_damaged_history_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"history\.csv is damaged"):
        read_history(tmp_path)


def test_a_history_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.csv").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        read_history(tmp_path)


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", "{}", "9" * 5000])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        read_run_record(tmp_path)
