"""Names of files that cannot be, and what to do about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from descend.errors import InputError
from descend.io.paths import named_path


def test_a_name_in_utf8_is_not_to_be_renamed_where_the_terminal_has_another_encoding() -> None:
    typed = "größe.csv".encode().decode("ascii", "surrogateescape")  # As Python has it there.
    with pytest.raises(InputError, match="set LC_ALL="):
        named_path(typed)


def test_a_name_that_is_no_utf8_is_to_be_renamed() -> None:
    with pytest.raises(InputError, match="Rename it first"):
        named_path(b"\xff\xfe.csv".decode("utf-8", "surrogateescape"))


def test_a_tilde_is_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves it as it is in `--out=~/runs`, and Python everywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_path("~/runs") == tmp_path / "runs"
    monkeypatch.chdir(tmp_path)
    assert named_path("~odd.csv") == Path("~odd.csv")
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "it").touch()
    assert named_path("~/it") == Path("~/it")


def test_a_tilde_without_a_home_makes_no_folder_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(InputError, match="this user has no home"):
        named_path("~/runs", "--out")
