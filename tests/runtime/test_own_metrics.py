"""Metrics of the user's own and further validation rows, for tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import descend
from descend.errors import DataError, InputError
from descend.runs.history import read_history

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
FRAME["y"] = 100.0 + 10.0 * FRAME.a - 5.0 * FRAME.b
FRAME["kind"] = np.where(FRAME.y > 100.0, "high", "low")
FAR = FRAME[:50].assign(a=FRAME.a[:50] + 1.0)
SAME = FRAME[:40]
OPTIONS: dict[str, Any] = {
    "target": "y",
    "exclude": ["kind"],
    "model": "linear",
    "batch_size": 10,
    "learning_rate": 0.01,
    "epochs": 3,
}


def rmse(predictions: Any, y: Any) -> float:
    assert predictions.shape == y.shape == (len(y),)
    return float(np.sqrt(np.mean(np.square(predictions - y))))


def train(data: Any = FRAME, **options: Any) -> Any:
    asked = {"metrics": {"own": rmse}, "validation_sets": {"far": FAR}}
    return descend.train(data, **{**OPTIONS, **asked, **options})


def test_they_are_in_the_units_of_the_target_and_stand_in_the_history() -> None:
    run = train()
    assert [list(line.metrics) for line in run.history] == [["own", "far/loss", "far/own"]] * 4
    model = run.metrics["model"]
    assert model["own"] == pytest.approx(model["rmse"], rel=1e-5)
    assert run.metrics["baseline"]["own"] is None
    assert model["far/own"] == pytest.approx(rmse(run.model.predict(FAR), FAR.y), rel=1e-5)
    deviation = run.model.schema.target.deviation[0]
    assert model["far/loss"] == pytest.approx(0.5 * (model["far/own"] / deviation) ** 2, rel=1e-4)


def test_of_classes_they_get_labels() -> None:
    def share(predictions: Any, y: Any) -> float:
        assert set(np.unique(y)) == {"high", "low"}
        return float(np.mean(predictions == y))

    sets = {"same": SAME}
    run = train(target="kind", exclude=["y"], metrics={"right": share}, validation_sets=sets)
    assert run.metrics["model"]["right"] == pytest.approx(run.metrics["model"]["accuracy"])
    told = run.model.predict(SAME)
    assert run.metrics["model"]["same/right"] == pytest.approx(np.mean(told == SAME.kind))


def test_rows_of_weight_0_do_not_count() -> None:
    counted = []

    def rows(predictions: Any, y: Any) -> float:
        counted.append(len(y))
        return 0.0

    weighted = FRAME.assign(w=np.arange(len(FRAME)) % 2.0)
    held = weighted[:60]
    sets = {"held": held}
    train(weighted, weight="w", metrics={"rows": rows}, validation_sets=sets, epochs=1)
    assert 30 in counted
    assert max(counted) == 30


@pytest.mark.slow  # It trains four times.
def test_a_resumed_run_goes_on_with_and_without_them(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    far, path = tmp_path / "far.csv", tmp_path / "run"
    FAR.to_csv(far, index=False)

    def stop(evaluation: descend.Evaluation) -> None:
        if evaluation.epoch == 1:
            evaluation.stop()

    asked = {"metrics": {"own": rmse}, "validation_sets": {"far": str(far)}}
    whole = train(str(tmp_path / "table.csv"), **asked)
    train(str(tmp_path / "table.csv"), out=path, callbacks=[stop], **asked)
    assert path.joinpath("history.csv").read_text().startswith("update,")
    more = descend.resume(path, **asked)
    assert [line.metrics for line in more.history] == [line.metrics for line in whole.history]
    train(str(tmp_path / "table.csv"), out=path, force=True, callbacks=[stop], **asked)
    descend.resume(path)
    assert [len(line.metrics) for line in read_history(path)] == [3, 3, 0, 0]


def test_what_does_not_fit_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="metrics="):
        train(metrics=rmse)
    with pytest.raises(DataError, match=r"validation_sets.*far"):
        train(validation_sets={"far": FAR.drop(columns="a")})
    with pytest.raises(DataError, match=r"validation_sets.*far.*no rows"):
        train(validation_sets={"far": FAR.assign(y=np.nan)})
    with pytest.raises(InputError, match="cannot be a name"):
        train(metrics={"epoch": rmse})


@pytest.mark.parametrize("bad", [lambda p, y: "many", lambda p, y: 1 / 0, lambda p, y: p])
def test_a_metric_that_fails_is_named(bad: Any) -> None:
    with pytest.raises(InputError, match=r"metrics\['own'\] fails"):
        train(metrics={"own": bad})


def test_a_metric_that_is_not_finite_ends_nothing(tmp_path: Path) -> None:
    run = train(metrics={"own": lambda p, y: np.inf}, out=tmp_path / "run")
    assert np.isnan(run.metrics["model"]["own"])
    assert np.isnan(read_history(tmp_path / "run")[-1].metrics["own"])


def test_a_metric_that_changes_its_arrays_changes_no_other() -> None:
    def sorts(predictions: Any, y: Any) -> float:
        predictions.sort()
        y.fill(0.0)
        return 0.0

    run = train(metrics={"sorts": sorts, "own": rmse})
    assert run.metrics["model"]["own"] == pytest.approx(run.metrics["model"]["rmse"], rel=1e-5)
