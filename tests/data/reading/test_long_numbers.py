"""Whole numbers of 16 digits are numbers as long as a float64 holds them, in every storage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.settings import settings_from

ROWS = 80


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([10**15 + 7 * place for place in range(ROWS)], "number"),
        ([2**53 - 5 + place % 5 for place in range(ROWS)], "number"),
        ([2**53 + place % 5 for place in range(ROWS)], "category"),
    ],
)
def test_sixteen_digits(values: list[int], kind: str, tmp_path: Path) -> None:
    y = [float(place % 7) for place in range(ROWS)]
    path = tmp_path / "t.csv"
    lines = (f"{value},{target}\n" for value, target in zip(values, y, strict=True))
    path.write_text("v,y\n" + "".join(lines))
    settings = settings_from({"target": "y", "task": "regression"})
    for data in (str(path), pa.table({"v": values, "y": y})):
        schema = learn_schema(open_table(data), settings)
        assert [column.kind for column in schema.columns] == [kind]
