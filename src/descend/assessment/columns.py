"""The effect of single columns: importance, partial dependence, errors by value, worst rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import (
    MISSING,
    Inputs,
    Numbers,
    Sample,
    category_names,
    number_values,
    values_of,
)
from descend.assessment.scores import Z, wilson
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn
from descend.data.schema.dates import DAY
from descend.io.units import date_text

GRID = 16
MOST_VALUES = 12
FEW_ROWS = 10
"""A value that fewer rows have is rare: what is measured of it says little."""
LEAST_COLUMNS, MOST_COLUMNS = 20, 60
"""Columns that are shuffled however long it takes, and at most."""
TIME_BINS = 12
WORST, SHOWN = 12, 8
"""Rows with the largest loss that are shown, and columns of each."""
MOST_GROUPS = 50
"""Groups of the values of a number; each value is one where they are fewer."""
FEWEST_REST = 20
"""Rows beyond the groups that a share of explained variance needs to mean anything."""
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


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(f"{float(value):.6g}") + 0.0
    return str(value)


def _variance(truth: Numbers, share: Numbers) -> float:
    mean = float(share @ truth)
    return float(share @ (truth - mean) ** 2) if np.ptp(truth) > 0 else 0.0
