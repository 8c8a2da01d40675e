"""A run that diverges names its cause, says what to type, and keeps its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.data.prepare import prepare
from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import DivergedError
from descend.runtime.diagnosis import (
    cause_of_divergence,
    cause_of_rescue,
    farthest,
    penalty_cause,
)
from descend.settings import Settings
from descend.training.evaluation import blocks

ROWS = 4000


def table(path: Path, *, income: float = 0.0, target: float = 0.0) -> Path:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(ROWS, 3))
    numbers[:, 2] += numbers[:, 0]
    numbers[7, 1] += income
    numbers[9, 2] += target
    lines = [",".join(f"{value:.5f}" for value in row) for row in numbers]
    path.write_text("\n".join(["age,income,y", *lines]))
    return path


def cause(path: Path, loss: str = "squared_error") -> str:
    settings = Settings("y", loss=loss, learning_rate=0.1, validation=0.01)
    return cause_of_divergence(learn_schema(open_table(str(path)), settings), settings)


def test_causes_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert "the learning rate 0.1" in cause(table(path))
    text = cause(table(path, income=3.2e9))
    assert "column 'income' holds 3.2e+09" in text
    assert "exclude=['income']" in text
    text = cause(table(path, target=1e7))
    assert "column 'y' holds 1e+07" in text
    assert "loss='huber'" in text


def test_validation_rows_far_from_the_training_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    days = [f"2024-01-{1 + row % 28:02d}" for row in range(60)]
    days[3] = "9999-12-31"  # A row that is held out.
    path.write_text("t,b,y\n" + "".join(f"{d},{i % 5},{i}\n" for i, d in enumerate(days)))
    settings = Settings("y", model="linear", batch_size=8, learning_rate=0.01)
    made = prepare(str(path), settings)
    assert made.schema.rows.training == 53
    text = cause_of_divergence(made.schema, settings, blocks(made.validation, 4))
    assert "validation rows far from all training rows" in text
    assert "column 't', " in text
    assert "exclude=['t']" in text
    near = made.training.gather(np.arange(53))
    assert "learning rate" in cause_of_divergence(made.schema, settings, [near])


@pytest.mark.parametrize("name", ["l2", "weight_decay"])
def test_a_penalty_that_makes_weights_grow_is_named(name: str) -> None:
    penalized = Settings("y", learning_rate=0.1).replace(**{name: 1e6})
    assert f"Probable cause: {name}=1000000.0. At the" in penalty_cause(penalized)
    assert f"Type {name}=1.0 or less" in penalty_cause(penalized)
    assert penalty_cause(Settings("y", learning_rate=0.1).replace(**{name: 10.0})) == ""


def test_a_large_poisson_target_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{row % 7},{row * row}\n" for row in range(1000)))
    text = cause(path, "poisson")
    assert "exponential" in text
    assert "loss='huber'" in text


def test_a_rescue_names_the_worst_value(tmp_path: Path) -> None:
    settings = Settings("y", learning_rate=3.0, validation=0.01)
    schema = learn_schema(open_table(str(table(tmp_path / "t.csv", income=1e6))), settings)
    text = cause_of_rescue(schema, settings)
    assert "learning rate 3 was too high" in text
    assert "'income'" in text


def test_the_farther_end_counts() -> None:
    found = farthest("a", -900.0, 100.0, 0.0, 10.0)
    assert found is not None
    assert (found.value, found.deviations) == (-900.0, 90.0)
    assert farthest("a", -4.0, 4.0, 0.0, 1.0) is None


@pytest.mark.slow
def test_an_absurd_learning_rate_ends_in_words(tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = {"learning_rate": 1e30, "batch_size": 64, "epochs": 3, "hidden": (4,)}
    with pytest.raises(DivergedError, match="the learning rate 1e\\+30") as caught:
        descend.train(str(table(tmp_path / "t.csv")), target="y", out=out, **options)
    assert caught.value.exit_status == 3
    assert "learning_rate=0.01" in str(caught.value)
    record = json.loads((out / "run.json").read_text())
    assert record["result"]["stop_reason"] == "DIVERGED"
    assert "learning rate" in record["result"]["cause"]
    assert (out / "model.safetensors").exists()


def test_a_rate_that_is_too_high_is_rescued(tmp_path: Path) -> None:
    options = {
        "learning_rate": 30.0,
        "batch_size": 256,
        "epochs": 12,
        "hidden": (4,),
        "model": "mlp",
    }
    run = descend.train(str(table(tmp_path / "t.csv")), target="y", **options)
    assert run.record["result"]["rescues"] > 0
    assert "was too high" in run.record["result"]["cause"]
    assert run.metrics["model"]["r2"] > 0


def test_a_loss_that_is_infinite_before_the_first_update_is_not_blamed_on_the_rate(
    tmp_path: Path,
) -> None:
    rows, held_out = tmp_path / "rows.csv", tmp_path / "held_out.csv"
    rows.write_text("a,y\n" + "".join(f"{row % 7},{row % 37}\n" for row in range(ROWS)))
    held_out.write_text("a,y\n" + "".join(f"{row % 7},9e18\n" for row in range(ROWS)))
    with pytest.raises(DivergedError) as caught:
        descend.train(
            rows,
            target="y",
            task="regression",
            model="linear",
            batch_size=64,
            learning_rate=0.01,
            validation=str(held_out),
            out=tmp_path / "run",
        )
    said = str(caught.value)
    assert "before the first update" in said
    assert "The learning rate is not the cause" in said
    assert "'y' is 0 to 36" in said
    assert "best weights" not in said
