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


class Calibration(Struct, frozen=True):
    """What intervals are made from, for each target.

    Attributes:
        scores: rising.
        constant: median error on the validation rows, in units of the target.
    """

    scores: tuple[tuple[float, ...], ...]
    constant: tuple[float, ...]


def calibrate(errors: Numbers, spread: Numbers) -> Calibration:
    """The calibration of a model.

    Args:
        errors: `[n, k]` |y − ŷ| on the validation rows.
        spread: `[n, k]` deviation of the members there; 0 where there is one.
    """
    constant = np.maximum(np.median(errors, axis=0), np.finfo(np.float32).tiny)
    scores = np.sort(errors / np.sqrt(spread**2 + constant**2), axis=0)
    rows = len(scores)
    if rows > MOST_SCORES:
        ranks = np.ceil(np.arange(1, MOST_SCORES + 1) * (rows + 1) / (MOST_SCORES + 1))
        scores = scores[np.minimum(ranks.astype(int), rows) - 1]
    return Calibration(
        tuple(tuple(map(float, column)) for column in scores.T), tuple(map(float, constant))
    )


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
