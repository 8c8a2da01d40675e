"""Which date format a column of text has, without trying all formats on all values."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema import date_formats
from descend.data.schema.learn import learn_schema
from descend.settings import Settings

DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=11 * row) for row in range(400)]


def pattern_of(folder: Path, cells: list[str]) -> Any:
    path = folder / "t.csv"
    path.write_text(
        "t;x;y\n" + "".join(f"{cell};{row * 0.37};{row % 17}\n" for row, cell in enumerate(cells))
    )
    schema = learn_schema(open_table(path), Settings("y"))
    [column] = [one for one in schema.columns if one.name == "t"] or [None]
    return getattr(column, "pattern", None)


@pytest.mark.parametrize(
    "pattern",
    [
        "%d%b%y",
        "%d%b%Y",
        "%d%b%Y:%H:%M:%S",
        "%d %b %Y",
        "%B %d, %Y",
        "%b %d %Y",
        "%d-%B-%Y",
        "%d.%m.%Y",
    ],
)
def test_a_format_is_found(tmp_path: Path, pattern: str) -> None:
    assert pattern_of(tmp_path, [day.strftime(pattern) for day in DAYS]) == pattern


@pytest.mark.parametrize("date", ["%m/%d/%y", "%m/%d/%Y"])
def test_digits_of_a_fraction_of_a_second_are_no_year(tmp_path: Path, date: str) -> None:
    cells = [f"{day:{date}} 10:00:00.12345{row % 10}" for row, day in enumerate(DAYS)]
    assert pattern_of(tmp_path, cells) == f"{date} %H:%M:%S.%f"


def test_the_times_of_db2_are_iso_8601() -> None:
    times = [f"{day}-13.05.00.000000" for day in DAYS[:80]]
    plain = [f"{day} 13:05:00" for day in DAYS[:80]]
    table = pa.table({"t": times, "u": plain, "y": [row % 17 for row in range(80)]})
    found, same = learn_schema(open_table(table), Settings("y")).columns
    assert getattr(found, "parts", 0) == getattr(same, "parts", 1)


def test_a_format_is_found_beside_a_common_stray(tmp_path: Path) -> None:
    cells = [day.strftime("%d %b %Y") for day in DAYS]
    assert pattern_of(tmp_path, [*cells, *(["soon 4"] * 12)]) == "%d %b %Y"


def test_a_format_is_found_beside_many_kinds_of_strays(tmp_path: Path) -> None:
    few = [day.strftime("%d %b %Y") for day in DAYS[:4]] * 1000
    assert pattern_of(tmp_path, [*few, *(f"room {row}" for row in range(150))]) == "%d %b %Y"


@pytest.mark.parametrize("cell", ["value {}", "street 1-{}-9 b", "march past {}", "may {} be"])
def test_no_format_is_tried_on_all_values_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    tried: list[str] = []
    count = date_formats._count_matches

    def spy(table: Any, kept: str, american: Any, tests: Any, places: Any) -> Any:
        tried.extend(one for one in tests if places and one.startswith("try_strptime("))
        return count(table, kept, american, tests, places)

    monkeypatch.setattr(date_formats, "_count_matches", spy)
    assert pattern_of(tmp_path, [cell.format(row % 300 + 40) for row in range(400)]) is None
    assert tried == []
