"""The command line, saving twenty times a second, so that kills fall into checkpoints.

With LITTLE_MEMORY in its environment it has so little that a small table is read in windows: the
least bound that `--memory` takes is far more than a table that trains in a second needs.
"""

from __future__ import annotations

import dataclasses
import os

from descend.cli import app
from descend.data import prepare
from descend.data.rows import write_store
from descend.data.rows.budget import Budget, divide
from descend.runtime import callbacks


def little(memory: int | None) -> Budget:
    """A few hundred thousand bytes for rows."""
    return dataclasses.replace(
        divide(memory), table=200_000, window=600_000, validation=100_000, shuffling=400_000
    )


def main() -> None:
    """Run the command line."""
    callbacks.SECONDS_BETWEEN = 0.05
    callbacks.LARGEST_SHARE = 0.5
    if os.environ.get("LITTLE_MEMORY"):
        write_store.PIECE_BYTES = 20_000
        prepare.keep_to = little  # type: ignore[attr-defined]
    app.main()


if __name__ == "__main__":
    main()
