"""The command that holds out all rows of some customers."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import numpy as np
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import command_line_words
from descend.settings import settings_from

ROWS = 400


def warning(path: Path, name: str) -> str:
    random = np.random.default_rng(0)
    rows = zip(random.integers(0, 50, ROWS), random.normal(size=(ROWS, 2)), strict=True)
    lines = [f"c{one},{x},{y}" for one, (x, y) in rows]
    path.write_text("\n".join([f'"{name}",x,y', *lines]) + "\n")
    schema = learn_schema(open_table(path), settings_from({"target": "y"}))
    return next(one for one in schema.warnings if "whom or what" in one).partition("them:  ")[2]


@pytest.mark.parametrize("name", ["customer_id", "user", "customer id"])
def test_the_command_can_be_pasted_in_a_shell(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    with command_line_words():
        command = warning(path, name)
    if " " not in name:
        assert "'\"'" not in command
    program, train, learned, *options = shlex.split(command)
    assert (program, train, *options[:-1]) == ("descend", "train", "--target", "y", "--validation")
    parts = [open_table(query) for query in (learned, options[-1])]
    assert sum(part.count() for part in parts) == ROWS
    known, new = (
        set(part.query(f'SELECT "{name}" AS k FROM {part.rows}')["k"].to_pylist()) for part in parts
    )
    assert known
    assert new
    assert not known & new


def test_the_call_can_be_pasted_in_python(tmp_path: Path) -> None:
    call = ast.parse(warning(tmp_path / "t.csv", "customer"), mode="eval").body
    assert isinstance(call, ast.Call)
    assert [one.arg for one in call.keywords] == ["target", "validation"]
