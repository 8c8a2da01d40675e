"""Validation rows that a Python program holds in memory give what a file of them gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import descend
from descend.cli.gather import gather_settings
from descend.data.prepare import prepare
from descend.errors import DescendError, InputError, SettingsError
from descend.settings import settings_from

X = np.linspace(-1, 1, 60).round(3)
TRAINING = pd.DataFrame({"x0": X, "x1": X**2, "y": 2 * X})
FURTHER = pd.DataFrame({"x0": X[:9] + 0.25, "x1": X[:9], "y": X[:9] * 3})

Form = Callable[[pd.DataFrame], Any]
FORMS: dict[str, Form] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
    "arrays": lambda frame: (frame[["x0", "x1"]].to_numpy(), frame["y"].to_numpy()),
}


def to_file(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_memory_are_those_of_a_file(form: str, tmp_path: Path) -> None:
    path = to_file(FURTHER, tmp_path / "further.parquet")
    found, expected = (
        prepare(TRAINING, settings_from({"target": "y", "validation": validation}))
        for validation in (FORMS[form](FURTHER), path)
    )
    assert len(found.training) == len(TRAINING)
    of_found, of_expected = (one.validation.gather(np.arange(9)) for one in (found, expected))
    for name in of_expected.x:
        np.testing.assert_array_equal(of_found.x[name], of_expected.x[name])
    np.testing.assert_array_equal(of_found.y, of_expected.y)
    assert found.schema == expected.schema


def test_a_list_of_files_is_taken_too(tmp_path: Path) -> None:
    paths = [to_file(FURTHER, tmp_path / f"{part}.parquet") for part in "ab"]
    prepared = prepare(TRAINING, settings_from({"target": "y", "validation": paths}))
    assert len(prepared.validation) == 2 * len(FURTHER)


@pytest.mark.parametrize("value", [None, {"x": 1}, 1, True, "", float("nan"), np.float64(1.5)])
def test_what_is_no_table_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match=r"validation must be .*found"):
        settings_from({"target": "y", "validation": value})


@pytest.mark.parametrize("value", [np.float32(0.25), np.array(0.25)])
def test_a_fraction_of_numpy_is_one(value: Any) -> None:
    assert settings_from({"target": "y", "validation": value}).validation == 0.25


@pytest.mark.parametrize(
    "value", [FURTHER[["x0", "x1"]], FURTHER["y"].to_numpy(), object(), (X, X, X)]
)
def test_rows_without_what_training_had_are_refused(value: Any) -> None:
    with pytest.raises(DescendError):
        prepare(TRAINING, settings_from({"target": "y", "validation": value}))


def test_a_run_says_that_its_validation_rows_are_gone(tmp_path: Path) -> None:
    run = descend.train(
        to_file(TRAINING, tmp_path / "t.parquet"),
        target="y",
        validation=FURTHER,
        model="linear",
        batch_size=8,
        learning_rate=0.01,
        epochs=1,
        out=tmp_path / "run",
        quiet=True,
    )
    assert run.record["data"]["rows"]["validation"] == len(FURTHER)
    assert run.record["settings"]["validation"] == "rows in memory"
    with pytest.raises(InputError, match=r"validation rows of the run .* were in memory"):
        descend.resume(tmp_path / "run", quiet=True)


def test_a_run_like_one_that_was_validated_in_memory_asks_for_validation_rows(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"model": "linear", "epochs": 1, "batch_size": 10}
    descend.train(
        TRAINING, target="y", validation=FURTHER, out=tmp_path / "run", learning_rate=0.1, **options
    )
    with pytest.raises(InputError, match=r"were in memory.*validation"):
        gather_settings({}, None, tmp_path / "run")
    settings = gather_settings({"validation": 0.2}, None, tmp_path / "run")
    assert settings.validation == 0.2


CLASSES = TRAINING.assign(y=np.where(X > 0, "yes", "no"))
NEW = CLASSES.assign(y=np.where(np.arange(60) % 4 == 0, "new", CLASSES["y"]))


@pytest.mark.parametrize("stored", [False, True])
def test_rows_of_a_class_that_training_lacks_are_left_out(tmp_path: Path, stored: bool) -> None:
    """As `evaluate` does: what remains is validated on, and the rest is told."""
    said: list[str] = []
    settings = settings_from(
        {
            "target": "y",
            "validation": to_file(NEW, tmp_path / "new.parquet"),
            "store": str(tmp_path / "store") if stored else None,
        }
    )
    found = prepare(CLASSES, settings, say=said.append)
    assert found.schema.rows.validation == len(found.validation) == 45
    rest = NEW[NEW["y"] != "new"]
    expected = prepare(CLASSES, settings_from({"target": "y", "validation": rest}))
    for one, other in zip(
        found.validation.gather(np.arange(45)),
        expected.validation.gather(np.arange(45)),
        strict=True,
    ):
        for mine, theirs in zip(*map(list, map(_arrays, (one, other))), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert any("'new' (15)" in one and "left out of the metrics" in one for one in said)


def _arrays(leaf: Any) -> list[Any]:
    return list(leaf.values()) if isinstance(leaf, dict) else [leaf]


def test_validation_rows_without_a_known_class_are_an_error(tmp_path: Path) -> None:
    path = to_file(CLASSES.assign(y=CLASSES["y"].str.upper()), tmp_path / "upper.parquet")
    with pytest.raises(DescendError, match=r"no row has a class of the training rows \(no, yes\)"):
        prepare(CLASSES, settings_from({"target": "y", "validation": path}))
