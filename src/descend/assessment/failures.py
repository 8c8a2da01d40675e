"""Where a model fails: errors by the value of a column and over time, and the worst rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from descend.assessment.column_effects import MOST_VALUES
from descend.assessment.sample import MISSING, Inputs, Numbers, Sample, values_of
from descend.assessment.scores import Z, wilson
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, DatetimeColumn
from descend.data.schema.dates import DAY
from descend.io.units import date_text

FEW_ROWS = 10
"""A value that fewer rows have is rare: what is measured of it says little."""
TIME_BINS = 12
WORST, SHOWN = 12, 8
"""Rows with the largest loss that are shown, and columns of each."""


def slices(sample: Sample, places: Sequence[Places]) -> list[dict[str, Any]]:
    """The error for each value of a column, of the columns where it differs most, and over time.

    For numbers the mean absolute error, for classes the share of wrong predictions, each with a
    90 % interval. `all` is that of all rows: of many values, only the commonest are in `parts`.
    Rare values are taken together: of numbers neighbours, of categories all.
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


def _by_value(values: Any, error: Numbers, weight: Numbers, shares: bool) -> list[dict[str, Any]]:
    names, groups = _joined_rare(
        *np.unique(_texts(values), return_inverse=True), values.dtype != object
    )
    counts = np.bincount(groups)
    most = MOST_VALUES if values.dtype == object else 2 * MOST_VALUES
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    return [_part(names[one], error[groups == one], weight[groups == one], shares) for one in kept]


def _joined_rare(names: Any, groups: Any, numbers: bool) -> tuple[list[str], Any]:
    """Values in order, and the value of each row; rare values are joined, of numbers neighbours.

    A chart of many values with a row or two each shows nothing but chance.
    """
    counts = np.bincount(groups)
    order = sorted(range(len(names)), key=lambda one: _order(names[one]))
    if not numbers:
        rare = [one for one in order if counts[one] < FEW_ROWS]
        joined = [[one] for one in order if len(rare) < 2 or counts[one] >= FEW_ROWS]
        joined += [rare] if len(rare) > 1 else []
    else:
        joined = []
        for one in order:
            is_rare = counts[one] < FEW_ROWS and names[one] != MISSING
            before = joined[-1] if joined else []
            grows = is_rare and before and max(counts[before]) < FEW_ROWS
            if grows and counts[before].sum() < FEW_ROWS and names[before[-1]] != MISSING:
                before.append(one)
            else:
                joined.append([one])
    place = np.empty(len(names), np.int64)
    for number, some in enumerate(joined):
        place[some] = number
    told = [
        names[some[0]]
        if len(some) == 1
        else f"{names[some[0]]} to {names[some[-1]]}"
        if numbers
        else f"({len(some):,} rare values)"
        for some in joined
    ]
    return told, place[groups]


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
    return np.asarray([MISSING if math.isnan(one) else f"{one:g}" for one in values])


def _order(value: Any) -> tuple[int, float, str]:
    try:
        return 0, float(value), ""
    except (TypeError, ValueError):
        return 1, 0.0, str(value)


def worst_rows(sample: Sample, places: Sequence[Places]) -> list[dict[str, Any]]:
    """The rows with the largest loss, with the values of the most important columns."""
    losses = sample.losses(sample.predicted)
    shown = places[:SHOWN]
    columns = {place.column.name: _shown_values(place, sample.x) for place in shown}
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
        values = {name: plain(column[row]) for name, (column, plain) in columns.items()}
        found.append({"truth": truth, "predicted": predicted, **extra, "values": values})
    return found


def _shown_values(place: Places, x: Inputs) -> tuple[Any, Callable[[Any], Any]]:
    """The values of a column, and what writes one of them: a date as such, not as days."""
    values = values_of(place, x)
    if not isinstance(place.column, DatetimeColumn):
        return values, _plain
    times = any(moment % DAY for moment in (place.column.minimum, place.column.maximum))
    return values, lambda days: None if math.isnan(days) else date_text(float(days), minutes=times)


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(f"{float(value):.6g}") + 0.0
    return str(value)
