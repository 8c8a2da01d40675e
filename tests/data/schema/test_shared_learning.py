"""Processes that share a table out learn from it, together, what one process learns alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from descend.data.reading.open_table import open_table
from descend.data.reading.sharing import Sharing
from descend.data.reading.table_share import share_of
from descend.data.schema.learn import learn_schema
from descend.settings import Settings
from tests.sharing import in_processes

ROWS = 1200


def table(random: np.random.Generator) -> pa.Table:
    """Columns of every kind, in an order that makes every share different."""
    steps = np.arange(ROWS)
    kinds = np.asarray(["red", "green", "blue", "Red", "rare", "1.0", "1"])
    skewed = np.exp(random.normal(size=ROWS) * 4)
    return pa.table(
        {
            "price": skewed * 1e3 + steps,
            "tiny": random.normal(size=ROWS) * 1e-12 + 1.0,
            "huge": random.normal(size=ROWS) * 1e140,
            "gaps": pa.array(np.where(steps % 7 == 3, np.nan, skewed), from_pandas=True),
            "id": steps + 1,
            "customer_id": steps * 7 % 301,
            "patient": [f"p {step * 11 % 401}" for step in steps],
            "colours": np.asarray(["a;b", "b;c", "c", "a;c", "b"])[random.integers(0, 5, ROWS)],
            "few": random.integers(0, 4, ROWS),
            "end": np.where(random.random(ROWS) < 0.05, -999, random.integers(0, 50, ROWS)),
            "kind": pa.array(kinds[random.integers(0, 7, ROWS)]),
            "late": pa.array([None if step < 900 else f"v{step % 5}" for step in steps]),
            "text": [f"word {step * 7919 % 1100}" for step in steps],
            "amount": [f"{step % 97},{step % 10}" if step % 31 else "n/a" for step in steps],
            "day": [f"{step % 28 + 1}/{step % 12 + 1}/20{step % 20 + 10}" for step in steps],
            "when": pa.array(1_500_000_000 + steps * 3601, pa.timestamp("s")),
            "flag": pa.array((steps % 3 == 0).tolist()),
            "weight": random.integers(0, 5, ROWS) / 3,
            "label": pa.array(np.asarray(["a", "b", "c"])[random.integers(0, 3, ROWS)]),
        }
    )


SETTINGS = {
    "regression": Settings(target="price"),
    "weighted": Settings(target="price", weight="weight", seed=3),
    "quantiles": Settings(target="tiny", quantiles=(0.1, 0.5, 0.93), weight="weight"),
    "quantiles of equal rows": Settings(target="end", quantiles=(0.02, 0.5), task="regression"),
    "classes": Settings(target="label", weight="weight", missing=("kind=rare",)),
    "numbers as classes": Settings(target="few", categorical=("id", "amount"), exclude=("text",)),
    "dates": Settings(target="price", date_order="dmy", datetime=("id",)),
}


@pytest.mark.parametrize("name", [*SETTINGS, "csv"])
@pytest.mark.slow
def test_the_schema_is_that_of_one_process(name: str, tmp_path: Path) -> None:
    rows, path = table(np.random.default_rng(5)), tmp_path / f"t.{name.split(maxsplit=1)[0]}"
    if name == "csv":
        pa.csv.write_csv(rows, path)
    else:
        # Shares begin and end within row groups.
        path = path.with_suffix(".parquet")
        pq.write_table(rows, path, row_group_size=170)
    settings = SETTINGS.get(name, Settings(target="price", seed=1))
    alone = learn_schema(open_table(path), settings)
    shared = in_processes(
        3,
        lambda sharing: learn_schema(
            share_of(open_table(path), sharing, tmp_path / "store"), settings
        ),
    )
    for schema in shared:
        assert schema.as_json() == alone.as_json()
        assert schema == alone


def test_what_only_all_rows_together_show_is_said_in_every_process(tmp_path: Path) -> None:
    # Each of the values stands in the share of one process, or is spelled alike there.
    steps = np.arange(400)
    rows = pa.table(
        {
            "customer_id": steps % 200,
            "colour": ["red" if step < 200 else "Red" for step in steps],
            "y": np.random.default_rng(0).normal(size=400),
        }
    )
    pq.write_table(rows, tmp_path / "t.parquet")
    settings = Settings(target="y")

    def warned(sharing: Sharing) -> tuple[str, ...]:
        table = share_of(open_table(tmp_path / "t.parquet"), sharing, tmp_path / "store")
        return learn_schema(table, settings).warnings

    alone = learn_schema(open_table(tmp_path / "t.parquet"), settings).warnings
    assert any("share its value with training rows" in one for one in alone)
    assert any("'red' (" in one and "'Red' (" in one for one in alone)
    assert in_processes(2, warned) == [alone] * 2
