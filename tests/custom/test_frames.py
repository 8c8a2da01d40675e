"""Frames among the arrays of a custom model: their columns are known by place, so these count."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import descend
from descend.custom.arrays import join_batches, read_batch, read_inputs
from descend.custom.data import custom_rows
from descend.settings import Settings

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32)
NAMES, OTHER_ORDER = ["a", "b", "c"], ["c", "a", "b"]
FRAME = pd.DataFrame(X, columns=NAMES)
SHUFFLED = FRAME[OTHER_ORDER]
SAID = "order a, b, c; found c, a, b"


def rows(data: Any, validation: Any = 0.2) -> Any:
    return custom_rows(data, Settings("y"), validation, layout=None, say=lambda text: None)


@pytest.mark.slow
def test_predict_refuses_columns_in_another_order_or_others() -> None:
    model = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
    options: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.1, "epochs": 2}
    run = descend.fit(model, (FRAME, pd.Series(Y)), **options)
    np.testing.assert_array_equal(run.predict(FRAME), run.predict(X))
    with pytest.raises(descend.InputError, match=SAID):
        run.predict(SHUFFLED)
    with pytest.raises(descend.InputError, match=r"missing c; not in training: d.*Give x\[\['a'"):
        run.predict(FRAME.rename(columns={"c": "d"}))
    with pytest.raises(descend.InputError, match=rf"validation_sets\['winter'\].*{SAID}"):
        descend.fit(model, (FRAME, Y), validation_sets={"winter": (SHUFFLED, Y)}, **options)


@pytest.mark.parametrize(
    ("data", "validation"),
    [
        ((FRAME, Y), (SHUFFLED, Y)),
        (iter([(FRAME, Y), (SHUFFLED, Y)]), 0.2),
        (({"x": FRAME}, Y), ({"x": SHUFFLED}, Y)),
        ((X, FRAME), (X, SHUFFLED)),
    ],
)
def test_chunks_and_validation_rows_in_another_order_are_refused(
    data: Any, validation: Any
) -> None:
    with pytest.raises(descend.InputError, match=SAID):
        rows(data, validation)
    with pytest.raises(descend.InputError, match=SAID):
        join_batches([read_batch((FRAME, Y)), read_batch((SHUFFLED, Y))])


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(SHUFFLED.to_dict("series")),
        pa.table({name: SHUFFLED[name].to_numpy() for name in OTHER_ORDER}),
    ],
)
def test_columns_of_any_frame_are_known(frame: Any) -> None:
    with pytest.raises(descend.InputError, match=SAID):
        read_inputs(frame, read_batch((FRAME, Y)).inputs)


def test_arrays_and_frames_without_names_fit_any() -> None:
    numbered = pd.DataFrame(X)
    expected = rows((X, Y), (X, Y)).fingerprint
    for data, validation in ((FRAME, X), (X, FRAME), (numbered, FRAME), (FRAME, numbered)):
        assert rows((data, Y), (validation, Y)).fingerprint == expected
