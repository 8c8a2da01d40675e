"""A problem ready to be trained, advised on or compared, whatever it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descend.data.prepare import Prepared, prepare
from descend.data.reading.query import is_query
from descend.io.secrets import without_secrets
from descend.reporting.progress import Progress
from descend.runtime.table_run import table_run
from descend.settings import Settings
from descend.training.build import problem_of
from descend.training.problem import Problem

MakeSetup = Callable[[Settings, Progress], "TrialSetup"]
"""Makes a problem of settings; nothing is read before it is called."""


@dataclass(frozen=True)
class TrialSetup:
    """A problem, and what records say of it.

    Attributes:
        problem: with the update rule and the seed of the settings.
        settings: resolved, but for a batch size and a learning rate that are to be found.
        data: source, fingerprint, rows and task.
        again: `(update rule, seed) -> problem`, the same otherwise.
        own: for a custom model, the names of `model`, `loss` and `optimizer`; else empty.
        custom_optimizer: whether `again` knows an update rule of the user's, as `CUSTOM_RULE`.
        unused: settings that mean nothing to it.
    """

    problem: Problem
    settings: Settings
    data: Mapping[str, Any]
    again: Callable[[str, int], Problem]
    own: Mapping[str, str] = dataclasses.field(default_factory=dict)
    custom_optimizer: bool = False
    unused: frozenset[str] = frozenset()

    def recorded(self, settings: Settings) -> dict[str, Any]:
        """The settings as a record holds them: without those that have no meaning here."""
        known = settings.as_json()
        return {name: known[name] for name in known if name not in self.unused} | dict(self.own)


def table_setup(data: Any) -> MakeSetup:
    """Our model on a table.

    Args:
        data: whatever `open_table` takes.
    """

    def make_setup(settings: Settings, progress: Progress) -> TrialSetup:
        table = table_run(data, settings, progress)
        settings = table.settings
        if settings.networks not in (None, 1):
            progress.message(
                f"Of the {settings.networks} networks, one is trained in each trial: all have the "
                "same batch size and learning rate."
            )
            settings = settings.replace(networks=1)

        split: dict[int, Prepared] = {}

        def split_anew(seed: int) -> Prepared:
            if seed not in split:
                # The rows of another split go before the new ones are read.
                split.clear()
                split[seed] = prepare(data, settings.replace(seed=seed), say=progress.message)
            return split[seed]

        def again(optimizer: str, seed: int) -> Problem:
            prepared = table.prepared if seed == settings.seed else split_anew(seed)
            return problem_of(settings.replace(optimizer=optimizer, seed=seed), prepared)

        return TrialSetup(table.problem, settings, table.facts, again)

    return make_setup


def data_name(data: Any, otherwise: str) -> str:
    """A name for a folder: that of the file without folders and endings.

    >>> data_name("tables/withdrawals.csv", "run"), data_name("SELECT 1", "run")
    ('withdrawals', 'run')
    """
    if not isinstance(data, str | Path) or is_query(str(data)):
        return otherwise
    stem = Path(without_secrets(str(data))).name.split(".")[0]
    name = "".join(letter for letter in stem if letter.isalnum() or letter in "-_")
    return name.strip("-_") or otherwise
