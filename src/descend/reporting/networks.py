"""The history of a run that trained several networks, one after another, as one of each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import count_text
from descend.reporting.html import number_text
from descend.types import History, counted_from_first


def by_network(history: History) -> list[History]:
    """The lines of each network, their counts and seconds from its own beginning.

    A network begins with a line before its first update, at the counts of the last line before.
    """
    groups = itertools.groupby(history, key=lambda one: one.network)
    parts = [(number, tuple(lines)) for number, lines in groups]
    return [lines if number == 1 else counted_from_first(lines) for number, lines in parts]


def last_network(history: History) -> History:
    """The lines of the last network."""
    return by_network(history)[-1] if history else history


def networks_text(result: Mapping[str, Any], trained: int) -> str:
    """How many networks a model is the mean of; empty where only one was trained.

    Args:
        result: of run.json.
        trained: networks that were begun.

    >>> networks_text({"networks": [0.25, 0.24, 0.26]}, 3)
    'The model is the mean of 3 networks, with validation losses from 0.24 to 0.26.'
    """
    losses: Sequence[float] = result.get("networks") or ()
    if not losses:
        return ""
    ends = f"from {number_text(min(losses))} to {number_text(max(losses))}"
    whole = f"the mean of {count_text(len(losses), 'network')}, with validation losses {ends}"
    if len(losses) == 1:
        whole = f"one network, with a validation loss of {number_text(losses[0])}"
    left_out = trained - len(losses)
    why = (
        f"; {left_out} more, whose loss was much higher or whose training was cut off, "
        f"{'is' if left_out == 1 else 'are'} no part of it"
    )
    return f"The model is {whole}{why if left_out > 0 else ''}."
