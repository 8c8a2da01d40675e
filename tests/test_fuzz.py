"""The short form of the fuzzer: every kind of file, damaged, is read rightly or refused."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import defects, fuzz


@pytest.mark.slow
@pytest.mark.slow
def test_damaged_files_are_read_rightly_or_refused() -> None:
    counts = fuzz(150, seed=11)
    assert sum(of_kind.total() for of_kind in counts.values()) == 150
    assert len(counts) >= 10
    assert defects(counts) == 0
