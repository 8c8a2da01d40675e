"""The folder that advise, compare and landscape write to: nothing of the user's is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import descend
from descend.commands.outputs import (
    ADVICE,
    KINDS,
    Kind,
    free_folder,
    kind_in,
    write_record_and_page,
)
from descend.errors import InputError
from descend.reporting.page_model import Page, Summary

ALL = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def plain(kind: Kind) -> Kind:
    """The kind with a page that needs no figures."""
    return kind._replace(page_of=lambda record: Page("Title", Summary("Nothing", []), [], "End"))


@ALL
def test_a_record_is_completed_and_written_with_its_page(tmp_path: Path, kind: Kind) -> None:
    folder = free_folder(tmp_path / "a" / "b", kind)
    assert not folder.exists()
    record = write_record_and_page(folder, plain(kind), {"rows": 3}, ["typed"])
    assert {"ended", "machine", "versions"} <= record.keys()
    assert {name: record[name] for name in ("kind", "descend", "command", "rows")} == {
        "kind": kind.name,
        "descend": descend.__version__,
        "command": ["typed"],
        "rows": 3,
    }
    assert json.loads(kind.record_in(folder).read_text()) == record
    assert kind.page_in(folder).read_text().startswith("<!doctype html>")
    assert kind_in(folder) == kind


@ALL
def test_an_earlier_record_is_replaced_by_force_alone(tmp_path: Path, kind: Kind) -> None:
    write_record_and_page(tmp_path, plain(kind), {"rows": 3})
    with pytest.raises(InputError, match=rf"The {kind.noun} .* exists. Type force=True"):
        free_folder(tmp_path, kind)
    assert free_folder(tmp_path, kind, force=True) == tmp_path


@ALL
@pytest.mark.parametrize("force", [False, True])
def test_files_of_the_user_are_never_replaced(tmp_path: Path, kind: Kind, force: bool) -> None:
    for path in (kind.record_in(tmp_path), kind.page_in(tmp_path)):
        path.write_text('{"mine": 1}')
        with pytest.raises(InputError):
            free_folder(tmp_path, kind, force=force)
        assert path.read_text() == '{"mine": 1}'
        path.unlink()


@ALL
def test_a_file_is_no_folder(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="out must name a folder"):
        free_folder(tmp_path / "file", kind)


def test_the_next_free_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder(None, ADVICE, stem="bike") == Path("runs/bike-advice-1")
    Path("runs/bike-advice-1").mkdir(parents=True)
    assert free_folder(None, ADVICE, stem="bike") == Path("runs/bike-advice-2")


def test_a_folder_without_a_record_is_of_no_kind(tmp_path: Path) -> None:
    assert kind_in(tmp_path) is None
