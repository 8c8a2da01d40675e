"""What is said where no column is left to learn from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings, settings_from


@pytest.mark.parametrize(
    ("cells", "offered"),
    [
        ([1.5] * 60, ()),
        (["a"] * 60, ()),
        ([None] * 60, ()),
        ([[1]] * 60, ()),
        ([1e200 * row for row in range(60)], ()),
        (list(range(60)), ("numeric",)),
        ([f"a{row * 7}" for row in range(60)], ()),
        ([f"{row}.5" if row % 3 else f"w{row}" for row in range(60)], ("numeric",)),
        ([f"{row}-{row + 1}" for row in range(60)], ()),
        ([f"k{row // 5 if row < 30 else row}" for row in range(60)], ("categorical",)),
    ],
)
def test_where_no_column_is_left_an_option_is_offered_if_it_helps(
    cells: list[Any], offered: tuple[str, ...]
) -> None:
    table = open_table(pa.table({"x": cells, "y": [row % 7 + row / 10 for row in range(60)]}))
    with pytest.raises(DataError, match="no column is left") as caught:
        learn_schema(table, Settings("y"))
    for option in ("numeric", "categorical"):
        settings = settings_from({"target": "y", option: ("x",)})
        assert (f"{option}=['x'] takes it as" in str(caught.value)) == (option in offered)
        if option in offered:
            assert learn_schema(table, settings).columns[0].kind != "left out"
        else:
            with pytest.raises(DataError):
                learn_schema(table, settings)
