"""Rows in the order of a time, and the command that holds out the latest of them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import command_line_words
from descend.settings import settings_from

ROWS = 400
HOURS = np.datetime64("2024-01-01T00:00") + 60 * np.arange(ROWS)


def written(path: Path, times: list[str]) -> Path:
    random = np.random.default_rng(0)
    lines = [
        f"{time},{x},{y}" for time, (x, y) in zip(times, random.normal(size=(ROWS, 2)), strict=True)
    ]
    path.write_text("\n".join(["when,x,y", *lines]) + "\n")
    return path


def warnings(path: Path, **options: object) -> list[str]:
    settings = settings_from({"target": "y", **options})
    return [w for w in learn_schema(open_table(path), settings).warnings if "in the order of" in w]


@pytest.mark.parametrize("step", [1, -1])
def test_the_command_holds_out_the_latest_tenth(tmp_path: Path, step: int) -> None:
    times = [str(one) for one in HOURS[::step]]
    with command_line_words():
        [warning] = warnings(written(tmp_path / "t.csv", times))
    command = shlex.split(warning.partition("tenth:  ")[2])
    assert (command[:2], command[3:6]) == (
        ["descend", "train"],
        ["--target", "y", "--validation"],
    )
    held = []
    for query in (command[2], command[6]):
        table = open_table(query)
        held.append(table.query(f'SELECT "when" AS at FROM {table.rows}').column(0).to_pylist())
    earlier, later = held
    assert (len(earlier), len(later)) == (ROWS - ROWS // 10, ROWS // 10)
    assert max(earlier) < min(later)


def test_rows_in_another_order_or_held_out_by_the_user_are_not_told_of(tmp_path: Path) -> None:
    times = [str(one) for one in HOURS]
    mixed = [times[n] for n in np.random.default_rng(1).permutation(ROWS)]
    assert not warnings(written(tmp_path / "mixed.csv", mixed))
    # Each of four shops has all hours, one shop after another.
    assert not warnings(written(tmp_path / "panel.csv", times[:100] * 4))
    assert not warnings(written(tmp_path / "same.csv", ["2024-01-01"] * ROWS))
    path = written(tmp_path / "t.csv", times)
    assert warnings(path)
    assert not warnings(path, exclude=["when"])
    part = written(tmp_path / "part.csv", times)
    settings = settings_from({"target": "y", "validation": str(part)})
    schema = learn_schema(open_table(path), settings, validation=open_table(part))
    assert not [one for one in schema.warnings if "in the order of" in one]


def test_dates_in_text_with_a_wrong_one_are_still_in_order(tmp_path: Path) -> None:
    days = np.datetime64("2024-01-01") + np.arange(ROWS) // 2
    written_days = [one.strftime("%d.%m.%Y") for one in days.astype(object)]
    written_days[100] = "01.01.1900"
    assert warnings(written(tmp_path / "t.csv", written_days))
