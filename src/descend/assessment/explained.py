"""How well each column alone predicts the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import Inputs, Numbers, Sample, number_values, values_of
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, NumberColumn

MOST_GROUPS = 50
"""Groups of the values of a number; each value is one where they are fewer."""
FEWEST_REST = 20
"""Rows beyond the groups that a share of explained variance needs to mean anything."""
_CELLS_AT_ONCE = 1 << 19
"""Values of a sample that are grouped at a time."""
_QUANTILES = np.linspace(0, 1, 51)[1:-1]


def strongest(sample: Sample, places: Sequence[Places]) -> list[dict[str, Any]]:
    """How well each column alone predicts the target: the share of variance between its values.

    Numbers are cut into 50 groups of equal rows. For classes the variance is that of the class
    indicators, summed (Goodman & Kruskal's tau). Sorted, the strongest first.
    """
    share = sample.weight / sample.weight.sum()
    explained = _explained_classes if sample.classes else _explained_numbers
    found: dict[str, float] = {}
    for block, groups in _grouped_columns(sample.x, places):
        total, between, filled = explained(sample, share, groups)
        # As with R² adjusted for the number of groups: many groups explain much by chance.
        rest = len(sample) - filled
        known = (rest >= FEWEST_REST) & (total > 0)
        grown = (len(sample) - 1) / np.maximum(rest, 1)
        values = np.where(known, 1.0 - (total - between) / max(total, 1e-300) * grown, 0.0)
        names = [place.column.name for place in block]
        found |= dict(zip(names, np.maximum(values, 0.0).tolist(), strict=True))
    listed = [{"column": one.column.name, "explained": found[one.column.name]} for one in places]
    return sorted(listed, key=lambda one: -one["explained"])


def _explained_numbers(sample: Sample, share: Numbers, groups: Any) -> tuple[float, Any, Any]:
    """The variance of the target, and for each column that between its groups, and their number.

    Args:
        sample: the rows.
        share: of each row in the weight of all.
        groups: `[n, k]`, the group of each row by each column.
    """
    mean = float(share @ sample.truth)
    weight = _sums(groups, share)
    means = _sums(groups, share * sample.truth) / np.maximum(weight, 1e-300)
    between = np.sum(weight * (means - mean) ** 2, axis=1)
    return float(share @ (sample.truth - mean) ** 2), between, np.sum(weight > 0, axis=1)


def _explained_classes(sample: Sample, share: Numbers, groups: Any) -> tuple[float, Any, Any]:
    """The same of the class indicators, which are never made: there may be thousands of classes."""
    codes, classes = sample.truth.astype(np.int64), len(sample.classes)
    means = np.bincount(codes, share, classes)
    squares = float(means @ means)
    weight = _sums(groups, share)
    count = weight.shape[1]
    placed = (groups + count * np.arange(groups.shape[1])) * np.int64(classes) + codes[:, None]
    pairs, place = np.unique(placed.T, return_inverse=True)
    sums = np.bincount(place.ravel(), np.tile(share, groups.shape[1]))
    parts = sums**2 / np.maximum(weight.ravel()[pairs // classes], 1e-300)
    between = np.bincount(pairs // classes // count, parts, groups.shape[1]) - squares
    return 1.0 - squares, between, np.sum(weight > 0, axis=1)


def _sums(groups: Any, values: Numbers) -> Numbers:
    """`[k, groups]`: the sum of the values of the rows in each group of each column."""
    columns, count = groups.shape[1], int(groups.max(initial=0)) + 1
    placed = (groups + count * np.arange(columns)).T
    found = np.bincount(placed.ravel(), np.tile(values, columns), columns * count)
    return np.asarray(found.reshape(columns, count))


def _grouped_columns(
    x: Inputs, places: Sequence[Places]
) -> Iterator[tuple[Sequence[Places], npt.NDArray[np.int64]]]:
    """Columns with the group of each row `[n, k]`: many columns of numbers at once."""
    plain = [one for one in places if _is_plain(one)]
    rows = len(next(iter(x.values())))
    size = max(1, _CELLS_AT_ONCE // max(1, rows))
    for start in range(0, len(plain), size):
        block = plain[start : start + size]
        values = number_values(block, x)
        # One column at a time where a value is too large for its square to be a number.
        finite: Any = np.isfinite(values).all(axis=0)
        chosen = [one for one, whole in zip(block, finite, strict=True) if whole]
        if chosen:
            yield chosen, _groups_of_numbers(values[:, finite])
        for one in (one for one, whole in zip(block, finite, strict=True) if not whole):
            yield [one], _groups(one, x)[:, None]
    for one in places:
        if not _is_plain(one):
            yield [one], _groups(one, x)[:, None]


def _is_plain(place: Places) -> bool:
    """Whether a column is numbers, none missing."""
    return isinstance(place.column, NumberColumn) and place.column.missing == 0


def _groups_of_numbers(values: Numbers) -> npt.NDArray[np.int64]:
    """The group of each row by each column of finite numbers: as `_groups`, of all at once."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    ranks = np.zeros(values.shape, np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], axis=0, out=ranks[1:])
    groups = np.empty_like(ranks)
    np.put_along_axis(groups, order, ranks, axis=0)
    many = ranks[-1] >= MOST_GROUPS
    if many.any():
        cut = values[:, many]
        binned = np.zeros(cut.shape, np.int64)
        for edge in np.quantile(cut, _QUANTILES, axis=0):
            binned += cut >= edge
        groups[:, many] = binned
    return groups


def _groups(place: Places, x: Inputs) -> Any:
    if isinstance(place.column, CategoryColumn):
        return np.asarray(x["category"])[:, place.category].astype(np.int64)
    values = values_of(place, x)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    distinct = np.unique(values[known])
    edges = distinct
    if len(distinct) > MOST_GROUPS:
        edges = np.unique(np.quantile(values[known], _QUANTILES))
    groups = np.searchsorted(edges, np.where(known, values, edges[0]), side="right")
    return np.where(known, groups, len(edges) + 1)
