"""Runs that began with an older version of the tabular network go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import descend
from descend.data.prepare import Prepared
from descend.runtime import table_run
from descend.settings import Settings
from descend.training.build import problem_of
from descend.training.network.tabular import NEWEST_VERSION
from descend.training.problem import Problem

ROWS, SHOPS = 6_000, 400


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table whose shops, with numbers in no order, are categories in versions 2 and above."""
    random = np.random.default_rng(7)
    names = np.sort(random.choice(np.arange(1_000, 9_999), SHOPS, replace=False))
    shop, effects = random.integers(0, SHOPS, ROWS), random.normal(size=SHOPS)
    meters = random.integers(0, 5_000, ROWS)
    sold = effects[shop] + np.sin(meters / 800) + 0.5 * random.normal(size=ROWS)
    path = tmp_path_factory.mktemp("shops") / "table.csv"
    frame = pd.DataFrame({"shop": names[shop], "meters": meters, "sold": sold})
    frame.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("version", range(1, NEWEST_VERSION))
def test_an_older_run_ends_as_if_it_had_not_been_interrupted(
    version: int, shops: str, tmp_path: Path
) -> None:
    def train(**options: Any) -> descend.Run:
        def older(settings: Settings, prepared: Prepared, **_: int) -> Problem:
            return problem_of(settings, prepared, version=version)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table_run, "problem_of", older)
            return descend.train(shops, target="sold", effort="quick", epochs=4, **options)

    def stop(evaluation: descend.Evaluation) -> None:
        if evaluation.epoch == 2:
            evaluation.stop()

    train(out=tmp_path / "run", callbacks=[stop])
    resumed = descend.resume(tmp_path / "run")
    whole = train()
    assert [line.validation_loss for line in resumed.history] == [
        line.validation_loss for line in whole.history
    ]
    assert "scales" not in resumed.model.params
    assert ("coded" in resumed.model.params["fixed"]) == (version > 1)
