"""A number that stands for a missing value is one in whatever way a cell spells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import NumberColumn
from descend.data.schema.learn import learn_schema
from descend.data.split import is_validation
from descend.settings import settings_from

ROWS = 60
VALUES = np.where(np.arange(ROWS) % 15 == 0, -999.0, np.arange(ROWS) % 7 + 0.5)
Y = np.arange(ROWS) % 5 + 0.25
SPELLINGS = ("-999", "-999.0", "-999.00", "-999,0")


def stored(spelling: str, folder: Path) -> Any:
    """The table where the mark is spelled so; as floats for an empty spelling."""
    if not spelling:
        return pd.DataFrame({"a": VALUES, "y": Y})
    mark = "," if "," in spelling else "."
    cells = [spelling if one == -999 else str(one).replace(".", mark) for one in VALUES]
    path = folder / f"{spelling}.csv"
    lines = [f"{cell};{y}".replace(".", mark) for cell, y in zip(cells, Y, strict=True)]
    if mark == ".":
        lines = [f"{cell};{y}" for cell, y in zip(cells, Y, strict=True)]
    path.write_text("a;y\n" + "\n".join(lines) + "\n")
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize(
    ("trained", "mark"), [("", "-999.0"), ("-999.0", "-999"), ("-999,0", "-999")]
)
def test_every_spelling_is_missing(kind: str, trained: str, mark: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"target": "y", "task": "regression", "missing": [f"a={mark}"]}
    if kind == "category":
        asked["categorical"] = ["a"]
    schema = learn_schema(open_table(stored(trained, tmp_path)), settings_from(asked))
    (column,) = schema.columns
    held = is_validation(np.arange(ROWS), 0.1, 0)
    assert column.missing == np.sum(~held & (VALUES == -999))
    if isinstance(column, NumberColumn):
        assert column.minimum == 0.5
    first = None
    for spelling in ("", *SPELLINGS):
        table = open_table(stored(spelling, tmp_path))
        found = [one.batch.x for one in Encoder(schema).encode(table, target=False)]
        both = np.concatenate([np.hstack([one["numeric"], one["category"]]) for one in found])
        first = both if first is None else first
        assert np.array_equal(both, first), spelling


@pytest.mark.slow
def test_the_cells_of_a_wide_table_too() -> None:
    others = {f"w{place}": [f"{one:.1f}" for one in Y + place] for place in range(130)}
    wide = pd.DataFrame({"a": [f"{one:.1f}" for one in VALUES], "y": Y, **others})
    asked = settings_from({"target": "y", "task": "regression", "missing": ["a=-999"]})
    schema = learn_schema(open_table(wide), asked)
    (batch,) = Encoder(schema).encode(open_table(wide), target=False)
    names = Encoder(schema).numeric_names
    flags = batch.batch.x["numeric"][:, names.index("a missing")]
    assert np.array_equal(flags == 1.0, VALUES == -999)
