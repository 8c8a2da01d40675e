"""The command to type after an advice."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

REPLACED = ("--batch-size", "--learning-rate", "--advice-budget", "--goal", "--out", "--processes")
"""Options with a value that the advice answers, or that belong to it alone."""
FLAGS = ("--force", "--json", "--quiet", "--debug")


def train_command(typed: Sequence[str], batch_size: int, learning_rate: float) -> str:
    """The command that trains with an advice, from the command that asked for it.

    Args:
        typed: arguments of the command line, `advise` first.
        batch_size: advised.
        learning_rate: advised.

    >>> train_command(["advise", "bike.csv", "--target=cnt", "--out", "advice"], 128, 0.13)
    'descend train bike.csv --target=cnt --batch-size 128 --learning-rate 0.13'
    """
    rest: list[str] = []
    skips_value = False
    for argument in typed[1:]:
        name, separator, _ = argument.partition("=")
        if skips_value:
            skips_value = False
        elif name in REPLACED:
            skips_value = not separator
        elif argument not in FLAGS:
            rest.append(argument)
    numbers = ["--batch-size", str(batch_size), "--learning-rate", f"{learning_rate:g}"]
    return shlex.join(["descend", "train", *rest, *numbers])
