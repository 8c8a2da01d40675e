"""Several processes that share a table out, as threads that hand each other their messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from descend.data.reading.sharing import Sharing

T = TypeVar("T")


def in_processes(count: int, work: Callable[[Sharing], T]) -> list[T]:
    """What the work returns in each of several processes."""
    meeting = threading.Barrier(count, timeout=60)
    sent: list[bytes] = [b""] * count

    def run(index: int) -> T:
        def gather(own: bytes) -> Sequence[bytes]:
            sent[index] = own
            meeting.wait()
            everything = list(sent)
            meeting.wait()
            return everything

        try:
            return work(Sharing(index, count, gather))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run, index) for index in range(count)]
    errors = [one.exception() for one in futures if one.exception() is not None]
    # A process that misses another one's message is not the one that failed.
    for error in sorted(errors, key=lambda one: isinstance(one, threading.BrokenBarrierError)):
        assert error is not None
        raise error
    return [one.result() for one in futures]
