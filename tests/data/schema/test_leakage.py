"""Which columns give the target away, and which are looked at."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from descend.data.schema import leakage

ROWS = 400


def columns(y: np.ndarray) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    gaps = random.random(ROWS) < 0.3
    return {
        "noise": random.normal(size=ROWS),
        "line": 3 * y + 1,
        "line with gaps": np.where(gaps, np.nan, -y),
        "nearly": y + 0.02 * y.std() * random.normal(size=ROWS),
        "groups": np.round(y * 2),
        "constant": np.full(ROWS, 0.1),
        "empty": np.full(ROWS, np.nan),
        "few": np.where(np.arange(ROWS) < 5, y, np.nan),
        "huge": y * 1e300,
        "code": np.digitize(y, [-0.5, 0.5]).astype(float),
    }


@pytest.mark.parametrize("classes", [False, True])
def test_a_column_that_is_not_looked_at_gives_nothing_away(classes: bool) -> None:
    values = np.random.default_rng(1).normal(size=ROWS)
    y = np.digitize(values, [-0.5, 0.5]).astype(float) if classes else values
    made = columns(values)
    sample = pa.table({"y": y, **made})
    looked = leakage._may_leak(range(len(made)), sample, y)
    found = {
        place: leakage._describe_leak(sample.column(place), y, number=True, classes=classes)
        for place in range(1, 1 + len(made))
    }
    assert {place for place, said in found.items() if said} <= looked
    names = [list(made)[place - 1] for place, said in found.items() if said]
    assert names == (["code"] if classes else ["line", "line with gaps", "nearly", "huge"])
    assert 1 not in looked
