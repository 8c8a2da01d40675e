"""The assessment of a model against what is known of made-up data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.api import train
from descend.assessment import explained, linear, scores
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


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    predicted = truth + random.normal(size=4000)
    sample = Sample({}, truth, predicted, np.ones(4000), lambda x: predicted, ())
    low, high = scores.score_intervals(sample, predicted, np.zeros(4000), 0)["mae"]
    error = np.abs(predicted - truth)
    half = 1.645 * error.std() / np.sqrt(4000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert low < error.mean() < high


def test_the_interval_of_r2_far_from_zero() -> None:
    """The squares of numbers near 1e9 have no digits left for differences of 1."""
    random = np.random.default_rng(0)
    truth = random.normal(size=400)
    predicted = truth + 0.5 * random.normal(size=400)
    ends = []
    for origin in (0.0, 1e9):
        sample = Sample({}, truth + origin, predicted + origin, np.ones(400), lambda x: x, ())
        ends.append(scores.score_intervals(sample, sample.predicted, np.zeros(400), 0)["r2"])
    assert ends[1] == pytest.approx(ends[0], abs=1e-5)


def test_the_auc_counts_ties_half() -> None:
    probabilities = np.array([0.1, 0.4, 0.4, 0.8])
    predicted = np.stack([1 - probabilities, probabilities], axis=1)
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    sample = Sample({}, truth, predicted, np.ones(4), lambda x: predicted, ("no", "yes"))
    assert scores.scores(sample, predicted, predicted)["auc"] == pytest.approx(3.5 / 4)


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


def test_few_rows_that_are_all_right_leave_room_for_errors() -> None:
    kind = np.array([0] * 3 + [1] * 300)
    predicted = np.tile([1.0, 0.0], (303, 1))
    predicted[100:150] = [0.0, 1.0]
    column = CategoryColumn("kind", "text", 0, 2, ("few", "many"), (3, 300))
    x = {"category": (kind + 1)[:, None].astype(np.int32)}
    sample = Sample(x, np.zeros(303), predicted, np.ones(303), lambda _: predicted, ("a", "b"))
    [found] = slices(sample, [Places(column, (), 0)])
    few, many = found["parts"]
    assert few["error"] == few["low"] == 0.0
    assert few["high"] > 0.4
    assert many["low"] < many["error"] < many["high"] < few["high"]


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


def classified(
    truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None
) -> Sample:
    """Rows of a classifier whose classes are `c0`, `c1`, ..."""
    names = tuple(f"c{one}" for one in range(predicted.shape[1]))
    weight = np.ones(len(truth)) if weight is None else weight
    return Sample({}, truth.astype(float), predicted, weight, lambda _: predicted, names)


def two_classes(
    rows: int, share: float, ties: bool, weights: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The truth, the probabilities of the second class and the weights of made-up rows."""
    random = np.random.default_rng(rows)
    truth = random.random(rows) < share
    score = 1 / (1 + np.exp(-(random.normal(size=rows) + 2.0 * truth - 1.0)))
    score = np.round(score, 1) if ties else score
    weight = random.lognormal(size=rows) if weights else np.ones(rows)
    return truth, score, weight


CASES = pytest.mark.parametrize(
    ("rows", "share", "ties", "weights"),
    [
        (40, 0.4, False, False),
        (60, 0.5, True, True),
        (3000, 0.3, True, False),
        (8000, 0.5, False, True),
        (20_000, 0.005, False, False),
        (20_000, 0.99, False, True),
    ],
)


