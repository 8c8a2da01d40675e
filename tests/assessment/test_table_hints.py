"""Hints about a table before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from descend.commands.inspect import inspect
from descend.reporting.text.records import inspection_text


def test_sums_markers_cycles_and_associations(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    part, other, noise = random.integers(0, 300, (3, 600))
    lines = ["part,other,noise,hour,split,total"]
    for n in range(600):
        marker = "train" if n % 4 else "test"
        lines.append(f"{part[n]},{other[n]},{noise[n]},{n % 24},{marker},{part[n] + other[n]}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    record = inspect(str(path), "total", exclude=(), categorical=())
    hints = " ".join(record["hints"])
    assert "sum of columns, mainly" in hints
    assert "noise" not in hints
    assert "split seems to mark training and test rows" in hints
    assert "hour looks like hours" in hints
    assert record["explains"]["part"] > 0.3 > record["explains"]["noise"]
    text = inspection_text(record)
    assert "explains" in text
    assert max(map(len, text.splitlines())) <= 100
