"""Learn from cells in one form, and read cells in another with what was learned."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import Schema
from descend.data.schema.learn import learn_schema
from descend.settings import Settings

ROWS = 60
SECONDS = [60 + 2_347 * row for row in range(ROWS)]
TIMES = [
    datetime.datetime(2021, 1, 3, 8, 15) + datetime.timedelta(hours=37 * row) for row in range(240)
]


def frame(cells: Any) -> Any:
    """A table of a column x; cells of pandas keep their type."""
    if isinstance(cells, pd.Series):
        return pd.DataFrame({"x": cells, "z": 0.5})
    return pa.table({"x": cells, "z": [0.5] * len(cells)})


def learned(cells: Any, **options: Any) -> Schema:
    values = [row % 7 + 0.5 for row in range(len(cells))]
    if isinstance(cells, pd.Series):
        table: Any = pd.DataFrame({"x": cells, "z": values, "y": values})
    else:
        table = pa.table({"x": cells, "z": values, "y": values})
    return learn_schema(
        open_table(table), Settings(**{"target": "y", "task": "regression", **options})
    )


def read(schema: Schema, cells: Any) -> tuple[np.ndarray, list[str]]:
    unseen = UnseenValues(schema)
    parts = [*Encoder(schema).encode(open_table(frame(cells)), target=False, unseen=unseen)]
    values = [
        np.concatenate([part.batch.x[one] for part in parts], dtype=float)
        for one in ("numeric", "category")
    ]
    return np.concatenate(values, axis=1), unseen.sentences()


def check_alike(schema: Schema, cells: Any, as_trained: Any) -> list[str]:
    """The same numbers or codes as from cells in the form of training; what is told of them."""
    found, told = read(schema, cells)
    np.testing.assert_allclose(found, read(schema, as_trained)[0], rtol=1e-6, atol=1e-6)
    return told


def learned_columns(columns: dict[str, list[Any]], **options: Any) -> Schema:
    """What is learned of a table of 80 rows, besides its target."""
    table = pa.table({**columns, "y": [row % 7 + 0.5 for row in range(80)]})
    settings = Settings(**{"target": "y", "task": "regression", **options})
    return learn_schema(open_table(table), settings)


def read_columns(schema: Schema, columns: dict[str, list[Any]]) -> tuple[np.ndarray, str]:
    unseen = UnseenValues(schema)
    parts = [*Encoder(schema).encode(open_table(pa.table(columns)), target=False, unseen=unseen)]
    numbers = np.concatenate([part.batch.x["numeric"] for part in parts], dtype=float)
    return numbers, " ".join(unseen.sentences())
