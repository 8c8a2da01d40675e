"""Which folders are runs: told by marks, not by names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from descend.errors import FileFormatError, InputError
from descend.runs.folder import claim_run, create_run, open_run
from tests.records import run_record


@pytest.mark.parametrize(
    "files",
    [
        {".lock": "", "plots/thesis.png": "mine", "store/data.bin": "mine"},
        {".movie.mkv.part": ""},
        {"run.json": "{}", "plots/thesis.png": "mine"},
        {"run.json": '{"name": "another program"}'},
        {"model.safetensors": "weights of another program"},
        {"report.html": "<!doctype html>my report"},
        {".lock": "another program's"},
        {"checkpoint/epoch-1.pt": "mine"},
        {"tensorboard/events.out.tfevents.1.host": "mine"},
    ],
    ids=lambda files: next(reversed(files)),
)
@pytest.mark.parametrize("force", [False, True])
def test_names_like_ours_make_no_run(tmp_path: Path, files: dict[str, str], force: bool) -> None:
    for name, content in files.items():
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text(content)
    with pytest.raises(InputError, match="descend did not write"):
        create_run(tmp_path / "work", "x", force=force)
    for name, content in files.items():
        assert (tmp_path / "work" / name).read_text() == content


def test_data_inside_a_run_keeps_it(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(run_record())
    (tmp_path / "run" / "plots").mkdir()
    (tmp_path / "run" / "plots" / "base.csv").write_text("a,y\n")
    with pytest.raises(InputError, match=r"plots/base\.csv"):
        create_run(tmp_path / "run", "x", force=True)


def test_a_damaged_run_of_ours_is_replaced_by_force(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(run_record())
    (tmp_path / "run" / "run.json").write_text("{")
    with create_run(tmp_path / "run", "x", force=True) as folder:
        assert [entry.name for entry in folder.path.iterdir()] == [".lock"]


def test_nothing_is_deleted_before_a_folder_is_known_to_be_a_run(tmp_path: Path) -> None:
    left = tmp_path / ".run.json.abcd1234.descend-part"
    left.write_text("half")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FileFormatError, match="damaged"):
        open_run(tmp_path)
    assert left.exists()


def test_a_claim_without_a_run_leaves_nothing(tmp_path: Path) -> None:
    with claim_run(tmp_path / "a" / "b", "x"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())


def test_a_claim_keeps_the_run_that_stands_there(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(run_record())
    before = (tmp_path / "run" / "run.json").read_bytes()
    with claim_run(tmp_path / "run", "x", force=True):
        pass
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_link_in_a_run_is_not_written_through(tmp_path: Path) -> None:
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(run_record())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.symlink(elsewhere, tmp_path / "run" / "checkpoint")
    with pytest.raises(InputError, match="is a link"):
        open_run(tmp_path / "run")
