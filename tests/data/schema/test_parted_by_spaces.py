"""A file whose spaces are not found to part its columns is answered with the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from descend.data.reading.csv_delimiter import SPACES
from descend.data.reading.open_table import open_table
from descend.data.reading.options import ReadingOptions
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import settings_from


def test_an_irregular_line_between_columns_parted_by_spaces(tmp_path: Path) -> None:
    rows = [f"{row * 7 % 31}   {row % 4}   {row}.5\n" for row in range(40)]
    path = tmp_path / "t.txt"
    path.write_text("v   k   y\n" + "".join([*rows, "1 2 3 4\n", *rows]))
    settings = settings_from({"target": "y", "task": "regression"})
    with pytest.raises(DataError, match=r"no column 'y'.*If spaces part .* delimiter='space'"):
        learn_schema(open_table(path), settings)
    with pytest.raises(DataError, match="line 42: expected 3 fields"):
        learn_schema(open_table(path, options=ReadingOptions(delimiter=SPACES)), settings)
    with pytest.raises(DataError, match="no column 'z'") as caught:
        learn_schema(open_table(path), settings_from({"target": "z"}))
    assert "delimiter" not in str(caught.value)
