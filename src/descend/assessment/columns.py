"""The effect of single columns: importance, partial dependence, errors by value, worst rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import (
    Inputs,
    Numbers,
    Places,
    Sample,
    category_names,
    values_of,
)
from descend.assessment.scores import wilson
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn

REPEATS = 3
Z = 1.645
"""Of a 90 % interval."""
GRID = 16
MOST_VALUES = 12
MOST_COLUMNS = 60
TIME_BINS = 12
WORST = 12
FEWEST_REST = 20
"""Rows beyond the groups that a share of explained variance needs to mean anything."""

Ended = Callable[[], bool]


def importances(
    sample: Sample, places: Sequence[Places], seed: int, ended: Ended
) -> tuple[list[dict[str, Any]], int]:
    """The growth of the loss when the values of one column are shuffled between the rows.

    Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019, arXiv 1801.01489): for
    numbers as the drop in R², for classes as the growth of the log loss. The interval (90 %) is
    over the rows.

    Returns:
        A record for each column, the most important first, and how many columns were left out
        because time or number ran out.
    """
    random = np.random.default_rng(seed)
    base = sample.losses(sample.predicted)
    share = sample.weight / sample.weight.sum()
    unit = 1.0 if sample.classes else _variance(sample.truth, share)
    found = []
    for place in places[:MOST_COLUMNS]:
        if ended():
            break
        grown = np.zeros(len(sample))
        for _ in range(REPEATS):
            shuffled = _replace_column(sample.x, place, random.permutation(len(sample)))
            grown += (sample.losses(sample.predict(shuffled)) - base) / REPEATS
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


def dependence(sample: Sample, place: Places) -> dict[str, Any] | None:
    """The mean prediction over all rows when a column is set to each of some values.

    Partial dependence (Friedman 2001). For classes: the mean probability of the second of two
    classes, or of the most frequent three.

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
            middle = np.quantile(values[np.isfinite(values)], np.linspace(0.02, 0.98, GRID))
            known = np.unique(middle)
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
        "x": [value for value, _ in settings],
        "classes": [sample.classes[code] for code in shown],
        "y": [list(one) for one in zip(*lines, strict=True)],
    }


def slices(sample: Sample, places: Sequence[Places]) -> list[dict[str, Any]]:
    """The error for each value of a column, of the columns where it differs most, and over time.

    For numbers the mean absolute error, for classes the share of wrong predictions, each with a
    90 % interval. `all` is that of all rows: of many values, only the commonest are in `parts`.
    """
    error = (
        (sample.predicted.argmax(axis=1) != sample.truth).astype(np.float64)
        if sample.classes
        else np.abs(sample.predicted - sample.truth)
    )
    shares = bool(sample.classes)
    ranked = []
    for place in places:
        column = place.column
        if isinstance(column, DatetimeColumn):
            days = values_of(place, sample.x)
            if np.isfinite(days).sum() >= 2 * TIME_BINS:
                ranked.append(
                    (math.inf, _over_time(column.name, days, error, sample.weight, shares))
                )
        elif isinstance(column, CategoryColumn):
            parts = _by_value(values_of(place, sample.x), error, sample.weight, shares)
            if len(parts) > 1:
                ranked.append((_excess_spread(parts), {"column": column.name, "parts": parts}))
        else:
            values = values_of(place, sample.x)
            known = np.unique(values[np.isfinite(values)])
            if 2 <= len(known) <= 2 * MOST_VALUES:
                parts = _by_value(values, error, sample.weight, shares)
                ranked.append((_excess_spread(parts), {"column": column.name, "parts": parts}))
    ranked.sort(key=lambda one: -one[0])
    overall = float(sample.weight @ error / sample.weight.sum())
    return [{**one, "all": overall} for _, one in ranked[:4]]


Between = Callable[[npt.NDArray[Any], Numbers], float]
"""The variance between groups of rows: from the group of each row, and the weight of each group."""


def _number_sums(sample: Sample, share: Numbers) -> tuple[float, Between]:
    """The variance of the target, and how much of it lies between groups."""
    mean = float(share @ sample.truth)
    total = float(share @ (sample.truth - mean) ** 2)

    def between(groups: npt.NDArray[Any], weight: Numbers) -> float:
        sums = np.bincount(groups, share * sample.truth)
        means = sums / np.maximum(weight, 1e-300)
        return float(weight @ (means - mean) ** 2)

    return total, between


