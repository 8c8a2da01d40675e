"""Encode a sparse matrix without making it dense.

Standardising turns a zero of column j into -mean_j/deviation_j, so that hardly an input would be
0. A row is therefore held as what differs from a base that is the same for all rows, and the
network adds what the base contributes: see `training.network.sparse`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.encoding.numbers import standard
from descend.data.rows.sparse_store import SparseInputs
from descend.data.schema.columns import LeftOutColumn, NumberColumn, Schema
from descend.errors import DataError


def sparse_base(schema: Schema) -> NDArray[np.float32]:
    """The base of each of the d standardised inputs, and 0 for indicators of missing values.

    It is what a zero becomes; but 0, and so the mean, where that is more than one deviation off.
    Such a column holds few zeros, which then are the ones that have an entry (with p the part of
    the rows that are not 0, (mean/deviation)² is at most p/(1-p)), and differences from a base
    far out would be inexact.
    """
    base: list[float] = []
    for column in schema.columns:
        if isinstance(column, NumberColumn):
            base.append(_base_of(column))
            base += [0.0] * (column.missing > 0)
    return np.asarray(base, np.float32)


def encode_sparse(schema: Schema, X: Any) -> SparseInputs:
    """The inputs of a SciPy matrix in CSR form, `[rows, columns]`, whose columns are the schema's.

    Raises:
        DataError: X has another number of columns.
    """
    from scipy import sparse

    columns = schema.columns
    if X.shape[1] != len(columns):
        raise DataError(
            f"Expected X with {len(columns)} columns, as in training, found the shape {X.shape}."
        )
    used = [one if isinstance(one, NumberColumn) else None for one in columns]
    sizes = [0 if one is None else 1 + (one.missing > 0) for one in used]
    place = np.cumsum([0, *sizes])[:-1]
    flagged = np.asarray(sizes) == 2
    mean = np.asarray([0.0 if one is None else one.mean for one in used])
    deviation = np.asarray([1.0 if one is None else one.deviation for one in used])
    full = np.asarray([one is not None and not _near(one) for one in used])
    base = np.asarray([0.0 if one is None else _base_of(one) for one in used])
    width = int(np.sum(sizes))

    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()

    def entries(found: Any, keep: NDArray[np.bool_], value: NDArray[np.float64], step: int) -> Any:
        """Some entries of a matrix, with other values, at the places of their inputs."""
        start = np.concatenate([[0], np.cumsum(keep)])[found.indptr]
        parts = value.astype(np.float32), (place[found.indices[keep]] + step).astype(np.int32)
        return sparse.csr_array((*parts, start), shape=(found.shape[0], width))

    def encoded(found: Any, keep: NDArray[np.bool_]) -> Any:
        column, values = found.indices[keep], np.asarray(found.data[keep], np.float64)
        value = standard(values, mean[column], deviation[column]) - base[column]
        result = entries(found, keep, value, 0)
        absent = np.isnan(values) & flagged[column]
        if absent.any():
            which = np.flatnonzero(keep)[absent]
            chosen = np.zeros(len(keep), bool)
            chosen[which] = True
            result = result + entries(found, chosen, np.ones(len(which)), 1)
        return result

    known = np.asarray(sizes) > 0
    result = encoded(X, (known & ~full)[X.indices])
    if full.any():
        chosen = np.flatnonzero(full)
        all_of = np.tile(chosen, X.shape[0]).astype(X.indices.dtype)
        start = np.arange(X.shape[0] + 1) * len(chosen)
        values = X[:, chosen].toarray().astype(np.float64).ravel()
        whole = sparse.csr_array((values, all_of, start), shape=X.shape)
        result = result + encoded(whole, np.ones(len(values), bool))
    return SparseInputs(
        result.indptr.astype(np.int64), result.indices.astype(np.int32), result.data
    )


def can_be_sparse(schema: Schema) -> bool:
    """Whether every column of a schema is a number, so that a sparse matrix can be encoded."""
    return all(isinstance(one, NumberColumn | LeftOutColumn) for one in schema.columns)


def _base_of(column: NumberColumn) -> float:
    return -column.mean / column.deviation if _near(column) else 0.0


def _near(column: NumberColumn) -> bool:
    """Whether 0 is at most one deviation away from the mean."""
    return abs(column.mean) <= column.deviation
