"""Columns of Arrow as NumPy arrays, against what Arrow itself gives."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings

VALUES = [3, 0, 7, 1, 2, 5, 4, 6, 9, 8]
TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint64", "float32", "float64"]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("part", [slice(0, 10), slice(3, 8), slice(4, 4)])
def test_numbers_are_those_of_arrow(kind, missing, part):
    values = [None if missing and one in (1, 4) else one for one in VALUES]
    array = pa.array(values, getattr(pa, kind)())[part.start : part.stop]
    expected = array.to_numpy(zero_copy_only=False)
    found = as_numpy(array)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == expected.dtype.kind
    pieces = pa.chunked_array([array, array])
    np.testing.assert_array_equal(as_numpy(pieces), np.concatenate([expected, expected]))


@pytest.mark.parametrize("part", [slice(0, 10), slice(3, 8)])
def test_booleans_are_those_of_arrow(part):
    array = pa.array([one > 4 for one in VALUES])[part.start : part.stop]
    found = as_numpy(array)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, array.to_numpy(zero_copy_only=False))


def test_no_pieces_are_an_empty_array():
    assert as_numpy(pa.chunked_array([], pa.float64())).shape == (0,)


READ = """
import sys
from descend.data.prepare import prepare
from descend.settings import Settings
prepare(sys.argv[1], Settings(target="y"))
assert "pandas" not in sys.modules, "pandas was imported"
"""


def test_a_file_is_read_without_pandas(tmp_path):
    random = np.random.default_rng(0)
    table = tmp_path / "table.csv"
    rows = [
        f"{random.normal():.3f},{'ab'[row % 2]},2024-01-{1 + row % 28:02},{random.normal():.3f}"
        for row in range(80)
    ]
    table.write_text("\n".join(["x,town,day,y", *rows]))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(table)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("odd", ["?", "n/a"])
def test_numbers_and_texts_side_by_side_are_read_as_in_a_file(odd: str) -> None:
    """What pandas makes of a column of numbers with a word in it."""
    cells = [odd if row == 5 else row * 0.5 if row % 2 else str(row * 0.5) for row in range(60)]
    cells[7] = None
    y = np.arange(60) % 7 + 0.5
    written = pa.table({"x": [None if one is None else str(one) for one in cells], "y": y})
    objects = np.array(cells, object)
    settings = Settings(target="y", task="regression")
    expected = learn_schema(open_table(written), settings).columns[0]
    assert expected.kind == "number"
    frame = pd.DataFrame({"x": objects, "y": y})
    assert learn_schema(open_table(frame), settings).columns[0] == expected
    [column, *_] = learn_schema(open_table((objects[:, None], y)), settings).columns
    assert replace(column, name="x") == expected


def test_other_objects_are_left_out_by_name_and_type() -> None:
    frame = pd.DataFrame({"x": [1, "a", object()] * 9, "y": np.arange(27.0)})
    with pytest.raises(DataError, match=r"Left out: x \(unsupported type int and object and str"):
        learn_schema(open_table(frame), Settings(target="y"))
