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
    assert "hour (hours)" in hints
    assert "categorical=['hour']" in hints
    assert record["explains"]["part"] > 0.3 > record["explains"]["noise"]
    text = inspection_text(record)
    assert "explains" in text
    assert max(map(len, text.splitlines())) <= 100
    assert record["first_rows"]["split"] == ["test", "train", "train"]
    assert record["first_rows"]["hour"] == ["0", "1", "2"]
    assert "row 1" in text
    assert "600 rows, 5 columns besides the target" in " ".join(text.split())


def test_distinct_values_are_counted_where_the_rows_are_few(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("hour,y\n" + "".join(f"{n % 24},{n + 0.5}\n" for n in range(700)))
    record = inspect(str(path), "y")
    assert record["columns"][0]["distinct"] == 24
    assert not record["columns"][0]["estimated"]
    assert "about" not in record["task_reason"]


def test_a_column_known_only_afterwards_is_asked_about(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    delay = random.normal(size=500).round(3)
    late = (delay + 0.5 * random.normal(size=500)).round(3)
    known = (delay + 2.0 * random.normal(size=500)).round(3)
    rows = zip(late, known, delay, strict=True)
    path = tmp_path / "t.csv"
    path.write_text(
        "arrival_delay,departure_delay,delay\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)
    )
    hints = " ".join(inspect(str(path), "delay")["hints"])
    assert "known before" in hints
    assert "arrival_delay" in hints
    assert "departure_delay" not in hints


def test_excluded_columns_are_not_among_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,size,y\n" + "".join(f"{n},{n % 7},{n * n}\n" for n in range(60)))
    for target in ("y", None):
        record = inspect(str(path), target, exclude=("id",))
        assert list(record["first_rows"]) == ["size", "y"]
        assert inspection_text(record)


def test_an_empty_column_is_missing_in_100_percent_and_nothing_skipped_is_not_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("size,empty,y\n" + "".join(f"{n % 7},,{n * n}\n" for n in range(60)))
    text = inspection_text(inspect(str(path), "y"))
    assert "(100 %)" in text
    assert "skipped" not in text


def test_a_column_that_a_warning_names_has_no_hint_as_well(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = tmp_path / "t.csv"
    rows = "".join(f"{a:.3f},{2 * a:.3f}\n" for a in random.normal(size=300))
    path.write_text("a,y\n" + rows)
    record = inspect(str(path), "y")
    said = [text for text in (*record["warnings"], *record["hints"]) if "exclude" in text]
    assert len(said) == 1
