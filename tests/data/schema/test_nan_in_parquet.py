"""NaN is missing in Parquet files, whose statistics leave NaN out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import descend
from descend.data.reading.open_table import open_table
from descend.data.schema import number_survey
from descend.tuning.compare.run import digest

ROWS = 700


def _write(path: Path, kind: pa.DataType, missing: float | None) -> str:
    """A table where every third value of a column is missing, the target and the weight too."""
    random = np.random.default_rng(0)
    absent = {"a": 3, "b": 7, "y": 11, "w": 13}
    columns = {
        name: pa.array(
            [
                missing if row % every == 1 else value
                for row, value in enumerate(random.integers(1, 100, ROWS) / 4)
            ],
            kind,
        )
        for name, every in absent.items()
    }
    pq.write_table(pa.table(columns), path, row_group_size=150)
    return str(path)


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()], ids=str)
@pytest.mark.parametrize("at_once", [True, False], ids=["small", "as in large tables"])
def test_the_model_is_that_of_empty_cells(
    kind: pa.DataType, at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr(number_survey, "FEW_CELLS", 0)
    runs = [
        descend.train(
            _write(tmp_path / f"{name}.parquet", kind, missing),
            target="y",
            weight="w",
            model="linear",
            epochs=2,
            batch_size=64,
            learning_rate=0.01,
            out=tmp_path / name,
        )
        for name, missing in (("nan", float("nan")), ("empty", None))
    ]
    assert digest(runs[0].model.params) == digest(runs[1].model.params)
    rows = pa.table({"a": [3.0, None], "b": [None, 9.5]})
    np.testing.assert_array_equal(*(run.model.predict(rows) for run in runs))
    column = runs[0].model.schema.columns[0]
    assert column.missing > ROWS / 5
    assert np.isfinite(column.deviation)


@pytest.mark.parametrize("relation", ["'{}'", "read_parquet('{}')", "parquet_scan(['{}']) AS t"])
@pytest.mark.parametrize("condition", ["isnan(a)", "a > 25", "a = 'NaN'"])
def test_a_query_finds_nan_where_statistics_say_there_is_none(
    relation: str, condition: str, tmp_path: Path
) -> None:
    path = _write(tmp_path / "nan.parquet", pa.float64(), float("nan"))
    table = open_table(f"SELECT * FROM {relation.format(path)} WHERE {condition}")
    assert table.count() == len(range(1, ROWS, 3))


def test_a_query_trains_on_the_rows_that_hold_no_nan(tmp_path: Path) -> None:
    path = _write(tmp_path / "nan.parquet", pa.float64(), float("nan"))
    result = descend.train(
        f"SELECT a, y FROM '{path}' WHERE NOT isnan(y) AND NOT isnan(a)",
        target="y",
        model="linear",
        epochs=1,
        batch_size=64,
        learning_rate=0.01,
        out=tmp_path / "run",
    )
    rows = np.arange(ROWS)
    rows_read = result.model.schema.rows.total
    assert rows_read == int(((rows % 3 != 1) & (rows % 11 != 1)).sum())
