"""A column may have any name: none of ours can be taken for it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.prepare import prepare
from descend.data.reading.open_table import open_table
from descend.errors import DataError
from descend.settings import Settings

NAMES = (
    *("rowid", "ROWID", "row number", "Row Number", "row_number", "marked row", "condition0"),
    *("condition 0", "it", "marks", "place", "value", "n", "v0", "0", "1", "source", "result"),
    *("kept 0", "filename", "file_row_number", "select", "_rowid_", "index", "rows"),
)


def csv_file(path: Path, table: pa.Table) -> str:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path / "t.csv")
    return str(path / "t.csv")


def test_a_tilde_in_the_name_of_a_file_is_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~.csv").write_text("a,b\n1,2\n")
    for name in ("~.csv", "~*"):
        assert [one.name for one in open_table(name).columns] == ["a", "b"]


def parquet_file(path: Path, table: pa.Table) -> str:
    pyarrow.parquet.write_table(table, path / "t.parquet")
    return str(path / "t.parquet")


def json_file(path: Path, table: pa.Table) -> str:
    lines = [json.dumps(row) for row in table.to_pylist()]
    (path / "t.jsonl").write_text("\n".join(lines) + "\n")
    return str(path / "t.jsonl")


def sorted_query(path: Path, table: pa.Table) -> str:
    return f"SELECT * FROM '{parquet_file(path, table)}' ORDER BY y"


def frame(path: Path, table: pa.Table) -> pa.Table:
    return table


WAYS: dict[str, Callable[[Path, pa.Table], Any]] = {
    "csv": csv_file,
    "parquet": parquet_file,
    "json": json_file,
    "query": sorted_query,
    "frame": frame,
}
CONTENTS = {
    "thirds": lambda rows: np.arange(rows) % 3,
    "constant and large": lambda rows: np.full(rows, 10**12),
    "missing": lambda rows: pa.array([None if row % 3 else row for row in range(rows)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_name_of_a_column_changes_nothing(tmp_path: Path, way: str) -> None:
    rows = 60
    settings = Settings(target="y", validation=0.3)
    y = pa.array(np.arange(rows) + 0.5)

    def outcome(name: str, values: Any) -> Any:
        table = pa.table({"b": np.arange(rows) % 7, name: values, "y": y})
        made = prepare(WAYS[way](tmp_path, table), settings)
        counts = made.schema.rows
        assert (len(made.training), len(made.validation)) == (counts.training, counts.validation)
        batch = made.training.gather(np.arange(len(made.training)))
        return counts, batch.y.tolist(), batch.x["numeric"].tolist()

    expected = {key: outcome("zz", make(rows)) for key, make in CONTENTS.items()}
    names = NAMES if way == "csv" else NAMES[:7]
    for name, key in zip(names, itertools.cycle(CONTENTS)):
        assert outcome(name, CONTENTS[key](rows)) == expected[key], (name, key)


@pytest.mark.slow
def test_all_the_names_together_and_text_in_them(tmp_path: Path) -> None:
    names = [name for name in NAMES if name not in ("ROWID", "Row Number")]
    table = pa.table({name: [f"{name} {row % 4}" for row in range(80)] for name in names})
    table = table.append_column("y", pa.array(np.arange(80.0)))
    for way in ("csv", "parquet", "query"):
        opened = open_table(WAYS[way](tmp_path, table))
        assert [column.name for column in opened.columns] == [*names, "y"]
        made = prepare(WAYS[way](tmp_path, table), Settings(target="y"))
        encoded = next(Encoder(made.schema).encode(opened, target=True))
        assert encoded.batch.x["category"].shape == (80, len(names))
        assert (encoded.batch.x["category"] > 0).all()


def test_a_name_that_begins_as_ours_do_is_refused() -> None:
    with pytest.raises(DataError, match=r"control character U\+001F"):
        open_table(pa.table({"\x1frow number": [1]}))
