"""Histories of runs with given losses."""

from __future__ import annotations

from hypothesis import strategies as st

from descend.types import History, HistoryLine

LOSSES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=50)


def history_of(losses: list[float], seconds: float = 1.0) -> History:
    return tuple(
        HistoryLine(10 * n, n / 2, 320 * n, seconds * n, loss / 2, loss, 32, 0.1 / (1 + n))
        for n, loss in enumerate(losses)
    )


def falling(losses: list[float], on_training_rows: list[float] | None = None) -> History:
    return tuple(
        HistoryLine(10 * n, float(n), 640 * n, 0.1 * n, train_loss, loss, 64, 0.1)
        for n, (train_loss, loss) in enumerate(zip(on_training_rows or losses, losses, strict=True))
    )