@CASES
def test_the_curves_of_two_classes_are_those_of_scikit_learn(
    rows: int, share: float, ties: bool, weights: bool
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, score, weight = two_classes(rows, share, ties, weights)
    found = scores.curves(classified(truth, np.stack([1 - score, score], axis=1), weight))
    fallout, recall, _ = metrics.roc_curve(
        truth, score, sample_weight=weight, drop_intermediate=False
    )
    x, y = map(np.asarray, found["roc"])
    assert len(x) <= scores.CURVE_POINTS
    # Each point drawn is one of the curve, and the curve lies near the lines between them.
    assert _distance((x, y), (fallout, recall)) < 1e-9
    assert _distance((fallout, recall), (x, y)) < 0.004
    area = metrics.roc_auc_score(truth, score, sample_weight=weight)
    assert np.trapezoid(y, x) == pytest.approx(area, abs=1e-3)

    precision, recall, _ = metrics.precision_recall_curve(truth, score, sample_weight=weight)
    x, y = map(np.asarray, found["precision_recall"])
    assert len(x) <= scores.CURVE_POINTS
    # scikit-learn ends its curve at precision 1, which no row has.
    assert _distance((x[1:], y[1:]), (recall[:-1], precision[:-1])) < 1e-9
    assert x[0] == 0.0
    assert y[0] in precision
    assert _distance((recall[:-1], precision[:-1]), (x, y)) < 0.02
    assert found["share"] == pytest.approx(np.average(truth, weights=weight))


def _distance(points: Any, curve: Any) -> float:
    """The largest distance of points `[x, y]` from the lines between the points of a curve."""
    here = np.stack(points, axis=1)
    here = here[:: max(1, len(here) // 2000)]
    along = np.stack(curve, axis=1)
    starts, steps = along[:-1], np.diff(along, axis=0)
    length = np.maximum((steps**2).sum(axis=1), 1e-300)
    largest = 0.0
    for point in here:
        part = np.clip(((point - starts) * steps).sum(axis=1) / length, 0, 1)
        nearest = starts + part[:, None] * steps
        largest = max(largest, float(np.sqrt(((point - nearest) ** 2).sum(axis=1)).min()))
    return largest


@CASES
def test_the_calibration_of_two_classes_is_that_of_scikit_learn(
    rows: int, share: float, ties: bool, weights: bool
) -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    truth, score, _ = two_classes(rows, share, False, False)
    sample = classified(truth, np.stack([1 - score, score], axis=1))
    observed, predicted = calibration.calibration_curve(
        truth, score, n_bins=min(10, rows // 10), strategy="quantile"
    )
    found = scores.calibration(sample)
    if rows % len(found) == 0 and rows > 100:
        # Its bins end between two quantiles, which is where ours end but for a row.
        np.testing.assert_allclose([one["observed"] for one in found], observed, atol=0.01)
        np.testing.assert_allclose([one["predicted"] for one in found], predicted, atol=0.01)
    # A row of weight 2 counts as two rows.
    double = classified(truth, sample.predicted, np.full(rows, 2.0))
    assert [one["observed"] for one in scores.calibration(double)] == pytest.approx(
        [one["observed"] for one in found]
    )
    heavy = classified(truth, sample.predicted, np.where(truth, 3.0, 1.0))
    for one, other in zip(scores.calibration(heavy), found, strict=True):
        hits = other["observed"]
        assert one["observed"] == pytest.approx(3 * hits / (3 * hits + (1 - hits)))


@pytest.mark.parametrize("classes", [2, 5, 30])
@pytest.mark.parametrize("weights", [False, True])
def test_confusion_precision_and_recall_are_those_of_scikit_learn(
    classes: int, weights: bool
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, 2000) * random.integers(0, 2, 2000)
    predicted = random.dirichlet(np.ones(classes), size=2000)
    predicted[np.arange(2000), truth] += 0.2
    weight = random.lognormal(size=2000) if weights else np.ones(2000)
    sample = classified(truth, predicted, weight)
    said = predicted.argmax(axis=1)
    found = scores.confusion(sample)
    labels = list(range(classes))
    expected = metrics.confusion_matrix(truth, said, labels=labels)
    sums = metrics.confusion_matrix(truth, said, labels=labels, sample_weight=weight)
    if classes <= scores.MOST_CLASSES:
        np.testing.assert_array_equal(found["counts"], expected)
        if weights:
            np.testing.assert_allclose(found["weights"], sums)
    else:
        # The rarest classes are one; what is right among them stays on the diagonal.
        shown = [int(name[1:]) for name in found["classes"][:-1]]
        block = np.asarray(found["counts"])
        np.testing.assert_array_equal(block[:-1, :-1], expected[np.ix_(shown, shown)])
        assert block.sum() == 2000
    assert ("weights" in found) == weights
    per = metrics.precision_recall_fscore_support(
        truth, said, labels=labels, sample_weight=weight, zero_division=0.0
    )
    for one in scores.per_class(sample):
        code = int(one["class"][1:])
        assert one["precision"] == pytest.approx(per[0][code])
        assert one["recall"] == pytest.approx(per[1][code])
        assert one["rows"] == int((truth == code).sum())


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
