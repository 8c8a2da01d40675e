"""Intervals that cover a given part of unseen rows, from errors on the validation rows.

Split conformal prediction with a scale: each validation row has the score |y − ŷ| / s, s² the
members' variance at that row plus a constant; the interval of a new row is ŷ ± q·s, q the
⌈(n + 1)·level⌉-th smallest score. Whatever the errors look like, a row drawn like the validation
rows lies inside with at least that probability (Lei et al. 2018, JASA 113(523), section 5.2, and
Papadopoulos et al. 2002, ECML, section 4). The validation rows also choose when to stop, which the
proof does not foresee: the measured coverage stands in docs/decisions/tabular-model.md.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from descend.errors import SettingsError, option_text

Numbers = npt.NDArray[np.float64]

MOST_SCORES = 1999
"""Scores that a model file keeps of each target."""

ROUNDING = 1e-3
"""Of a sum of weights, in rows."""


class Calibration(Struct, frozen=True):
    """What intervals are made from, for each target.

    Attributes:
        scores: rising.
        constant: median error on the validation rows, in units of the target.
    """

    scores: tuple[tuple[float, ...], ...]
    constant: tuple[float, ...]


def calibrate(errors: Numbers, spread: Numbers, weight: Numbers) -> Calibration:
    """The calibration of a model.

    Args:
        errors: `[n, k]` |y − ŷ| on the validation rows.
        spread: `[n, k]` deviation of the members there; 0 where there is one.
        weight: `[n]` of the rows, above 0: a row of weight 2 counts as two.
    """
    constant = np.maximum(np.median(errors, axis=0), np.finfo(np.float32).tiny)
    scores = errors / np.sqrt(spread**2 + constant**2)
    rows = len(scores)
    kept = min(rows, MOST_SCORES)
    ranks = np.minimum(np.ceil(np.arange(1, kept + 1) * (rows + 1) / (kept + 1)), rows)
    return Calibration(
        tuple(_at_ranks(column, weight, ranks) for column in scores.T), tuple(map(float, constant))
    )


def _at_ranks(scores: Numbers, weight: Numbers, ranks: Numbers) -> tuple[float, ...]:
    """The scores at some ranks, from 1; with weights, at the same shares of their sum."""
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(weight[order] / weight.mean())
    places = np.searchsorted(below, ranks - ROUNDING)
    return tuple(map(float, scores[order][np.minimum(places, len(scores) - 1)]))


def half_widths(calibration: Calibration, spread: Numbers, level: float) -> Numbers:
    """`[n, k]`: how far the interval reaches to each side.

    Args:
        calibration: of the model.
        spread: `[n, k]` deviation of the members.
        level: part of the rows to be covered.

    Raises:
        SettingsError: the level is not between 0 and 1, or higher than the scores can tell.
    """
    if not 0 < level < 1:
        raise SettingsError(
            f"{option_text('interval')} must be greater than 0 and less than 1; found {level}."
        )
    count = len(calibration.scores[0])
    rank = math.ceil((count + 1) * level)
    if rank > count:
        raise SettingsError(
            f"{option_text('interval', level)} needs {math.ceil(level / (1 - level))} validation "
            "rows or more; "
            f"the model was calibrated with {count}. Type at most {count / (count + 1):.3g}."
        )
    factor = np.asarray([scores[rank - 1] for scores in calibration.scores])
    widths: Numbers = factor * np.sqrt(spread**2 + np.asarray(calibration.constant) ** 2)
    return widths
