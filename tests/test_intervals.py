from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import descend
from descend.errors import SettingsError
from descend.training.intervals import MOST_SCORES, calibrate, half_widths


def test_half_widths_are_the_conformal_quantile_of_the_errors() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=(99, 1)))
    calibration = calibrate(errors, np.zeros((99, 1)), np.ones(99))
    width = half_widths(calibration, np.zeros((1, 1)), 0.9)[0, 0]
    # The ⌈(99 + 1)·0.9⌉-th smallest.
    assert width == pytest.approx(np.sort(errors[:, 0])[89])


def test_a_row_on_which_the_members_disagree_has_a_wider_interval() -> None:
    random = np.random.default_rng(1)
    spread = np.exp(random.normal(size=(5_000, 1)))
    errors = np.abs(spread * random.normal(size=(5_000, 1)))
    calibration = calibrate(errors, spread, np.ones(5_000))
    assert len(calibration.scores[0]) == MOST_SCORES
    narrow, wide = half_widths(calibration, np.array([[0.1], [5.0]]), 0.95)[:, 0]
    assert wide > 3 * narrow
    unseen = np.exp(random.normal(size=(5_000, 1)))
    inside = np.abs(unseen * random.normal(size=(5_000, 1)))
    inside = inside <= half_widths(calibration, unseen, 0.95)
    assert 0.93 < inside.mean() < 0.97


@pytest.mark.parametrize("rows", [400, 3 * MOST_SCORES])
def test_intervals_hold_that_part_of_the_weight_of_the_rows(rows: int) -> None:
    random = np.random.default_rng(2)
    weight = random.choice([1.0, 9.0], rows)
    errors = np.abs(random.normal(size=(rows, 1))) * weight[:, None]
    calibration = calibrate(errors, np.zeros((rows, 1)), weight)
    for level in (0.5, 0.9):
        inside = errors <= half_widths(calibration, np.zeros((rows, 1)), level)
        assert np.average(inside[:, 0], weights=weight) == pytest.approx(level, abs=0.03)
        assert inside.mean() > level + 0.03


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 0.999])
def test_a_level_that_cannot_be_is_refused(level: float) -> None:
    calibration = calibrate(np.ones((50, 1)), np.zeros((50, 1)), np.ones(50))
    with pytest.raises(SettingsError, match="interval"):
        half_widths(calibration, np.zeros((1, 1)), level)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    random = np.random.default_rng(3)
    hour = random.integers(0, 24, 900)
    rate = np.exp(np.sin(hour / 4) * 1.5)
    return pd.DataFrame({"hour": hour, "noise": random.normal(size=900), "n": random.poisson(rate)})


@pytest.fixture(scope="module")
def model(table: pd.DataFrame) -> descend.Model:
    options = {"members": 2, "hidden": (8,), "epochs": 4, "validation": 0.3}
    return descend.train(table, target="n", task="regression", **options).model


@pytest.mark.slow
def test_the_file_of_a_model_holds_its_intervals(table, model, tmp_path) -> None:
    model.save(tmp_path / "model.safetensors")
    again = descend.load_model(tmp_path / "model.safetensors")
    bounds = model.predict_interval(table, 0.9)
    np.testing.assert_array_equal(again.predict_interval(table, 0.9), bounds)
    assert bounds.shape == (900, 2)
    predicted = model.predict(table)
    assert np.all((bounds[:, 0] <= predicted) & (predicted <= bounds[:, 1]))
    inside = (bounds[:, 0] <= table["n"]) & (table["n"] <= bounds[:, 1])
    assert 0.84 < inside.mean() < 0.96


def test_a_count_is_never_predicted_below_zero(table, model) -> None:
    assert model.schema.target.counts == (True,)
    assert model.predict(table).min() >= 0
    assert model.predict_interval(table)[:, 0].min() >= 0


def test_predictions_are_written_with_their_bounds(table, model, tmp_path) -> None:
    descend.predict(model, table, tmp_path / "p.csv", interval=0.9)
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found.columns) == ["n", "n_low", "n_high"]
    np.testing.assert_allclose(found[["n_low", "n_high"]], model.predict_interval(table, 0.9))


@pytest.mark.slow
def test_classes_have_probabilities_instead(table) -> None:
    named = table.assign(n=np.where(table["n"] > 1, "many", "few"))
    made = descend.train(named, target="n", members=1, hidden=(4,), epochs=1).model
    with pytest.raises(SettingsError, match="classes"):
        made.predict_interval(table)
