from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import descend
from descend.defaults import EFFORTS
from descend.reporting.progress import make_progress
from descend.runtime import planning
from descend.runtime.table_run import TableRun, table_run
from descend.settings import Settings
from descend.types import Speed


def run_of(settings: Settings) -> TableRun:
    random = np.random.default_rng(0)
    month = random.integers(1, 13, 640)
    table = pd.DataFrame({"size": random.normal(size=640), "month": month})
    table["sold"] = random.poisson(month)
    return table_run(table, settings, make_progress("silent"))


@pytest.mark.parametrize(
    ("per_update", "effort"), [(1e-5, "thorough"), (5e-4, "default"), (4e-3, "quick")]
)
def test_the_effort_is_the_most_that_fits(
    per_update: float, effort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "measure_speed", _taking(per_update))
    asked = Settings("sold", task="regression", time_budget=2.5)
    planned = planning.within_budget(run_of(asked), asked).settings
    assert planned.effort == effort
    assert (planned.members, planned.epochs) == EFFORTS[effort][:2]
    assert planned.networks == EFFORTS["thorough"].networks


def test_what_fits_no_effort_has_a_shorter_course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "measure_speed", _taking(4e-3))
    asked = Settings("sold", task="regression", time_budget=1.0, members=4)
    planned = planning.within_budget(run_of(asked), asked).settings
    assert planned.members == 4
    assert planned.epochs == int(planning.PLANNED_PART / (4e-3 * 73))


def test_what_was_named_is_left_alone() -> None:
    for asked in (
        Settings("sold", task="regression", time_budget=1.0, epochs=3),
        Settings("sold", task="regression"),
        Settings("sold", task="regression", time_budget=1.0, model="mlp"),
    ):
        run = run_of(asked)
        assert planning.within_budget(run, asked) is run


def test_what_the_network_makes_of_columns_is_said() -> None:
    said = list(planning.input_notes(run_of(Settings("sold", task="regression"))))
    assert said[0].startswith("month: few distinct values")
    assert said[1].startswith("sold: whole numbers")
    assert not list(planning.input_notes(run_of(Settings("sold", task="regression", model="mlp"))))


def test_values_that_matter_one_by_one_are_said_apart_from_few_ones() -> None:
    random = np.random.default_rng(0)
    shop, month = random.integers(0, 400, 6_000), random.integers(1, 13, 6_000)
    table = pd.DataFrame({"shop": shop, "month": month, "y": random.normal(size=400)[shop] + 0.1})
    run = table_run(table, Settings("y", task="regression"), make_progress("silent"))
    assert list(planning.input_notes(run)) == [
        "month: few distinct values, so learned as numbers and as categories.",
        "shop: the target depends on single values, not only on their order, "
        "so learned as numbers and as categories.",
    ]


def test_days_that_are_learned_each_are_said_with_what_to_do_for_later_ones(tmp_path: Path) -> None:
    days = np.repeat(np.datetime64("2024-01-01") + np.arange(30), 20)
    frame = pd.DataFrame({"when": days, "x": np.arange(600.0), "y": np.arange(600.0) % 7 + 0.5})
    settings = Settings("y", task="regression")
    said = list(planning.input_notes(table_run(frame, settings, make_progress("silent"))))
    assert [one for one in said if one.startswith("when: what each day has of its own")]
    later = tmp_path / "later.parquet"
    frame.assign(when=frame["when"] + pd.Timedelta(days=30)).to_parquet(later)
    settings = settings.replace(validation=str(later))
    said = list(planning.input_notes(table_run(frame, settings, make_progress("silent"))))
    assert not [one for one in said if "each day" in one]


def _taking(seconds: float) -> Any:
    def measured(problem: Any, state: Any, sizes: list[int], **options: Any) -> Speed:
        return Speed(tuple(sizes), (seconds,) * len(sizes), (0,) * len(sizes))

    return measured


@pytest.mark.slow
def test_a_run_within_a_budget_trains_as_planned() -> None:
    random = np.random.default_rng(1)
    data = random.normal(size=(200, 2)), random.normal(size=200)
    run = descend.train(data, time_budget=3600.0, members=1, hidden=(4,))
    assert run.stop_reason.name in ("EPOCHS", "DECAYED")
    assert run.model.settings.epochs == EFFORTS["default"].epochs
