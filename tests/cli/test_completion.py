"""What a shell offers when Tab is pressed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from descend.cli.completion import SURFACE_NAMES
from descend.tuning.landscape.surfaces import SURFACES


def test_the_names_are_those_of_the_surfaces() -> None:
    assert set(SURFACE_NAMES) == set(SURFACES)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("landscape v", ["valley"]),
        ("landscape --directions ", ["path", "random"]),
        ("train data.csv --model ", ["tabular", "mlp", "linear"]),
        ("train data.csv --batch-size a", ["auto", "all"]),
        ("compare data.csv --optimizer ada", ["adam", "adamw", "adagrad"]),
        ("train data.csv --target ", []),
    ],
)
def test_words_are_completed(typed: str, offered: list[str]) -> None:
    line = f"descend {typed}"
    environment = {
        **os.environ,
        "_DESCEND_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    # As the installed command does: the variable is named after the program.
    program = "import sys; sys.argv = ['descend']; from descend.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == offered
