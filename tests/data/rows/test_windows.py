import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.rows.windows import Windows, even_windows, windowed_rows


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Windows, int]:
    """Windows and a number of rows."""
    windows = Windows(draw(st.integers(1, 20)), draw(st.integers(1, 6)))
    return windows, draw(st.integers(1, 300))


@given(cut=cuts(), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 100))
def test_every_epoch_has_each_row_once(cut: tuple[Windows, int], seed: int, epoch: int) -> None:
    windows, rows = cut
    order = windowed_rows(windows, seed, epoch, 0, rows, rows)
    assert sorted(order.tolist()) == list(range(rows))


@given(cut=cuts(), seed=st.integers(0, 99), data=st.data())
def test_any_stretch_is_the_same_stretch_of_the_whole(
    cut: tuple[Windows, int], seed: int, data: st.DataObject
) -> None:
    windows, rows = cut
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    whole = windowed_rows(windows, seed, 3, 0, rows, rows)
    part = windowed_rows(windows, seed, 3, start, stop, rows)
    np.testing.assert_array_equal(part, whole[start:stop])


@given(cut=cuts(), seed=st.integers(0, 99))
def test_a_window_holds_whole_pieces_and_no_more_than_its_span(
    cut: tuple[Windows, int], seed: int
) -> None:
    windows, rows = cut
    pieces = windowed_rows(windows, seed, 0, 0, rows, rows) // windows.piece_rows
    firsts = {piece: int(np.argmax(pieces == piece)) for piece in np.unique(pieces).tolist()}
    for piece, first in firsts.items():
        last = rows - 1 - int(np.argmax(pieces[::-1] == piece))
        assert last - first < windows.rows
        assert len(set(pieces[first : last + 1].tolist())) <= windows.span


@pytest.mark.parametrize(("rows", "windows"), [(1000, Windows(10, 5)), (995, Windows(10, 5))])
def test_every_row_comes_everywhere_in_its_turn(rows: int, windows: Windows) -> None:
    epochs = 400
    places = np.empty((epochs, rows))
    for epoch in range(epochs):
        places[epoch, windowed_rows(windows, 5, epoch, 0, rows, rows)] = np.arange(rows)
    # A uniform place has this mean and deviation; the mean over epochs scatters by 1 / √epochs.
    middle, deviation = (rows - 1) / 2, rows / np.sqrt(12)
    scatter = np.abs(places.mean(axis=0) - middle) / (deviation / np.sqrt(epochs))
    assert scatter.max() < 5
    assert abs(places.std(axis=0).mean() / deviation - 1) < 0.02


def test_another_seed_or_epoch_is_another_order() -> None:
    orders = [
        tuple(windowed_rows(Windows(5, 3), seed, epoch, 0, 100, 100).tolist())
        for seed in range(4)
        for epoch in range(4)
    ]
    assert len(set(orders)) == 16


def test_rows_of_a_window_are_shuffled_anew_in_each_window() -> None:
    windows = Windows(50, 1)
    order = windowed_rows(windows, 1, 0, 0, 500, 500).reshape(10, 50) % 50
    assert len({tuple(window.tolist()) for window in order}) == 10


@given(
    rows=st.integers(1, 10**9), piece_rows=st.integers(1, 10**5), most_rows=st.integers(1, 10**7)
)
def test_even_windows_hold_no_more_than_asked(rows: int, piece_rows: int, most_rows: int) -> None:
    windows = even_windows(rows, piece_rows, most_rows)
    assert windows.rows <= max(most_rows, piece_rows)
    pieces = -(-rows // piece_rows)
    count = -(-pieces // windows.span)
    # As few windows as the memory allows.
    assert count <= -(-pieces // max(1, most_rows // piece_rows))


def test_the_order_costs_no_memory_that_grows_with_the_rows() -> None:
    rows = 10**12
    windows = even_windows(rows, 10_000, 10**6)
    order = windowed_rows(windows, 0, 2, 777 * 10**9, 777 * 10**9 + 1000, rows)
    assert len(np.unique(order)) == 1000
    assert order.min() >= 0
    assert order.max() < rows
