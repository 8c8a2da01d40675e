"""Where the values of each column lie: what the tabular network needs to know of them.

Learned from a sample of the training rows, kept among the parameters, and never trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import RowStore
from descend.data.schema.columns import DatetimePart
from descend.data.share_rows import SAMPLE_ROWS, sampled_rows
from descend.training.network.day_codes import find_days
from descend.training.network.value_groups import LEAN, MOST_VALUES, GroupsOf, without_twins

Floats = npt.NDArray[np.float32]

BINS = 32
"""Bins of equal content, before those of the tails."""
TAILS = (0.001, 0.002, 0.005, 0.01)
"""Further edges where a long tail would all lie in one bin."""
ALL_BINS = BINS + 2 * len(TAILS)
REPEATS = 0.5
"""A value that c rows hold counts as c to this power, so that one frequent value does not take
most of the bins."""
MOST_CODES = 256
"""A column with at most this number of frequent values is learned as a category too."""
LEAST_COUNT = 5
"""Rows of the sample that a value needs for an embedding of its own; a rarer one takes its
nearest neighbour's."""
LEAST_COVERED = 0.8
"""Part of the rows whose value has an embedding, for a column to be learned as a category too."""
MOST_BINNED, MOST_CODED = 256, 64
"""With more columns than that, bins or codes would make most of the network."""
NO_DAYS: Mapping[int, DatetimePart] = {}
BEYOND = 1e30
"""More than any standardised number."""
REACH = 10.0
"""A number is taken as it is within this multiple of the distance from the median to the outer
percentiles; beyond, its logarithm."""
RARE = 0.02
"""Least fraction of rows that a column is scaled for. In a column where fewer rows differ from the
most frequent value, one row in 10,000 would lie a hundred deviations away, and predictions near it
would be wild: the network knows that row alone."""

NONE = np.zeros(0, np.float32)


class Bins(NamedTuple):
    """Fixed arrays, all of one dimension: they do not decay and no penalty counts them.

    Attributes:
        centre: `[d]` median of each number.
        reach: `[d]` how far from the centre it is taken as it is.
        scale: `[d]` one over its deviation within that reach.
        binned: `[p]` which numbers have bins.
        low: `[p·T]` where each bin begins.
        rate: `[p·T]` one over its width; 0 for a bin that is not there.
        coded: `[c]` which numbers are categories too.
        middles: `[c·V]` where neighbouring values part; `BEYOND` behind the last.
        days: `[c·V]` 1 for the code of a day that training has, −1 for that of other days, 0 for
            all other codes; empty where no column of dates has codes.
        below: `[d]` how far below the centre the training rows go, above 0; empty in models that
            were trained before numbers outside of these rows were drawn nearer.
        above: `[d]` the same above it.
    """

    centre: Floats
    reach: Floats
    scale: Floats
    binned: Floats
    low: Floats
    rate: Floats
    coded: Floats
    middles: Floats
    days: Floats = NONE
    below: Floats = NONE
    above: Floats = NONE


class Sample(NamedTuple):
    """Rows that bins are found from.

    Attributes:
        numeric: `[n, d]`, standardised.
        weight: `[n]`.
        target: `[n, k]` numbers or `[n]` codes of classes.
    """

    numeric: Floats
    weight: Floats
    target: npt.NDArray[Any]


def sample(store: RowStore, seed: int, rows: int = SAMPLE_ROWS) -> Sample:
    """At most `rows` rows, a random sample if there are more."""
    chosen = sampled_rows(len(store), seed, rows)
    found = store.gather(chosen)
    numeric, weight = (np.asarray(one, np.float32) for one in (found.x["numeric"], found.weight))
    return Sample(numeric, weight, np.asarray(found.y))


