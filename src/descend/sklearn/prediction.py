"""Predictions for checked rows, of sparse ones a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from descend.data.encoding.sparse import can_be_sparse, encode_sparse
from descend.data.encoding.unseen import UnseenValues
from descend.model import Model, Predicted
from descend.sklearn.arrays import encode_inputs

SPARSE_ROWS, DENSE_NUMBERS = 8192, 8 << 20
"""Most rows of sparse X that are predicted at a time, and most numbers of them."""
LEAST_ENTRIES = 32
"""Room for the entries of a sparse row that is predicted: sums over fewer are compiled otherwise
where the rows are few, and a prediction must not depend on the rows beside it."""


def predict_rows(model: Model, X: Any) -> Predicted:
    """Predictions for checked rows."""
    parts = [model.decoded(model.outputs(x)) for x in encode_rows(model, X)]
    if len(parts) == 1:
        return parts[0]
    told = [part.probabilities for part in parts if part.probabilities is not None]
    return Predicted(
        np.concatenate([part.values for part in parts]), np.concatenate(told) if told else None
    )


def encode_rows(model: Model, X: Any) -> Iterator[dict[str, NDArray[Any]]]:
    """Checked rows as the network reads them; of sparse ones a few at a time.

    Once they are all read, a warning tells of columns with many categories that training never saw.
    """
    schema = model.schema
    unseen = UnseenValues(schema)
    if not issparse(X):
        yield encode_inputs(model.encoder, X, unseen)
        unseen.warn_of_cells()
        return
    entries = model.settings.model != "tabular" and can_be_sparse(schema)
    step = SPARSE_ROWS if entries else max(1, min(SPARSE_ROWS, DENSE_NUMBERS // X.shape[1]))
    for start in range(0, X.shape[0], step):
        rows = X[start : start + step]
        if not entries:
            yield encode_inputs(model.encoder, rows.toarray())
            continue
        inputs = encode_sparse(schema, rows)
        # The longest row of a part is as wide as all others of it.
        few = max(1, DENSE_NUMBERS // inputs.longest)
        for first in range(0, inputs.rows, few):
            some = np.arange(first, min(first + few, inputs.rows))
            yield inputs.padded(some, LEAST_ENTRIES)
