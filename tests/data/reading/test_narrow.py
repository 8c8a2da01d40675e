"""A wide table is asked with the columns alone that a query needs, and answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from descend.data.prepare import prepare
from descend.data.reading import narrow
from descend.data.reading.narrow import Rows, columns_in
from descend.data.reading.open_table import open_table
from descend.data.reading.table import ROW
from descend.data.reading.table_copies import copied
from descend.settings import Settings

NAMES = ["a", "it's", 'he"llo', "b'\"c", "rowid", 'x"\', "a', "select", "0", "y"]


@pytest.mark.parametrize("way", ["csv", "parquet", "frame", "query"])
def test_what_is_learned_does_not_depend_on_the_width(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {name: random.normal(size=90) for name in NAMES}
    columns["it's"] = [f"it's {row % 4}" for row in range(90)]
    columns["0"] = [None if row % 5 == 0 else row / 7 for row in range(90)]
    table = pa.table(columns)
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "t.csv")
    data: Any = {
        "csv": tmp_path / "t.csv",
        "parquet": tmp_path / "t.parquet",
        "frame": table,
        "query": f"SELECT * FROM '{tmp_path}/t.parquet' ORDER BY a",
    }[way]

    def outcome() -> Any:
        made = prepare(data, Settings(target="y", validation=0.3))
        batch = made.training.gather(np.arange(len(made.training)))
        return made.schema, [*map(np.ndarray.tolist, batch.x.values())], batch.y.tolist()

    expected = outcome()
    monkeypatch.setattr(narrow, "NARROW", 0)
    assert outcome() == expected


def test_only_the_columns_of_a_query_are_asked_for() -> None:
    known = {f'"c{place}"': place for place in range(300)}
    assert columns_in('SELECT "c7", \'"c8"\', \'it\'\'s\', "c2" + "c7" FROM x', known) == [
        '"c2"',
        '"c7"',
    ]
    rows = Rows([*known], lambda names: f"({', '.join(names)})")
    assert rows.filled(f'SELECT "c9" FROM {rows.text}') == 'SELECT "c9" FROM ("c9")'


def test_a_wide_table() -> None:
    wide = open_table(pa.table({f"c{place}": [place, place + 1] for place in range(400)}))
    with copied(wide, None) as copy, copy.marked((f"{ROW} = 1",)) as marked:
        found = marked.aggregate({"sum": 'sum("c7" + "c399")'}, where='"\x1fmarked row"')
    assert found == {"sum": 8 + 400}
