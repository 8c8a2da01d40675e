"""Where the values of each column lie: what the tabular network needs to know of them.

Learned from a sample of the training rows, kept among the parameters, and never trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import RowStore
from descend.data.share_rows import SAMPLE_ROWS, sampled_rows

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
BEYOND = 1e30
"""More than any standardised number."""
REACH = 10.0
"""A number is taken as it is within this multiple of the distance from the median to the outer
percentiles; beyond, its logarithm."""


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
        middles: `[c·V]` between neighbouring values; `BEYOND` behind the last.
    """

    centre: Floats
    reach: Floats
    scale: Floats
    binned: Floats
    low: Floats
    rate: Floats
    coded: Floats
    middles: Floats


def sample(store: RowStore, seed: int, rows: int = SAMPLE_ROWS) -> Floats:
    """The numbers `[n, d]` of at most `rows` rows, a random sample if there are more."""
    chosen = sampled_rows(len(store), seed, rows)
    return np.asarray(store.gather(chosen).x["numeric"], np.float32)


def find_bins(numeric: Floats) -> Bins:
    """Bins, codes and scales of each column.

    The edges are quantiles (Gorishniy et al. 2022, arXiv 2203.05556, section 3.2.1) of the
    distinct values, each counted by a root of its frequency, and further ones in the tails.

    Args:
        numeric: `[n, d]`, standardised.
    """
    scales, edges, codes = [], {}, {}
    for place in range(numeric.shape[1]):
        column = numeric[:, place]
        values, counts = np.unique(column, return_counts=True)
        scales.append(_scale(column))
        if len(values) <= 2:
            continue
        edges[place] = _edges(values, counts)
        frequent = values[counts >= LEAST_COUNT]
        covered = counts[counts >= LEAST_COUNT].sum()
        if 2 < len(frequent) <= MOST_CODES and covered >= LEAST_COVERED * len(column):
            codes[place] = frequent
    if len(edges) > MOST_BINNED:
        edges = {}
    if len(codes) > MOST_CODED:
        codes = {}
    low, rate = _laid_out(list(edges.values()))
    centre, reach, scale = np.asarray(scales, np.float32).reshape(-1, 3).T
    return Bins(
        centre=np.ascontiguousarray(centre),
        reach=np.ascontiguousarray(reach),
        scale=np.ascontiguousarray(scale),
        binned=np.asarray(list(edges), np.float32),
        low=low,
        rate=rate,
        coded=np.asarray(list(codes), np.float32),
        middles=_middles(list(codes.values())),
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
    none = np.zeros(0, np.float32)
    found = {name: np.asarray(fixed.get(name, none)) for name in Bins._fields}
    bins = Bins(**found)
    lengths = {
        "centre": numbers,
        "reach": numbers,
        "scale": numbers,
        "low": len(bins.binned) * ALL_BINS,
        "rate": len(bins.binned) * ALL_BINS,
    }
    wrong = [name for name, length in lengths.items() if found[name].shape != (length,)]
    if any(values.ndim != 1 for values in bins) or len(bins.middles) % max(1, len(bins.coded)):
        wrong.append("middles")
    for name in ("binned", "coded"):
        if not np.isin(found[name], np.arange(numbers)).all():
            wrong.append(name)
    if wrong or set(fixed) - set(found):
        raise ValueError(f"the bins of the columns do not fit them: {', '.join(wrong)}")
    return bins


def compress(values: Any, centre: Any, reach: Any, scale: Any, xp: Any = np) -> Any:
    """(x − centre)·scale within the reach; beyond it the distance grows as its logarithm.

    With u = |x − centre|/r: u up to 1, then 1 + log u. Continuous with its slope, without a
    bound, and a million deviations are no more than fifteen times the reach.
    """
    apart = values - centre
    far = xp.maximum(xp.abs(apart), reach)
    logs = xp.sign(apart) * reach * (1.0 + xp.log(far / reach))
    return xp.where(xp.abs(apart) <= reach, apart, logs) * scale


def _scale(column: Floats) -> tuple[float, float, float]:
    """Centre, reach and scale."""
    low, centre, high = (float(value) for value in np.quantile(column, (0.01, 0.5, 0.99)))
    reach = REACH * max(high - centre, centre - low)
    if reach <= 0.0:
        reach = max(float(np.max(np.abs(column - centre))), 1.0)
    deviation = float(np.std(compress(column.astype(np.float64), centre, reach, 1.0)))
    return centre, reach, 1.0 / deviation if deviation > 0.0 else 1.0


def _edges(values: Floats, counts: npt.NDArray[np.int64]) -> Floats:
    """Rising, the least and the greatest value among them."""
    shares = np.concatenate([np.linspace(0, 1, BINS + 1), TAILS, 1.0 - np.asarray(TAILS)])
    weight = counts.astype(np.float64) ** REPEATS
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


def _middles(codes: Sequence[Floats]) -> Floats:
    """Between neighbouring values, padded to one power of two."""
    most = 1 << max(2, (max((len(one) for one in codes), default=1) - 1).bit_length())
    middles = np.full((len(codes), most), BEYOND, np.float32)
    for place, one in enumerate(codes):
        middles[place, : len(one) - 1] = 0.5 * (one[1:] + one[:-1])
    return middles.ravel()
