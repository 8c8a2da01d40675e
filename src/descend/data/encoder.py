"""Turn rows of a table into the arrays of a Batch, by a Schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from descend.data.columns import Schema
from descend.data.table import Table
from descend.types import Batch


class EncodedRows(NamedTuple):
    """Rows as numbers, and which rows of the source they were.

    Attributes:
        batch: x `numeric` float32 `[n, d]` and `category` int32 `[n, c]`; y float32 `[n, k]`
            or int32 `[n]`; weight float32 `[n]`. NumPy arrays; d and c may be 0.
        row: int64 `[n]`, source row numbers from 0.
    """

    batch: Batch
    row: NDArray[np.int64]


@final
class Encoder:
    """Makes the numbers a model reads from the columns of a Schema.

    Attributes:
        schema: what was learned.
        numeric_names: of the d columns of `numeric`.
        category_names: of the c columns of `category`.
        category_sizes: codes of each; a code is at least 0 and less than the size.
    """

    schema: Schema
    numeric_names: tuple[str, ...]
    category_names: tuple[str, ...]
    category_sizes: tuple[int, ...]

    def __init__(self, schema: Schema) -> None:
        raise NotImplementedError

    def encode(self, table: Table, *, target: bool, rows: int = 65536) -> Iterator[EncodedRows]:
        """The rows of a table in order, as numbers.

        Args:
            table: has the columns of the schema, in any order; others are ignored.
            target: True encodes target and weight too, and drops rows where a target is missing
                or the weight is 0 or missing. False keeps every row, with y 0 and weight 1.
            rows: most rows at a time.

        Raises:
            DataError: a needed column is absent, or holds what cannot be read as its kind.
        """
        raise NotImplementedError

    def encode_arrays(self, X: NDArray[np.floating]) -> dict[str, NDArray[np.generic]]:
        """`numeric` and `category` of a 2-D array with the schema's columns in order."""
        raise NotImplementedError

    def encode_target(self, y: NDArray[np.generic]) -> NDArray[np.generic]:
        """y of a Batch from an array of targets in their own units, or of labels."""
        raise NotImplementedError

    def decode_regression(self, outputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions `[n, k]` in the target's own units (exp is not applied for Poisson)."""
        raise NotImplementedError

    def decode_classes(self, codes: NDArray[np.integer]) -> NDArray[np.generic]:
        """The labels of class codes, with the type the user wrote."""
        raise NotImplementedError
