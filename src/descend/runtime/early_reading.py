"""Read a table while Python still imports what trains on it."""

from __future__ import annotations

import contextvars
import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from descend.data.prepare import Prepared, prepare
from descend.data.rows.store_cache import Say
from descend.settings import Settings
from descend.training.processes.starters import expected_processes

MOST_BYTES = 64 << 20
"""A larger file takes so long to read that the time of the imports does not matter."""


@dataclasses.dataclass(frozen=True)
class EarlyReading:
    """A table that a thread reads.

    Attributes:
        coming: its rows.
        said: messages for the user so far.
    """

    coming: Future[Prepared]
    said: list[str]

    def prepared(self, say: Say) -> Prepared:
        """The rows, as soon as they are there.

        Args:
            say: called with the messages of the reading.

        Raises:
            DataError: as `prepare` does.
        """
        try:
            return self.coming.result()
        finally:
            for text in self.said:
                say(text)


def begin_reading(data: object, settings: Settings) -> EarlyReading | None:
    """Begin to prepare a table for training, in a thread; DuckDB works without Python.

    None for what is not a small file on this machine: a query, an address, a pattern, a store on
    disk, a table that several processes share. That is read when its turn comes.

    Args:
        data: as the user named it.
        settings: as the user gave them.
    """
    bounded = settings.memory is not None or settings.store is not None
    if bounded or expected_processes() > 1 or not _is_small_file(data):
        return None
    said: list[str] = []
    pool = ThreadPoolExecutor(1, thread_name_prefix="descend-reading")
    # Errors are worded for whoever calls: the words are those of this context.
    run = contextvars.copy_context().run
    coming = pool.submit(run, prepare, data, settings, say=said.append)
    pool.shutdown(wait=False)
    return EarlyReading(coming, said)


def _is_small_file(data: object) -> bool:
    if not isinstance(data, str | Path):
        return False
    try:
        place = Path(data)
        return place.is_file() and place.stat().st_size <= MOST_BYTES
    except (OSError, ValueError):
        return False
