"""The benchmarks' own arithmetic: what they report must be right before anyone reads it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    advise_twice,
    custom_accuracy,
    epoch_speed,
    kinds,
    made_tables,
    measure,
    problems,
    quality_report,
    regret,
    regret_advice,
    regret_cases,
    regret_cells,
    regret_held_out,
    regret_sweep,
    small_batches,
)
from benchmarks.measure import Apart, Candidate
from tests.problems import linear_problem, numbers


@pytest.mark.slow
def test_seconds_are_scaled_to_the_whole_work() -> None:
    turns: list[str] = []
    both = [
        Candidate("half", lambda: turns.append("half"), share=0.5),
        Candidate("whole", lambda: turns.append("whole")),
    ]
    seconds = measure.seconds_each(both, repeats=2)
    assert turns == ["half", "whole", "half", "whole", "whole", "half"]
    assert {name: len(each) for name, each in seconds.items()} == {"half": 2, "whole": 2}


def test_a_ratio_is_taken_within_each_turn() -> None:
    found = measure.ratio([1.0, 8.0, 3.0], [1.0, 4.0, 1.0])
    assert (found.median, found.low, found.high) == (2.0, 1.0, 3.0)


def _work() -> Candidate:
    return Candidate("work", lambda: None)


def _nothing_there() -> Candidate:
    raise ImportError("no module named nothing")


def test_a_candidate_apart_runs_and_names_a_missing_library() -> None:
    apart = Apart("work")
    assert apart.prepare(_nothing_there) == "no module named nothing"
    assert apart.prepare(_work) is None
    assert apart.seconds() >= 0.0
    apart.close()


def test_columns_of_a_table_line_up() -> None:
    lines = measure.table(["a", "long head"], [["wide cell", 1], ["x", 22]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --------- | --------- |"


def test_expected_loss_of_the_noisy_quadratic_is_the_mean_over_runs() -> None:
    problem = problems.noisy_quadratic(5)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(2000):
        theta = problem.start
        for _ in range(10):
            theta = theta - 0.3 * problems.quadratic_gradient(problem, theta, 2, random)
        losses.append(0.5 * np.sum(problem.curvature * theta**2))
    assert np.mean(losses) == pytest.approx(problems.expected_loss(problem, 0.3, 2, 10), rel=0.05)


def test_the_interpolating_table_has_an_exact_solution() -> None:
    problem = problems.interpolating_table(rows=100, columns=8)
    slope, *_ = np.linalg.lstsq(problem.x, problem.y, rcond=None)
    np.testing.assert_allclose(problem.x @ slope, problem.y, atol=1e-4)


def test_a_fifth_is_held_out_by_the_seed() -> None:
    mask = problems.held_out(100, seed=1)
    assert mask.sum() == 20
    np.testing.assert_array_equal(mask, problems.held_out(100, seed=1))
    assert (mask != problems.held_out(100, seed=2)).any()


def test_the_cost_of_the_advice_is_told_from_what_was_measured(tmp_path: Path) -> None:
    cells = regret_cells.Cells(tmp_path / "one.json")
    waited = {0: 3.0, 1: None, 2: 4.0}
    cells.facts = {
        "speed": {"batch_sizes": [64], "seconds_per_update": [0.1], "peak_memory": [0]},
        "64 0.1 0": {"updates": 10},
        **{f"advice {seed}": {"waited": seconds} for seed, seconds in waited.items()},
        **{f"known 64 0.1 {seed}": 2.0 for seed in waited},
    }
    case = regret_cases.Case("one", lambda folder: None, sizes=(64,))
    sweep = regret_sweep.Sweep(case, linear_problem(numbers(200)), cells)
    text = regret_advice.cost_text(sweep)
    assert text == "  advised over 64 at 0.1 typed in, with its cost: 2.00 (1.50, inf, 2.00)"


def test_the_made_problems_of_the_regret_train() -> None:
    cases = {case.name: case for case in regret_cases.CASES}
    tiny = cases["tiny"].load(None)
    assert tiny is not None
    assert len(tiny.store) == 500
    made = (
        tiny,
        regret_held_out.scaled_directions(rows=100),
        regret_held_out.ratings(rows=1000),
        regret_held_out.series(rows=100),
    )
    for problem in made:
        assert math.isfinite(problem.evaluate(problem.begin().state.params))


def test_the_epoch_that_is_timed_trains() -> None:
    epoch = epoch_speed.descend_epochs(problems.linear_table(2000, 4), 100, 1)
    first, second = np.asarray(next(iter(epoch().values()))).copy(), epoch()
    assert not np.array_equal(first, np.asarray(next(iter(second.values()))))


def test_cells_are_kept_and_nothing_is_measured_after_the_end(tmp_path: Path) -> None:
    path = tmp_path / "cells" / "one.json"
    assert regret_cells.Cells(path).once("64 0.1 0", lambda: 3) == 3
    over = regret_cells.Cells(path, end=time.monotonic() - 1.0)
    assert over.once("64 0.1 0", lambda: 4) == 3
    with pytest.raises(regret_cells.OutOfTimeError):
        over.once("advice 0", lambda: 5)


def test_only_what_belongs_to_the_advice_is_measured_again(tmp_path: Path) -> None:
    cells = regret_cells.Cells(tmp_path / "one.json")
    for key in ("speed", "target", "64 0.1 0", "advice 0", "known 64 0.1 0", "thorough"):
        cells.once(key, lambda: 1)
    cells.forget(regret.OF_ADVICE)
    assert list(regret_cells.Cells(tmp_path / "one.json").facts) == ["target", "64 0.1 0"]


def test_runs_of_a_sweep_differ_in_their_order_of_rows(tmp_path: Path) -> None:
    """A linear model begins with the same weights whatever the seed."""
    case = regret_cases.Case("one", lambda folder: None, sizes=(8,), longest=1.0)
    cells = regret_cells.Cells(tmp_path / "one.json")
    cells.keep("speed", {"batch_sizes": [8], "seconds_per_update": [1e-4], "peak_memory": [0]})
    cells.keep("target", {"target": 0.0})
    sweep = regret_sweep.Sweep(case, linear_problem(numbers(64)), cells)
    sweep.best = 0.002
    losses = [
        sweep.cells.facts[f"8 0.1 {seed}"]["loss"] for seed in (0, 1) if sweep.seconds(8, 0.1, seed)
    ]
    assert losses[0] != losses[1]


def test_a_report_of_some_problems_keeps_the_others(tmp_path: Path) -> None:
    before = [{"problem": name, "regret": [1.0, None]} for name in ("bike", "cut")]
    (tmp_path / "regret.json").write_text(json.dumps({"problems": before}))
    found = regret.merged([{"problem": "cut", "regret": [2.0]}, {"problem": "adult"}], tmp_path)
    assert found == [
        {"problem": "bike", "regret": [1.0, math.inf], "group": "first"},
        {"problem": "adult", "group": "first"},
        {"problem": "cut", "regret": [2.0], "group": "added later"},
    ]


def test_two_flat_regions_overlap_where_they_share_a_size() -> None:
    assert advise_twice.overlap((32, 128), (128, 512))
    assert advise_twice.overlap((8, 512), (32, 32))
    assert not advise_twice.overlap((8, 32), (128, 128))


def _cells() -> list[dict[str, object]]:
    rates = {2.0**-8: 0.80, 2.0**-7: 0.86, 2.0**-6: 0.853, 2.0**-5: None}
    return [
        {"network": "with batch norm", "batch_size": 16, "base_rate": rate, "accuracy": found}
        for rate, found in rates.items()
    ]


def test_the_best_rate_of_a_batch_size_and_those_near_it() -> None:
    (line,) = small_batches.best_rates(_cells(), "with batch norm")
    assert line == [16, "2^-7", "0.125", "86.0 %", "2^-7 to 2^-6"]
    exploded = [{**one, "accuracy": None} for one in _cells()]
    assert small_batches.best_rates([*_cells(), *exploded], "with batch norm") == []
    assert small_batches.best_rates(_cells(), "without batch norm") == []


@pytest.mark.slow
def test_rates_above_one_that_lost_far_too_much_are_left_out() -> None:
    common = {"network": "with batch norm", "batch_size": 16, "seed": 0}
    found = [
        {**common, "base_rate": 2.0**-8, "accuracy": 0.85},
        {**common, "base_rate": 2.0**-6, "accuracy": 0.70},
    ]
    cell = small_batches.Cell("with batch norm", 16, 2.0**-5, 0)
    assert small_batches._found(cell, found, {}, 8)["accuracy"] is None
    # Of lower rates, and of other sizes, nothing follows.
    for other in (cell._replace(base_rate=2.0**-7), cell._replace(batch_size=8)):
        with pytest.raises(KeyError, match="train"):
            small_batches._found(other, found, {}, 8)


def test_runs_cover_sizes_and_rates_that_can_learn() -> None:
    cells = small_batches.cells(2, 1024, 2, seeds=1)
    assert {one.batch_size for one in cells} == {2**power for power in range(1, 11)}
    assert len({one.key for one in cells}) == len(cells)
    assert all(2.0**-8 <= one.rate <= 4.0 for one in cells)


def test_an_interval_of_paired_differences() -> None:
    mean, low, high = measure.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    # Student's t with two degrees of freedom: 4.303 standard errors.
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_pairs_have_training_rows_of_their_own(tmp_path: Path) -> None:
    x = np.arange(40, dtype=np.uint8)
    y = np.zeros(40, int)
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    pairs = [custom_accuracy.rows_of_pair(tmp_path / "small.npz", 10, seed) for seed in range(3)]
    assert len({int(row) for pair in pairs for row in pair.train[0]}) == 30


def test_seconds_of_quick_are_held_against_the_mlp_on_larger_tables_only() -> None:
    def result(rows: int, quick: float, mlp: float) -> dict[str, object]:
        of_side = {"quick": quick, "mlp": mlp}
        scores = {side: [{"error": 1.0, "process": value}] for side, value in of_side.items()}
        return {"task": "-", "rows": rows, "scores": scores}

    text = quality_report.aims([result(5_000, 3.0, 2.0), result(5_001, 1.8, 2.0)])
    lines = [line.split("|")[3:6] for line in text.splitlines() if "over the MLP" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [["0.900", "1", "yes"]]


@pytest.mark.parametrize("kind", made_tables.KINDS)
def test_a_made_table_is_the_same_for_a_seed_and_other_rows_of_one_world_for_another(
    kind: str,
) -> None:
    one, again, other = (made_tables.table(kind, 1_000, seed) for seed in (0, 0, 1))
    assert one.equals(again)
    assert not one.equals(other)
    assert list(one.columns) == list(other.columns)
    target = one[made_tables.TARGET]
    if made_tables.is_labelled(one):
        assert 1 < target.nunique() <= 60
    else:
        assert np.isfinite(target).all()
        assert target.std() > 0


def test_the_report_on_kinds_compares_with_the_better_of_the_trees() -> None:
    found = {
        "few_rows": {"default": 0.3, "lightgbm": 0.2, "catboost": 0.4},
        "waves": {"default": 0.1, "lightgbm": 0.4, "catboost": 0.2},
    }
    text = kinds.report(found, ["default", "lightgbm", "catboost"])
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in lines] == ["waves", "few rows"]
    assert [line.split("|")[-2].strip() for line in lines] == ["0.500", "1.500"]
    assert "default: 1.000 in the median, above 1.05 on 1 of 2." in text
