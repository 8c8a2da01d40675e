"""The assessment of a model against what is known of made-up data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.api import train
from descend.assessment import explained, linear
from descend.assessment.column_effects import importances
from descend.assessment.explained import strongest
from descend.assessment.failures import slices
from descend.assessment.sample import Sample
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, NumberColumn

ROWS = 1500


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random = np.random.default_rng(0)
    strong, weak, noise = random.normal(size=(3, ROWS))
    kind = random.integers(0, 3, ROWS)
    target = 3.0 * strong + 0.5 * weak + np.array([0.0, 2.0, 4.0])[kind]
    target += 0.1 * (1 + 9 * (kind == 2)) * random.normal(size=ROWS)
    table = {
        "strong": strong.tolist(),
        "weak": weak.tolist(),
        "noise": noise.tolist(),
        "kind": [f"k{one}" for one in kind],
        "y": target.tolist(),
    }
    return _assessed(table, tmp_path_factory.mktemp("regression"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, ROWS))
    label = np.where(2 * a + random.logistic(size=ROWS) > 0, "yes", "no")
    return _assessed(
        {"a": a.tolist(), "b": b.tolist(), "y": label.tolist()},
        tmp_path_factory.mktemp("classes"),
    )


def _assessed(table: dict[str, list[Any]], folder: Any) -> dict[str, Any]:
    import pyarrow as pa

    train(
        pa.table(table),
        target="y",
        batch_size=32,
        learning_rate=0.02,
        epochs=15,
        validation=0.3,
        out=folder / "run",
    )
    found: dict[str, Any] = json.loads((folder / "run" / "assessment.json").read_text())
    assert "failed" not in found
    return found


def test_the_important_column_comes_first_and_noise_last(regression: dict[str, Any]) -> None:
    names = [one["column"] for one in regression["importance"]]
    assert names[:2] == ["strong", "kind"]
    assert names[-1] == "noise"
    by_name = {one["column"]: one for one in regression["importance"]}
    assert by_name["strong"]["low"] > 0.5
    assert abs(by_name["noise"]["importance"]) < 0.02
    assert regression["strongest"][0]["column"] == "strong"


def test_the_intervals_hold_the_metrics_and_the_linear_model_is_beside(
    regression: dict[str, Any],
) -> None:
    for one in regression["metrics"].values():
        assert one["low"] < one["model"] < one["high"]
    # The data is linear but for its noise.
    assert regression["metrics"]["r2"]["linear"] > 0.97
    assert abs(regression["metrics"]["r2"]["trivial"]) < 0.05


def test_the_dependence_is_the_slope_and_the_noisy_kind_has_the_error(
    regression: dict[str, Any],
) -> None:
    strong = next(one for one in regression["dependence"] if one["column"] == "strong")
    slope = np.polyfit(strong["x"], strong["y"][0], 1)[0]
    assert slope == pytest.approx(3.0, rel=0.1)
    parts = {
        part["value"]: part["error"]
        for one in regression["slices"]
        if one["column"] == "kind"
        for part in one["parts"]
    }
    assert parts["k2"] > 2 * parts["k0"]
    worst = regression["worst"][0]
    assert abs(worst["error"]) == pytest.approx(abs(worst["predicted"] - worst["truth"]))
    assert worst["values"]["kind"] == "k2"


def test_values_that_are_learned_as_codes_stand_apart(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    code = random.choice([3, 10, 11, 40, 41, 90, *list(range(200, 290, 2))], ROWS)
    size = random.normal(size=ROWS)
    y = np.where(code % 4 == 0, 5.0, 0.0) + size + 0.1 * random.normal(size=ROWS)
    table = {"code": code.tolist(), "size": size.tolist(), "y": y.tolist()}
    found = _assessed(table, tmp_path)
    assert found["coded"] == ["code"]
    shown = {one["column"]: one for one in found["dependence"]}
    assert shown["code"]["apart"]
    assert not shown["size"]["apart"]
    # Between two codes there is no value that the model knows.
    assert set(shown["code"]["x"]) <= set(code.tolist())
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<td>number and category</td>" in page


def test_a_target_whose_differences_are_lost_beside_one_wild_value(tmp_path: Path) -> None:
    # Of float32, 1e12 in a training row leaves no digits for differences of 1.
    a = np.random.default_rng(0).normal(size=200)
    y = [1e12 if row == 8 else one for row, one in enumerate(a.tolist())]
    found = _assessed({"a": a.tolist(), "y": y}, tmp_path)
    assert found["metrics"]["r2"]["model"] is found["metrics"]["r2"]["high"] is None
    assert found["importance"] == []
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The validation rows all have the same target" in page


@pytest.mark.slow
def test_a_classifier_has_its_curves(classes: dict[str, Any]) -> None:
    assert classes["importance"][0]["column"] == "a"
    counts = np.array(classes["confusion"]["counts"])
    accuracy = np.trace(counts) / counts.sum()
    assert accuracy == pytest.approx(classes["metrics"]["accuracy"]["model"])
    fallout, recall = classes["curves"]["roc"]
    area = np.trapezoid(recall, fallout)
    assert area == pytest.approx(classes["metrics"]["auc"]["model"], abs=0.01)
    assert sum(one["rows"] for one in classes["calibration"]) == counts.sum()
    for one in classes["calibration"]:
        assert one["low"] <= one["observed"] <= one["high"]


def test_ridge_and_logistic_find_the_slope() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 2))
    y = X @ [2.0, -1.0] + 5.0
    found = linear.fit_numbers(X, y, np.ones(2000))(np.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(found, [5.0, 7.0], atol=0.02)
    codes = (2.0 * X[:, 0] + random.logistic(size=2000) > 0).astype(np.int64)
    chance = linear.fit_classes(X, codes, np.ones(2000), 2)(np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert chance[0, 1] == pytest.approx(0.5, abs=0.05)
    assert chance[1, 1] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.05)


def test_the_variance_between_values_is_that_of_the_class_indicators() -> None:
    random = np.random.default_rng(3)
    kind = random.integers(0, 5, 400)
    truth = (kind + random.integers(0, 3, 400)) % 7
    weight = random.uniform(0.5, 2.0, 400)
    column = CategoryColumn("kind", "text", 0, 5, tuple("abcde"), (80,) * 5)
    names = tuple(f"c{one}" for one in range(7))
    x = {"category": kind[:, None].astype(np.int32)}
    sample = Sample(
        x, truth.astype(float), np.zeros((400, 7)), weight, lambda _: np.zeros(0), names
    )
    [found] = strongest(sample, [Places(column, (), 0)])
    share, indicators = weight / weight.sum(), np.eye(7)[truth]
    total = float(np.sum(share @ (indicators - share @ indicators) ** 2))
    within = 0.0
    for one in range(5):
        rows = kind == one
        mean = share[rows] @ indicators[rows] / share[rows].sum()
        within += float(np.sum(share[rows] @ (indicators[rows] - mean) ** 2))
    assert found["explained"] == pytest.approx(1.0 - within / total * 399 / 395, rel=1e-9)


def test_the_error_of_all_rows_is_told_beside_the_commonest_of_many_values() -> None:
    random = np.random.default_rng(4)
    names = tuple(f"v{one:02}" for one in range(30))
    kind = np.sort(
        random.choice(30, 600, p=np.linspace(2, 0.1, 30) / np.linspace(2, 0.1, 30).sum())
    )
    weight = random.uniform(0.5, 2.0, 600)
    truth, predicted = np.zeros(600), (1.0 + kind) * random.normal(size=600)
    column = CategoryColumn("kind", "text", 0, 30, names, (20,) * 30)
    x = {"category": (kind + 1)[:, None].astype(np.int32)}
    sample = Sample(x, truth, predicted, weight, lambda _: predicted, ())
    [found] = slices(sample, [Places(column, (), 0)])
    assert len(found["parts"]) == 12
    assert found["all"] == pytest.approx(np.average(np.abs(predicted), weights=weight))
    rows = kind == names.index(found["parts"][0]["value"])
    mean = np.average(np.abs(predicted[rows]), weights=weight[rows])
    assert found["parts"][0]["error"] == pytest.approx(mean)


@pytest.mark.parametrize("classes", [0, 2, 5])
def test_rows_spread_along_their_predictions_have_the_mean_of_all(classes: int) -> None:
    random = np.random.default_rng(5)
    predicted = random.lognormal(size=5000)
    if classes:
        predicted = random.dirichlet(np.ones(classes), size=5000)
    x = {"numeric": np.arange(5000.0)[:, None]}
    names = tuple(map(str, range(classes)))
    sample = Sample(x, np.zeros(5000), predicted, np.ones(5000), lambda _: predicted, names)
    some = sample.spread(200)
    assert len(some) == 200
    np.testing.assert_array_equal(some.predicted, predicted[some.x["numeric"][:, 0].astype(int)])
    deviation = np.abs(some.predicted.mean(axis=0) - predicted.mean(axis=0))
    assert np.min(deviation / predicted.std(axis=0)) < 0.01  # By chance alone it would be 0.07.
    assert sample.spread(9000) is sample


@pytest.mark.parametrize("classes", [0, 4])
def test_columns_are_grouped_together_as_one_by_one(classes: int) -> None:
    random = np.random.default_rng(4)
    rows = 300
    kinds = [
        random.normal(size=rows),
        random.integers(0, 7, rows).astype(float),
        np.repeat(np.arange(60.0), 5),
        np.zeros(rows),
        np.where(random.random(rows) < 0.6, 0.0, random.normal(size=rows)),
    ]
    places = [
        Places(NumberColumn(f"n{place}", "number", 0, None, 0.0, 1.0, -9.0, 9.5), (place,), None)
        for place in range(len(kinds))
    ]
    x = {"numeric": np.stack(kinds, axis=1).astype(np.float32)}
    truth = random.integers(0, classes, rows).astype(float) if classes else kinds[0] + kinds[1]
    weight = random.uniform(0.5, 2.0, rows)
    names = tuple(f"c{one}" for one in range(classes))
    sample = Sample(x, truth, np.zeros((rows, max(1, classes))), weight, lambda _: truth, names)
    share = weight / weight.sum()
    outcome = np.eye(classes)[truth.astype(int)] if classes else truth[:, None]
    total = float(np.sum(share @ (outcome - share @ outcome) ** 2))
    expected = {}
    for place in places:
        groups = explained._groups(place, x)
        within = 0.0
        for one in np.unique(groups):
            some = groups == one
            mean = share[some] @ outcome[some] / share[some].sum()
            within += float(np.sum(share[some] @ (outcome[some] - mean) ** 2))
        rest = rows - len(np.unique(groups))
        expected[place.column.name] = max(0.0, 1.0 - within / total * (rows - 1) / rest)
    found = {one["column"]: one["explained"] for one in strongest(sample, places)}
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_first_columns_are_measured_however_busy_the_machine_is() -> None:
    codes = np.random.default_rng(6).integers(1, 3, (50, 25)).astype(np.int32)
    places = [
        Places(CategoryColumn(f"c{place}", "text", 0, 2, ("a", "b"), (25, 25)), (), place)
        for place in range(25)
    ]

    def predict(x: Any) -> np.ndarray:
        return np.asarray(x["category"].sum(axis=1), np.float64)

    x = {"category": codes}
    sample = Sample(x, predict(x), predict(x), np.ones(50), predict, ())
    found, left_out = importances(sample, places, 0, lambda: True)
    assert len(found) == 20
    assert left_out == 5
    assert min(one["importance"] for one in found) > 0


def test_rare_values_are_taken_together_numbers_with_their_neighbours() -> None:
    column = NumberColumn("gain", "number", 0, None, 0.0, 1.0, 0.0, 99.0)
    gain = np.r_[np.zeros(200), np.arange(1.0, 13.0), np.full(20, 20.0), [30.0]]
    rows = len(gain)
    wrong = np.random.default_rng(0).random(rows) < np.where(gain > 0, 0.5, 0.02)
    predicted = np.stack([~wrong, wrong], axis=1).astype(float)
    sample = Sample(
        {"numeric": gain[:, None].astype(np.float32)},
        np.zeros(rows),
        predicted,
        np.ones(rows),
        lambda _: predicted,
        ("a", "b"),
    )
    [found] = slices(sample, [Places(column, (0,), None)])
    told = [(part["value"], part["rows"]) for part in found["parts"]]
    assert told == [("0", 200), ("1 to 10", 10), ("11 to 12", 2), ("20", 20), ("30", 1)]
    assert found["parts"][1]["error"] == pytest.approx(wrong[(gain > 0) & (gain < 11)].mean())

    kinds = CategoryColumn("kind", "text", 0, 4, ("a", "b", "c", "d"), (100, 100, 3, 2))
    codes = np.repeat([1, 2, 3, 4], [100, 128, 3, 2])
    sample = replace(sample, x={"category": codes[:, None].astype(np.int32)})
    [found] = slices(sample, [Places(kinds, (), 0)])
    assert [part["value"] for part in found["parts"]] == ["a", "b", "(2 rare values)"]
    assert [part["rows"] for part in found["parts"]] == [100, 128, 5]


@pytest.mark.slow
def test_a_table_in_which_rows_are_repeated(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    a, b, y = random.normal(size=(3, 300))
    once = {"a": a.tolist(), "b": b.tolist(), "y": y.tolist()}
    thrice = {name: values * 3 for name, values in once.items()}
    assert _assessed(thrice, tmp_path / "thrice")["copies"] > 0.7
    assert _assessed(once, tmp_path / "once")["copies"] is None
