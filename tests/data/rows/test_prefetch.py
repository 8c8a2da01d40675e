import itertools
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from descend.data.rows.prefetch import Feed, read_ahead


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "descend-prefetch"]


def test_prefetched_items_come_prepared_in_order_and_end() -> None:
    assert list(read_ahead(iter(range(50)), lambda item: item * item)) == [n * n for n in range(50)]
    assert not prefetch_threads()


def test_an_error_in_the_source_reaches_the_reader_after_what_came_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    items = read_ahead(source(), lambda item: item)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)
    assert not prefetch_threads()


def test_an_error_in_the_preparation_reaches_the_reader() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(iter([1, 0]), lambda item: 1 / item))
    assert not prefetch_threads()


@pytest.mark.parametrize("taken", [1, 5])
def test_closing_ends_the_thread_in_the_middle_of_an_endless_source(taken: int) -> None:
    with closing(read_ahead(itertools.count(), lambda item: item)) as items:
        assert [next(items) for _ in range(taken)] == list(range(taken))
        assert len(prefetch_threads()) == 1
    assert not prefetch_threads()


def test_an_unused_prefetch_starts_nothing() -> None:
    read_ahead(itertools.count(), lambda item: item).close()
    assert not prefetch_threads()


def test_prefetching_stays_within_its_depth() -> None:
    count = 0
    ahead = threading.Event()

    def prepare(item: int) -> int:
        nonlocal count
        count += 1
        if count >= 5:
            ahead.set()
        return item

    with closing(read_ahead(itertools.count(), prepare, depth=3)) as items:
        next(items)
        # One is read, three lie in the queue, and one waits for a place in it.
        assert ahead.wait(timeout=30)
        threading.Event().wait(0.05)
        assert count == 5


@pytest.mark.parametrize("waits", [False, True])
def test_a_feed_gives_each_item_once_however_often_it_looks_ahead(waits: bool) -> None:
    with closing(Feed(itertools.count(), str, waits=waits)) as feed:
        found = []
        for number in range(5):
            found.append(feed.take())
            for _ in range(number):
                feed.look_ahead()
    assert found == ["0", "1", "2", "3", "4"]
