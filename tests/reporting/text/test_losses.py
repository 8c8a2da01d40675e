"""What a page says that the loss is, against what is computed by that word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import descend
from descend.data.split import is_validation
from descend.reporting.text.losses import loss_note, members_note, shared_loss_note

ROWS = 300
Floats = np.ndarray[Any, np.dtype[np.float64]]


def _pinball(off: Floats, level: float) -> Floats:
    return np.where(off > 0, level * off, (level - 1) * off)


MEANT: dict[str, tuple[str, Callable[[Floats, Floats, float], Floats]]] = {
    "squared_error": (
        "half the squared error of y, in standard deviations",
        lambda y, p, d: 0.5 * ((y - p[0]) / d) ** 2,
    ),
    "absolute_error": (
        "the absolute error of y, in standard deviations",
        lambda y, p, d: np.abs(y - p[0]) / d,
    ),
    "huber": (
        "half the squared error of y up to an error of 1, and beyond it the error less a half",
        lambda y, p, d: np.where(
            np.abs(y - p[0]) < d, 0.5 * ((y - p[0]) / d) ** 2, np.abs(y - p[0]) / d - 0.5
        ),
    ),
    "poisson": (
        "prediction − y × log(prediction)",
        lambda y, p, d: p[0] - y * np.log(p[0]),
    ),
    "quantile": (
        "the pinball loss of y: by how far it is above the predicted quantile, times the "
        "quantile's level, or below it, times one less the level, in standard deviations",
        lambda y, p, d: _pinball((y - p[0]) / d, 0.1) + _pinball((y - p[1]) / d, 0.9),
    ),
}


@pytest.mark.parametrize("loss", MEANT)
def test_the_validation_loss_is_what_the_page_says_it_is(loss: str, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    a = random.normal(size=ROWS)
    y = random.poisson(np.exp(0.4 * a + 1.0)).astype(float)
    frame = {"a": a.tolist(), "y": y.tolist()}
    run = descend.train(
        _table(frame), target="y", model="linear", loss=loss, batch_size=32, learning_rate=0.05,
        epochs=3, averaging=False, out=tmp_path / "run",
        **({"quantiles": [0.1, 0.9]} if loss == "quantile" else {}),
    )  # fmt: skip
    said, meant = MEANT[loss]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert said in loss_note(record)
    held_out = is_validation(np.arange(ROWS), 0.1, 0)
    predicted = np.asarray(run.model.predict(_table(frame)), float).reshape(ROWS, -1)[held_out].T
    values = meant(y[held_out], predicted, float(y[~held_out].std()))
    found = record["result"]["best_validation_loss"]
    assert found == pytest.approx(float(values.mean()), rel=1e-4)


def _table(columns: dict[str, list[float]]) -> Any:
    import pyarrow as pa

    return pa.table(columns)


def _record(**settings: Any) -> dict[str, Any]:
    task = "classification" if settings["loss"] == "cross_entropy" else "regression"
    return {"settings": {"target": "y", **settings}, "data": {"task": task}}


def test_the_size_of_a_deviation_is_told_where_it_is_known() -> None:
    schema = {"target": {"names": ["rent"], "deviation": [250.5]}}
    note = loss_note({**_record(loss="squared_error"), "schema": schema})
    assert "half the squared error of rent" in note
    assert "(1 is 250.5): always predicting the mean has about 0.5." in note


def test_several_targets_are_summed() -> None:
    schema = {"target": {"names": ["a", "b"], "deviation": [1.0, 2.0]}}
    note = loss_note({**_record(loss="squared_error"), "schema": schema})
    assert "of a and b, in standard deviations of their training rows" in note
    assert "summed over the targets: always predicting the means has about 1." in note


def test_a_probability_has_no_deviations_and_classes_have_weights() -> None:
    note = loss_note(_record(loss="cross_entropy", class_weight=["yes=2"]))
    assert "the true class" in note
    assert "times the weight of its class." in note
    assert "deviation" not in note


def test_arrays_are_not_standardised_and_a_loss_of_the_user_is_called_so() -> None:
    own = {"model": "net", "loss": "squared_error"}
    settings = {"loss": "auto", "target": "y"}
    note = loss_note({"own": own, "settings": settings, "data": {"task": None}})
    assert note == "The loss of a row is half the squared error of the target."
    named = loss_note({"own": {**own, "loss": "tweedie"}, "settings": settings})
    assert named == "The loss is the one that you passed, tweedie."


def test_runs_of_other_rows_share_a_note_and_those_of_other_losses_do_not() -> None:
    near, far = (
        {**_record(loss="huber"), "schema": {"target": {"names": ["y"], "deviation": [size]}}}
        for size in (1.0, 2.0)
    )
    assert "half the squared error of y" in shared_loss_note([near, far])
    assert shared_loss_note([near, _record(loss="poisson")]) == ""


def test_members_are_named_where_there_are_several() -> None:
    assert "mean loss of the members" in members_note(_record(loss="huber", members=4))
    assert members_note(_record(loss="huber", members=1)) == ""


def test_a_record_without_settings_has_no_note() -> None:
    assert loss_note({}) == ""


@pytest.mark.parametrize("schema", [None, "x", [], {"target": "y"}, {"target": {"names": 3}}])
def test_a_record_that_was_edited_gives_a_sentence_all_the_same(schema: object) -> None:
    settings = {"loss": "quantile", "target": "rent", "quantiles": "half"}
    note = loss_note({"settings": settings, "task": "regression", "schema": schema})
    assert note.endswith(".")
    assert "rent" in note
