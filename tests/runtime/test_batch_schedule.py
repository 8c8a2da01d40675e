"""`--batch-schedule auto`, from the settings to the page."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.errors import SettingsError
from descend.runs.history import read_history
from descend.runtime.batch_schedule import check_batch_schedule, with_batch_schedule
from descend.settings import Settings
from descend.training.processes.place import ALONE, Place
from descend.tuning.advice.noise import NoiseMeter, gradient_noise
from tests.problems import linear_problem, numbers

AUTO = Settings("y", batch_schedule="auto")


def test_a_constant_batch_has_no_schedule() -> None:
    problem = linear_problem(numbers(1000))
    config = problem.loop_config(4, 0.1)
    assert with_batch_schedule(problem, config, Settings("y")) is config


def test_it_grows_to_64_updates_an_epoch_at_the_most_and_measures_the_noise() -> None:
    problem = linear_problem(numbers(5000))
    schedule = with_batch_schedule(problem, problem.loop_config(4, 0.1), AUTO).batch_schedule
    assert schedule is not None
    assert schedule.largest == 64
    meter = NoiseMeter(problem)
    params = problem.begin().state.params
    assert schedule.measured_rows == meter.groups * meter.group_rows
    assert schedule.noise(params) == gradient_noise(meter(params), problem.seed)


def test_several_processes_are_refused() -> None:
    check_batch_schedule(AUTO, ALONE)
    with pytest.raises(SettingsError, match=r"works in one process; found 2\. Leave it out"):
        check_batch_schedule(AUTO, dataclasses.replace(ALONE, count=2))
    check_batch_schedule(Settings("y"), Place(1, 2))


@pytest.mark.slow
def test_a_run_shows_the_batch_it_grew_to(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(4000, 3))
    y = x @ [1.0, 2.0, 3.0] + 3.0 * random.normal(size=4000)
    run = descend.train(
        (x, y),
        model="linear",
        batch_size=8,
        learning_rate=0.01,
        batch_schedule="auto",
        epochs=20,
        out=tmp_path / "run",
    )
    sizes = [line.batch_size for line in run.history]
    assert sizes[0] == 8
    assert sizes[-1] == 32
    assert [line.batch_size for line in read_history(tmp_path / "run")] == sizes
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The batch grew from 8 rows to 32 rows after" in page
    assert 'data-plot="batch-size"' in page