def _class_sums(sample: Sample, share: Numbers) -> tuple[float, Between]:
    """The same of the class indicators, which are never made: there may be thousands of classes."""
    codes, classes = sample.truth.astype(np.int64), len(sample.classes)
    means = np.bincount(codes, share, classes)
    squares = float(means @ means)

    def between(groups: npt.NDArray[Any], weight: Numbers) -> float:
        pairs, place = np.unique(groups * np.int64(classes) + codes, return_inverse=True)
        sums = np.bincount(place, share)
        return float(np.sum(sums**2 / np.maximum(weight[pairs // classes], 1e-300))) - squares

    return 1.0 - squares, between


def strongest(sample: Sample, places: Sequence[Places]) -> list[dict[str, Any]]:
    """How well each column alone predicts the target: the share of variance between its values.

    Numbers are cut into 50 groups of equal rows. For classes the variance is that of the class
    indicators, summed (Goodman & Kruskal's tau). Sorted, the strongest first.
    """
    share = sample.weight / sample.weight.sum()
    total, between = _class_sums(sample, share) if sample.classes else _number_sums(sample, share)
    found = []
    for place in places:
        groups = _groups(place, sample.x)
        weight = np.asarray(np.bincount(groups, share), np.float64)
        within = total - between(groups, weight)
        # As with R² adjusted for the number of groups: many groups explain much by chance.
        rest = len(sample) - int(np.sum(weight > 0))
        known = total > 0 and rest >= FEWEST_REST
        explained = 1.0 - within / total * (len(sample) - 1) / rest if known else 0.0
        found.append({"column": place.column.name, "explained": max(0.0, explained)})
    return sorted(found, key=lambda one: -float(one["explained"]))


def worst_rows(sample: Sample, places: Sequence[Places], most: int = 8) -> list[dict[str, Any]]:
    """The rows with the largest loss, with the values of the most important columns."""
    losses = sample.losses(sample.predicted)
    shown = places[:most]
    columns = {place.column.name: values_of(place, sample.x) for place in shown}
    found = []
    for row in np.argsort(-losses, kind="stable")[:WORST]:
        if sample.classes:
            code = int(sample.predicted[row].argmax())
            truth: Any = sample.classes[int(sample.truth[row])]
            predicted: Any = sample.classes[code]
            extra = {"probability": float(sample.predicted[row, int(sample.truth[row])])}
        else:
            truth, predicted = float(sample.truth[row]), float(sample.predicted[row])
            extra = {"error": predicted - truth}
        values = {name: _plain(column[row]) for name, column in columns.items()}
        found.append({"truth": truth, "predicted": predicted, **extra, "values": values})
    return found


def _groups(place: Places, x: Inputs) -> Any:
    if isinstance(place.column, CategoryColumn):
        return np.asarray(x["category"])[:, place.category].astype(np.int64)
    values = values_of(place, x)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    distinct = np.unique(values[known])
    edges = distinct
    if len(distinct) > 50:
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, 51)[1:-1]))
    groups = np.searchsorted(edges, np.where(known, values, edges[0]), side="right")
    return np.where(known, groups, len(edges) + 1)


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


def _by_value(values: Any, error: Numbers, weight: Numbers, shares: bool) -> list[dict[str, Any]]:
    names, groups = np.unique(_texts(values), return_inverse=True)
    counts = np.bincount(groups)
    most = MOST_VALUES if values.dtype == object else 2 * MOST_VALUES
    kept = np.argsort(-counts, kind="stable")[:most]
    parts = [_part(names[one], error[groups == one], weight[groups == one], shares) for one in kept]
    return sorted(parts, key=lambda part: _order(part["value"]))


def _over_time(
    name: str, days: Numbers, error: Numbers, weight: Numbers, shares: bool
) -> dict[str, Any]:
    known = np.isfinite(days)
    order = np.flatnonzero(known)[np.argsort(days[known], kind="stable")]
    parts = [
        {**_part(float(np.median(days[some])), error[some], weight[some], shares), "time": True}
        for some in np.array_split(order, TIME_BINS)
    ]
    return {"column": name, "parts": parts, "time": True}


def _part(value: Any, error: Numbers, weight: Numbers, shares: bool) -> dict[str, Any]:
    share = weight / weight.sum()
    mean = float(share @ error)
    if shares:
        # A share: few rows that are all right do not mean that none is ever wrong.
        low, high = wilson(mean, 1.0 / float(share @ share))
    else:
        half = Z * math.sqrt(float(share**2 @ (error - mean) ** 2))
        low, high = max(0.0, mean - half), mean + half
    return {
        "value": _plain(value),
        "rows": len(error),
        "error": mean,
        "low": low,
        "high": high,
    }


def _excess_spread(parts: Sequence[dict[str, Any]]) -> float:
    """How far the errors of the parts lie apart beyond what chance does."""
    sure: list[float] = [
        max(0.0, abs(one["error"] - other["error"]) - (one["high"] - one["low"]) / 2)
        for one in parts
        for other in parts
    ]
    return max(sure)


def _texts(values: Any) -> Any:
    if values.dtype == object:
        return values.astype(str)
    return np.asarray(["(missing)" if math.isnan(one) else f"{one:g}" for one in values])


def _order(value: Any) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except (TypeError, ValueError):
        return 1, 0.0, str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(f"{float(value):.6g}") + 0.0
    return str(value)


def _variance(truth: Numbers, share: Numbers) -> float:
    mean = float(share @ truth)
    return max(1e-300, float(share @ (truth - mean) ** 2))
