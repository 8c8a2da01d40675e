"""The command line, saving twenty times a second, so that kills fall into checkpoints.

With LITTLE_MEMORY in its environment it has so little that a small table is read in windows: the
least bound that `--memory` takes is far more than a table that trains in a second needs.
"""

from __future__ import annotations

import dataclasses
import os

from descend import cli
from descend.data import prepare
from descend.data.rows import convert
from descend.data.rows.memory import Budget, divide
from descend.jobs import watcher


def little(memory: int | None) -> Budget:
    """A few hundred thousand bytes for rows."""
    return dataclasses.replace(
        divide(memory), table=200_000, window=600_000, validation=100_000, shuffling=400_000
    )


def main() -> None:
    """Run the command line."""
    watcher.SECONDS_BETWEEN = 0.05
    watcher.LARGEST_SHARE = 0.5
    if os.environ.get("LITTLE_MEMORY"):
        convert.PIECE_BYTES = 20_000
        prepare.divide = little  # type: ignore[attr-defined]
    cli.main()


if __name__ == "__main__":
    main()