def find_bins(
    numeric: Floats,
    weight: Floats | None = None,
    target: npt.NDArray[Any] | None = None,
    days: Mapping[int, DatetimePart] = NO_DAYS,
    held_out: Floats | None = None,
) -> Bins:
    """Bins, codes and scales of each column.

    The edges are quantiles (Gorishniy et al. 2022, arXiv 2203.05556, section 3.2.1) of the
    distinct values, each counted by a root of its frequency, and further ones in the tails.

    Args:
        numeric: `[n, d]`, standardised.
        weight: `[n]` of the rows: quantiles count each so often, and one of weight 0 not at all.
            None: 1.
        target: `[n, k]` numbers or `[n]` codes of classes, which decides whether a column of many
            values is a category too. None: no such column is one.
        days: which of the numbers count days, and how they are standardised.
        held_out: `[m, d]` validation rows: days, and columns of many values, are codes only where
            these rows are like the others.
    """
    if weight is not None and np.any(weight > 0):
        counted = weight > 0
        numeric, weight = numeric[counted], weight[counted]
        target = None if target is None else target[counted]
    alike = weight is None or len(weight) == 0 or np.ptp(weight) == 0.0
    scales, edges = [], {}
    codes: dict[int, tuple[Floats, Floats]] = {}
    grouped: dict[int, tuple[Floats, Floats]] = {}
    held_out = numeric[:0] if held_out is None else held_out
    distinct = [np.unique(column, return_counts=True) for column in numeric.T]
    groups = None
    if target is not None and len(numeric) and numeric.shape[1] <= MOST_BINNED:
        many_valued = [len(values) > ALL_BINS for values, _ in distinct]
        once = without_twins(numeric[:, many_valued], target)
        groups = GroupsOf(target[once], None if alike or weight is None else weight[once])
    for place, (values, counts) in enumerate(distinct):
        column = numeric[:, place]
        shares = counts.astype(np.float64)
        if not alike:
            shares = np.bincount(np.searchsorted(values, column), weight).astype(np.float64)
        scales.append(_scale(column, None if alike else weight))
        if len(values) <= 2:
            continue
        edges[place] = _edges(values, shares)
        if place in days:
            found = find_days(column, days[place], held_out[:, place])
            if found is not None:
                codes[place] = found
        elif (few := between_codes(values, counts)) is not None:
            codes[place] = _no_days(few)
        elif groups is not None and len(values) > ALL_BINS:
            single = between_codes(values, counts, MOST_VALUES)
            many = groups.find(column[once], edges[place], single, held_out[:, place])
            if many is not None:
                grouped[place] = _no_days(many)
    if len(edges) > MOST_BINNED:
        edges = {}
    if len(codes) + len(grouped) <= MOST_CODED:
        codes = dict(sorted((codes | grouped).items()))
    if len(codes) > MOST_CODED:
        codes = {}
    middles, of_days = zip(*codes.values(), strict=True) if codes else ((), ())
    # A power of two, and a middle fewer than codes.
    width = 1 << max(2, max(map(len, middles), default=1).bit_length())
    low, rate = _laid_out(list(edges.values()))
    centre, reach, scale, below, above = np.asarray(scales, np.float32).reshape(-1, 5).T
    return Bins(
        centre=np.ascontiguousarray(centre),
        reach=np.ascontiguousarray(reach),
        scale=np.ascontiguousarray(scale),
        binned=np.asarray(list(edges), np.float32),
        low=low,
        rate=rate,
        coded=np.asarray(list(codes), np.float32),
        middles=_padded(middles, width, BEYOND),
        days=_padded(of_days, width, 0.0) if any(map(np.any, of_days)) else NONE,
        below=np.ascontiguousarray(below),
        above=np.ascontiguousarray(above),
    )


def as_params(bins: Bins) -> dict[str, Floats]:
    """The arrays that are not empty, by name."""
    return {name: values for name, values in bins._asdict().items() if values.size}


def from_params(fixed: Any, numbers: int) -> Bins:
    """The bins that stand among the parameters of a model file.

    Args:
        fixed: what `as_params` gave.
        numbers: that the encoder makes of a row.

    Raises:
        ValueError: they are not those of such a row.
    """
    found = {name: np.asarray(fixed.get(name, NONE)) for name in Bins._fields}
    bins = Bins(**found)
    lengths = {
        "centre": numbers,
        "reach": numbers,
        "scale": numbers,
        "low": len(bins.binned) * ALL_BINS,
        "rate": len(bins.binned) * ALL_BINS,
    }
    if bins.below.size or bins.above.size:
        lengths |= {"below": numbers, "above": numbers}
    wrong = [name for name, length in lengths.items() if found[name].shape != (length,)]
    values, rest = divmod(len(bins.middles), max(1, len(bins.coded)))
    if any(array.ndim != 1 for array in bins) or rest or values & (values - 1):
        wrong.append("middles")
    if bins.days.shape not in ((0,), bins.middles.shape):
        wrong.append("days")
    for name in ("binned", "coded"):
        if not np.isin(found[name], np.arange(numbers)).all():
            wrong.append(name)
    if wrong or set(fixed) - set(found):
        raise ValueError(f"the bins of the columns do not fit them: {', '.join(wrong)}")
    return bins


