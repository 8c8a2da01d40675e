"""Cells of a frame that are no numbers, in a column of numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descend.errors import DataWarning
from descend.sklearn.estimators import MiniBatchRegressor


@pytest.mark.parametrize("seed", range(4))
def test_a_word_among_numbers_is_missing_whether_it_is_held_out_or_not(seed: int) -> None:
    x = np.random.default_rng(0).normal(size=300).round(3)
    frame = pd.DataFrame({"x": x.astype(str)})
    frame.loc[7, "x"] = "oops"
    estimator = MiniBatchRegressor(
        "linear",
        batch_size=32,
        learning_rate=0.05,
        max_epochs=3,
        validation_fraction=0.5,
        random_state=seed,
    )
    with pytest.warns(DataWarning, match="'x' holds something else than the rest in 1 cell,"):
        estimator.fit(frame, 2 * x)
