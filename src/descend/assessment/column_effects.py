"""The effect of single columns: importance, and partial dependence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from descend.assessment.sample import Inputs, Numbers, Sample, category_names, values_of
from descend.assessment.scores import Z
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn

GRID = 16
MOST_VALUES = 12
LEAST_COLUMNS, MOST_COLUMNS = 20, 60
"""Columns that are shuffled however long it takes, and at most."""
Ended = Callable[[], bool]


def importances(
    sample: Sample, places: Sequence[Places], seed: int, ended: Ended
) -> tuple[list[dict[str, Any]], int]:
    """The growth of the loss when the values of one column are shuffled between the rows.

    Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019, arXiv 1801.01489): for
    numbers as the drop in R², for classes as the growth of the log loss. Each column is shuffled
    once: the interval (90 %) is over the rows, of which each gets a value of another, so that more
    shuffles of as many rows would narrow it less than they cost.

    Returns:
        A record for each column, the most important first, and how many columns were left out
        because time or number ran out. No records where all rows have the same number as target:
        there is no R² then.
    """
    random = np.random.default_rng(seed)
    base = sample.losses(sample.predicted)
    share = sample.weight / sample.weight.sum()
    unit = 1.0 if sample.classes else _variance(sample.truth, share)
    if not unit > 0:
        return [], 0
    found = []
    for number, place in enumerate(places[:MOST_COLUMNS]):
        if number >= LEAST_COLUMNS and ended():
            break
        shuffled = _replace_column(sample.x, place, random.permutation(len(sample)))
        grown = sample.losses(sample.predict(shuffled)) - base
        mean = float(share @ grown)
        error = math.sqrt(float(share**2 @ (grown - mean) ** 2))
        found.append(
            {
                "column": place.column.name,
                "importance": mean / unit,
                "low": (mean - Z * error) / unit,
                "high": (mean + Z * error) / unit,
            }
        )
    left_out = len(places) - len(found)
    return sorted(found, key=lambda one: -float(one["importance"])), left_out


def dependence(sample: Sample, place: Places, *, coded: bool = False) -> dict[str, Any] | None:
    """The mean prediction over all rows when a column is set to each of some values.

    Partial dependence (Friedman 2001). For classes: the mean probability of the second of two
    classes, or of the most frequent three.

    Args:
        sample: rows.
        place: of the column.
        coded: whether the model learns values of this column of numbers each by itself, too.

    Returns:
        The record, or None for dates, which become several numbers.
    """
    column = place.column
    if isinstance(column, DatetimeColumn):
        return None
    settings: list[tuple[Any, float]]
    if isinstance(column, CategoryColumn):
        names = category_names(column)
        codes = np.asarray(sample.x["category"])[:, place.category]
        present = [code for code in range(len(names)) if np.any(codes == code)]
        present.sort(key=lambda code: -int(np.sum(codes == code)))
        settings = [(names[code], float(code)) for code in sorted(present[:MOST_VALUES])]
    else:
        assert isinstance(column, NumberColumn)
        # float32 holds a standardised number to about 7 digits.
        values = values_of(place, sample.x)
        known = np.unique(values[np.isfinite(values)])
        if len(known) > 2 * GRID:
            # Values that occur: between two codes there may be none.
            quantiles = np.linspace(0.02, 0.98, GRID)
            known = np.unique(
                np.quantile(values[np.isfinite(values)], quantiles, method="inverted_cdf")
            )
        settings = [(float(v), (float(v) - column.mean) / column.deviation) for v in known]
    shown = _shown_classes(sample)
    share = sample.weight / sample.weight.sum()
    lines: list[list[float]] = []
    for _, encoded in settings:
        predicted = sample.predict(_set(sample.x, place, encoded))
        columns = predicted[:, None] if predicted.ndim == 1 else predicted[:, shown]
        lines.append((share @ columns).tolist())
    return {
        "column": column.name,
        "kind": column.kind,
        "apart": coded and isinstance(column, NumberColumn) and column.whole,
        "x": [value for value, _ in settings],
        "classes": [sample.classes[code] for code in shown],
        "y": [list(one) for one in zip(*lines, strict=True)],
    }


def _replace_column(x: Inputs, place: Places, order: Any) -> Inputs:
    """The rows with the values of one column taken from other rows."""
    changed = dict(x)
    if place.category is not None:
        category = np.array(x["category"])
        category[:, place.category] = category[order, place.category]
        changed["category"] = category
    if place.numeric:
        numeric = np.array(x["numeric"])
        at = list(place.numeric)
        numeric[:, at] = numeric[order][:, at]
        changed["numeric"] = numeric
    return changed


def _set(x: Inputs, place: Places, encoded: float) -> Inputs:
    """The rows with one column set to one encoded value, not missing."""
    changed = dict(x)
    if place.category is not None:
        category = np.array(x["category"])
        category[:, place.category] = int(encoded)
        changed["category"] = category
    else:
        numeric = np.array(x["numeric"])
        numeric[:, place.numeric[0]] = encoded
        if len(place.numeric) > 1:
            numeric[:, place.numeric[1]] = 0.0
        changed["numeric"] = numeric
    return changed


def _shown_classes(sample: Sample) -> list[int]:
    if not sample.classes:
        return []
    if len(sample.classes) == 2:
        return [1]
    counts = np.bincount(sample.truth.astype(int), minlength=len(sample.classes))
    return [int(one) for one in np.argsort(-counts, kind="stable")[:3]]


def _variance(truth: Numbers, share: Numbers) -> float:
    mean = float(share @ truth)
    return float(share @ (truth - mean) ** 2) if np.ptp(truth) > 0 else 0.0
