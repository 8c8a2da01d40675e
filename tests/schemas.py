"""Small tables, and the schemas learned from them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa

from descend.data.reading.open_table import open_table
from descend.data.schema.columns import Schema
from descend.data.schema.learn import learn_schema
from descend.data.split import is_validation
from descend.settings import settings_from

ROWS = 400
RANDOM = np.random.default_rng(0)
Y = RANDOM.normal(size=ROWS)
TRAINING = ~is_validation(np.arange(ROWS), 0.1, 0)


def learn(columns: dict[str, Any], **options: Any) -> Schema:
    """The schema of some columns, `y` the target."""
    table = open_table(pa.table(columns))
    return learn_schema(table, settings_from({"target": "y", **options}))


def words(count: int, of: int) -> list[str]:
    """So many texts, of which some are different."""
    return [f"word{number % of}" for number in range(count)]


@functools.cache
def some_schema() -> Schema:
    """A schema with a column of every kind."""
    return learn(
        {
            "number": np.where(RANDOM.random(ROWS) < 0.1, np.nan, Y),
            "text": words(ROWS, 7),
            "day": pa.array(np.arange(ROWS).astype("datetime64[D]")),
            "same": np.ones(ROWS),
            "y": RANDOM.integers(0, 3, ROWS),
        }
    )
