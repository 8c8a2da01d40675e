"""Rows in the order of a time, and the command that holds out the latest of them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from descend.data.reading.open_table import open_table
from descend.data.reading.options import ReadingOptions, reading_options
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
    table = open_table(path, options=reading_options(settings))
    return [w for w in learn_schema(table, settings).warnings if "in the order of" in w]


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
    # Times that begin anew where no column says whose they are.
    assert not warnings(written(tmp_path / "anew.csv", times[:100] * 4))
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


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y"])
def test_a_panel_is_told_with_the_command_that_holds_out_the_latest_times(
    tmp_path: Path, form: str
) -> None:
    days = [(np.datetime64("2024-03-01") + n).astype(object).strftime(form) for n in range(50)]
    path = tmp_path / "pa nel.csv"
    random = np.random.default_rng(0).normal(size=(8, 50))
    rows = [
        f"{shop // 4};s{shop};{day};{random[shop, n]:.3f};{n}"
        for shop in range(8)
        for n, day in enumerate(days)
    ]
    path.write_text("\n".join(rows) + "\n")
    given = {"target": "column4", "header": False, "delimiter": ";", "model": "linear"}
    with command_line_words():
        [warning] = warnings(path, **given)
    assert "The rows of each 'column1' stand in the order of 'column2'" in warning
    command = shlex.split(warning.partition("later times, ")[2].partition(":  ")[2])
    asked = ["--target", "column4", "--validation", command[6], "--delimiter", ";", "--no-header"]
    assert command[3:] == [*asked, "--model", "linear"]
    shuffled = [rows[n] for n in np.random.default_rng(1).permutation(len(rows))]
    path.write_text("\n".join(shuffled) + "\n")
    assert not warnings(path, **given)
    options = ReadingOptions(delimiter=";", header=False)
    held = []
    for query in (command[2], command[6]):
        table = open_table(query, options=options)
        held.append(table.query(f"SELECT column4 AS day FROM {table.rows}").column(0).to_pylist())
    earlier, later = held
    assert (len(earlier), len(later)) == (360, 40)
    assert max(earlier) < min(later)


def test_rows_that_are_nearly_in_order_are_told_of(tmp_path: Path) -> None:
    late = np.random.default_rng(2).integers(-180, 180, ROWS).astype("timedelta64[m]")
    assert warnings(written(tmp_path / "t.csv", [str(one) for one in HOURS + late]))
