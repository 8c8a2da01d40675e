from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.cli.config_file import read_config
from descend.errors import SettingsError
from descend.settings import Settings, settings_from


def test_a_configuration_takes_any_option(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "# a run\ntarget = 'price'\nbatch-size = 64\nlearning_rate = 0.01\n"
        "hidden = [32, 16]\nexclude = ['id']\nclip = 1\n",
        encoding="utf-8",
    )
    assert settings_from(read_config(path)) == Settings(
        "price", batch_size=64, learning_rate=0.01, hidden=(32, 16), exclude=("id",), clip=1
    )


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_configuration_comes_from_any_editor(
    tmp_path: Path, start: bytes, line_end: bytes
) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(start + "target = 'größe'".encode() + line_end + b"seed = 3" + line_end)
    assert read_config(path) == {"target": "größe", "seed": 3}


@pytest.mark.parametrize(
    "content", [b"target = ", b"target: price", b"a = 1\na = 2", b"\xff\xfe\x00", b"PK\x03\x04"]
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="is not a TOML file") as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_a_configuration_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no file"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_config(tmp_path)


def test_a_section_in_a_configuration_is_no_option(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("target = 'y'\n[train]\nseed = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="There is no option train"):
        settings_from(read_config(path))


@given(content=st.binary(max_size=200))
def test_no_content_of_a_configuration_breaks_the_program(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with contextlib.suppress(SettingsError):
        settings_from(read_config(path))
