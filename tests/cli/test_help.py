"""What --help says: groups, defaults, examples, and the page of the documentation made of it."""

from __future__ import annotations

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from descend.cli.app import app
from descend.cli.help import EXAMPLES, GROUPS
from descend.cli.options import GROUP_OF, SETTINGS

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
HOOK = Path(__file__).parents[2] / "docs" / "hooks" / "command_line.py"


def help_of(command: str, width: int = 80) -> str:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": str(width)})
    assert shown.exit_code == 0
    return shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_and_gives_examples(command: str) -> None:
    text = help_of(command)
    assert max(map(len, text.splitlines())) <= 80
    if command in EXAMPLES:
        assert f"descend {command}" in text.split("Examples:")[1]


def test_options_stand_in_groups_with_their_defaults() -> None:
    assert GROUP_OF.keys() <= SETTINGS.keys()
    assert set(GROUP_OF.values()) <= set(GROUPS)
    text = " ".join(help_of("train").split())
    assert (
        text.index("Columns and rows:") < text.index("--target COLUMN The") < text.index("Model:")
    )
    assert "Model: --model MODEL tabular, mlp or linear. [default: tabular]" in text
    assert "[default: mlp]" in help_of("compare", 110)


def test_help_is_a_command_too() -> None:
    assert CliRunner().invoke(app, ["help"]).stdout.startswith("Usage:")
    shown = CliRunner().invoke(app, ["help", "advise"], env={"COLUMNS": "80"})
    assert shown.stdout == help_of("advise")


def test_a_wide_terminal_gets_wide_help() -> None:
    # In a process of its own: the runner of the tests makes every terminal 80 columns wide.
    command = [sys.executable, "-m", "descend", "train", "--help"]
    env = {**os.environ, "COLUMNS": "110"}
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert 80 < max(map(len, shown.splitlines())) <= 110


@pytest.mark.parametrize("example", [one for group in EXAMPLES.values() for one in group])
def test_examples_name_options_that_exist(example: str) -> None:
    _, command, *rest = shlex.split(example)
    known = {name for one in COMMANDS[command].params for name in one.opts}
    assert {word for word in rest if word.startswith("-")} <= known


def test_the_page_of_the_documentation_has_every_option() -> None:
    page = runpy.run_path(str(HOOK))["command_line_page"]()
    for name, command in COMMANDS.items():
        assert f"## descend {name}" in page
        assert all(option.opts[0] in page for option in command.params)