def within_training(values: Any, centre: Any, below: Any, above: Any, xp: Any = np) -> Any:
    """The number itself where training rows lie; outside of them nearer to them than it is.

    With u = |x − centre|/r, r how far the training rows go on this side: u up to 1, then 2 − 1/u.
    Continuous with its slope, and never beyond twice as far as the training rows: what the network
    does far outside of them was not learned, so a slip of the pen would leave a wild prediction.
    """
    apart = values - centre
    span = xp.where(apart < 0, below, above)
    far = xp.maximum(xp.abs(apart), span)
    nearer = centre + xp.sign(apart) * span * (2.0 - span / far)
    return xp.where(far > span, nearer, values)


def compress(values: Any, centre: Any, reach: Any, scale: Any, xp: Any = np) -> Any:
    """(x − centre)·scale within the reach; beyond it the distance grows as its logarithm.

    With u = |x − centre|/r: u up to 1, then 1 + log u. Continuous with its slope, without a
    bound, and a million deviations are no more than fifteen times the reach.
    """
    apart = values - centre
    far = xp.maximum(xp.abs(apart), reach)
    logs = xp.sign(apart) * reach * (1.0 + xp.log(far / reach))
    return xp.where(xp.abs(apart) <= reach, apart, logs) * scale


def _scale(column: Floats, weight: Floats | None) -> tuple[float, ...]:
    """Centre, reach, scale, and how far the rows go below and above the centre."""
    shares = (0.01, 0.5, 0.99)
    if weight is None:
        low, centre, high = (float(value) for value in np.quantile(column, shares))
    else:
        order = np.argsort(column, kind="stable")
        below = np.cumsum(weight[order], dtype=np.float64)
        places = np.searchsorted(below, np.asarray(shares) * below[-1])
        low, centre, high = (float(value) for value in column[order][places])
    reach = REACH * max(high - centre, centre - low)
    different = column != centre
    if reach <= 0.0:
        far = np.abs(column - centre)[different]
        reach = REACH * float(np.quantile(far, shares[-1])) if far.size else 1.0
    bent = compress(column.astype(np.float64), centre, reach, 1.0)
    middle = np.average(bent, weights=weight)
    deviation = float(np.sqrt(np.average((bent - middle) ** 2, weights=weight)))
    part = float(np.average(different, weights=weight))
    if 0.0 < part < RARE:
        deviation *= np.sqrt(RARE / part)
    scale = 1.0 / deviation if deviation > 0.0 else 1.0
    down, up = centre - float(np.min(column)), float(np.max(column)) - centre
    # On a side without any row, as far as on the other.
    return centre, reach, scale, down or up or reach, up or down or reach


def _edges(values: Floats, counts: npt.NDArray[np.float64]) -> Floats:
    """Rising, the least and the greatest value among them."""
    shares = np.concatenate([np.linspace(0, 1, BINS + 1), TAILS, 1.0 - np.asarray(TAILS)])
    weight = counts**REPEATS
    below = np.cumsum(weight) - weight[0]
    places = np.searchsorted(below / below[-1], np.sort(shares))
    return np.unique(values[np.minimum(places, len(values) - 1)])


def _laid_out(edges: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Where bins begin and one over their widths, padded to one number of bins."""
    low = np.zeros((len(edges), ALL_BINS), np.float32)
    rate = np.zeros((len(edges), ALL_BINS), np.float32)
    for place, one in enumerate(edges):
        low[place, : len(one) - 1] = one[:-1]
        rate[place, : len(one) - 1] = 1.0 / np.diff(one)
    return low.ravel(), rate.ravel()


def between_codes(
    values: Floats, counts: npt.NDArray[np.int64], most: int = MOST_CODES
) -> Floats | None:
    """Where the frequent values of a column part; None where they are too many or too rare.

    Args:
        values: of the column, rising.
        counts: rows of each.
        most: frequent values that a column may have.
    """
    frequent = values[counts >= LEAST_COUNT]
    covered = counts[counts >= LEAST_COUNT].sum()
    if not 2 < len(frequent) <= most or covered < LEAST_COVERED * counts.sum():
        return None
    return np.asarray(frequent[:-1] + LEAN * np.diff(frequent), np.float32)


def _no_days(middles: Floats) -> tuple[Floats, Floats]:
    """Codes that part at these places, with a 0 for each."""
    return middles, np.zeros(len(middles) + 1, np.float32)


def _padded(columns: Sequence[Floats], width: int, filling: float) -> Floats:
    """Numbers of all columns, each padded to one width."""
    padded = np.full((len(columns), width), filling, np.float32)
    for place, one in enumerate(columns):
        padded[place, : len(one)] = one
    return padded.ravel()
