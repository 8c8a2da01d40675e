"""Items prepared ahead of their reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Generic, NamedTuple, TypeVar, final

T = TypeVar("T")
U = TypeVar("U")


class _Failure(NamedTuple):
    error: BaseException


def prefetched(
    source: Iterator[T], prepare: Callable[[T], U], *, depth: int = 2
) -> Generator[U, None, None]:
    """Run `source` and `prepare` in a thread, at most `depth` items ahead of the reader.

    Closing the returned generator ends the thread; an error in it is raised to the reader.
    """
    ready: queue.Queue[U | _Failure] = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def offer(item: U | _Failure) -> None:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in source:
                offer(prepare(item))
                if closed.is_set():
                    return
            offer(_Failure(StopIteration()))
        except BaseException as error:
            offer(_Failure(error))

    thread = threading.Thread(target=work, name="descend-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _Failure):
                if isinstance(item.error, StopIteration):
                    return
                raise item.error
            yield item
    finally:
        closed.set()
        # Whoever waits for a free place gets one, and then sees that it is over.
        while not ready.empty():
            ready.get_nowait()
        thread.join()


@final
class Feed(Generic[T, U]):
    """Items that are prepared while the reader is busy with the one before.

    Where preparing may wait for a disk, a thread does it. Where it only costs time, the reader
    calls `look_ahead` as soon as the device has something to do: a thread would compete with it
    for a core and for the interpreter (a tenth to a half of an epoch of small updates).

    Args:
        source: the items.
        prepare: what is done to each.
        waits: whether a thread is worth it.
    """

    def __init__(self, source: Iterator[T], prepare: Callable[[T], U], *, waits: bool) -> None:
        self._thread = prefetched(source, prepare) if waits else None
        self._prepared = self._thread or map(prepare, source)
        self._ready: list[U] = []

    def take(self) -> U:
        """The next item."""
        return self._ready.pop() if self._ready else next(self._prepared)

    def look_ahead(self) -> None:
        """Prepare the next item now, unless a thread does."""
        if self._thread is None and not self._ready:
            self._ready.append(next(self._prepared))

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.close()
