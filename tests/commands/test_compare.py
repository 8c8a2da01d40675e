"""The comparison: its runs are those of train, its numbers those of slow honest loops."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import descend
from descend.commands.compare import Comparison, table_of
from descend.defaults import COMPARE_DEFAULTS
from descend.errors import SettingsError
from descend.reporting.pages.compare import compare_page, compare_summary
from descend.reporting.render import render
from descend.reporting.text.compare import compare_text
from descend.training.gradient import make_gradient
from descend.training.stopping_state import Limits
from descend.tuning.compare.classical import run_classical
from descend.tuning.compare.compare import Repeats
from descend.tuning.compare.measures import full_gradient, gradient_deviation, roughness
from descend.tuning.compare.methods import methods_for
from descend.tuning.compare.run import Conditions, digest, run_method
from tests.problems import linear_problem, numbers, rows_of
from tests.records import compare_record

EVIL = '</script><script>alert(1)</script><b onmouseover="x">'
MARKED = "'><svg onload=alert(1)>"
FAMILIES = ("full", "stochastic", "mini")


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(240, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.1 * random.normal(size=240)


@pytest.fixture(scope="module")
def comparison(table: Any, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return descend.compare(
        table,
        model="linear",
        batch_size=16,
        epochs=8,
        seeds=2,
        budget=600.0,
        advice_budget=0.5,
        methods=("adam", "conjugate-gradient"),
        out=tmp_path_factory.mktemp("compare") / "out",
        play=True,
    )


@pytest.mark.slow
def test_the_played_runs_are_those_of_the_first_seed_and_meet_the_plane_at_the_best(
    comparison: Comparison,
) -> None:
    plane = comparison.record["plane"]
    runs = {
        run["method"]["title"]: run
        for run in comparison.record["runs"]
        if (run["panel"], run["seed"]) == ("tuned", 0) and run["method"]["family"] != "classical"
    }
    assert {path["method"] for path in plane["paths"]} == runs.keys()
    for path in plane["paths"]:
        history = runs[path["method"]]["history"]
        for name, known in (("updates", "update"), ("losses", "validation_loss")):
            assert set(path[name]) <= set(history[known])
        assert path["learning_rate"] == runs[path["method"]]["learning_rate"]
        assert len(path["points"]) == len(path["updates"]) == len(path["seconds"])
    best = min(runs.values(), key=lambda run: float(run["measures"]["best"]))
    [own] = [one for one in plane["paths"] if one["method"] == best["method"]["title"]]
    assert own["points"][-1] == pytest.approx([0, 0], abs=1e-6)
    assert own["away"] == pytest.approx(0, abs=1e-6)
    # A line of the grid may pass beside the centre, so its neighbours hold the loss between them.
    x, y = (np.asarray(plane["grid"][name]) for name in "xy")
    column, row = np.searchsorted(x, 0.0), np.searchsorted(y, 0.0)
    around = np.asarray(plane["grid"]["loss"])[row - 1 : row + 1, column - 1 : column + 1]
    assert own["losses"][-1] <= around.max()
    assert comparison.folder is not None
    assert (comparison.folder / "play.html").exists()


def test_a_page_to_play_needs_a_folder(table: Any) -> None:
    with pytest.raises(SettingsError, match="name one with out"):
        descend.compare(table, model="linear", play=True)


@pytest.mark.slow
def test_all_rows_are_all_rows_of_each_split(comparison: Comparison) -> None:
    ours = [run for run in comparison.record["runs"] if run["method"]["family"] != "classical"]
    # Two seeds of seven methods at two rates, but one of full batches at the common one; and two
    # mini-batches at the rate of SGD.
    assert len(ours) == 2 * 2 * 7 - 2 + 2 * 2
    whole = [run for run in ours if run["method"]["family"] == "full"]
    assert {run["measures"]["deviation_at_start"] for run in whole} == {0.0}
    assert all(run["history"]["update"][-1] == run["history"]["epoch"][-1] for run in whole)


@pytest.mark.slow
def test_every_kind_of_run_is_the_run_of_train_to_the_bit(
    table: Any, comparison: Comparison, tmp_path: Path
) -> None:
    ours = [run for run in comparison.record["runs"] if run["method"]["family"] != "classical"]
    kinds = {(run["method"]["family"], run["method"]["optimizer"]) for run in ours}
    basic = {(family, rule) for family in FAMILIES for rule in ("sgd", "momentum")}
    assert kinds == {*basic, ("mini", "adam")}
    for number, kind in enumerate(sorted(kinds)):
        own = [run for run in ours if (run["method"]["family"], run["method"]["optimizer"]) == kind]
        expected = set(itertools.product(("tuned", "same"), (0, 1)))
        if kind[0] == "full":
            expected.remove(("same", 1))  # It differs by factors: one seed is enough.
        if kind in (("mini", "sgd"), ("mini", "momentum")):
            expected |= {("rate-of-sgd", 0), ("rate-of-sgd", 1)}
        assert {(run["panel"], run["seed"]) for run in own} == expected
        # Another panel and another seed for each kind in turn.
        _assert_as_trained(own[number % 4], table, tmp_path / str(number), model="linear", epochs=8)


@pytest.mark.slow
def test_names_that_are_markup_and_a_network_with_categories(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    random = np.random.default_rng(1)
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow([EVIL, "%{y} $x^2$ <b>", MARKED])
        for size in random.normal(size=150):
            kind = random.choice(["a", EVIL, "c"])
            label = f"yes{MARKED}" if size + (kind == EVIL) > 0.5 else "no"
            writer.writerow([size, kind, label])
    options = {"target": MARKED, "hidden": (8,), "epochs": 4, "schedule": "cosine"}
    done = descend.compare(
        path,
        **options,
        averaging=True,
        batch_size=8,
        seeds=1,
        budget=600.0,
        advice_budget=0.3,
        one_rate=False,
        out=tmp_path / "out",
    )
    assert {run["learning_rate"] for run in done.record["runs"]} - {None}
    for run in done.record["runs"][::3]:
        folder = tmp_path / run["method"]["name"]
        _assert_as_trained(run, path, folder, averaging=True, **options)
    page = (tmp_path / "out" / "compare.html").read_text()
    for markup in ("<script>alert", "<b onmouseover", "<svg onload", '<b>"'):
        assert markup not in page


def _assert_as_trained(run: Mapping[str, Any], data: Any, folder: Path, **options: Any) -> None:
    """The same weights, losses and model as `descend train` leaves."""
    method = run["method"]
    trained = descend.train(
        data,
        **{**COMPARE_DEFAULTS, **options, "optimizer": method["optimizer"]},
        time_budget=600.0,
        batch_size=method["batch_size"],
        learning_rate=run["learning_rate"],
        seed=run["seed"],
        out=folder,
    )
    kept = descend.load_model(folder).params
    assert digest(kept) == digest(trained.model.params) == run["weights_sha256"]
    for name in ("validation_loss", "train_loss", "update", "examples"):
        lines = [getattr(line, name) for line in trained.history]
        np.testing.assert_array_equal(lines, run["history"][name])


def test_a_rate_that_both_panels_share_is_run_once(comparison: Comparison) -> None:
    rate = comparison.record["same_rate"]
    tuned, same = (
        {
            (run["seed"], run["method"]["name"]): run["history"]["seconds"]
            for run in comparison.record["runs"]
            if (run["panel"], run["learning_rate"]) == (panel, rate)
        }
        for panel in ("tuned", "same")
    )
    # Methods that read all rows for an update are run at one rate with the first seed alone.
    shared = tuned.keys() & same.keys()
    assert shared
    assert {run: tuned[run] for run in shared} == {run: same[run] for run in shared}
    assert all(seed > 0 for seed, _ in tuned.keys() - shared)


def test_how_many_seeds_depends_on_their_cost_alone() -> None:
    repeats = Repeats(fewest=3, most=8, seconds=90.0)
    assert repeats.needs_another(2, spent=500.0, last=100.0)
    assert not repeats.needs_another(3, spent=85.0, last=10.0)
    assert repeats.needs_another(3, spent=75.0, last=10.0)
    assert not repeats.needs_another(8, spent=1.0, last=0.1)
    assert not Repeats.exactly(2).needs_another(2, spent=0.0, last=0.0)


def test_the_noise_falls_as_one_over_the_batch(comparison: Comparison) -> None:
    noise = [one for one in comparison.record["noise"] if one["when"] == "at the start"]
    assert [one["rows"] for one in noise][:3] == [1, 4, 16]
    one, four = noise[:2]
    assert one["deviation"] / four["deviation"] == pytest.approx(2.0, rel=0.3)


def test_files_and_text(comparison: Comparison) -> None:
    assert comparison.folder is not None
    record = json.loads((comparison.folder / "compare.json").read_text())
    assert {one["panel"] for one in record["table"]} == {"tuned", "rate-of-sgd", "same"}
    assert {claim["name"] for claim in record["claims"]} >= {"closer", "noise", "faster", "memory"}
    text = compare_text(comparison.record)
    for words in ("Gradient descent + momentum", "Mini-batch 16, adam", "Conjugate gradient"):
        assert words in text
    page = (comparison.folder / "compare.html").read_text()
    # A page is made from the record alone.
    assert render(compare_page(record)) == page


@pytest.mark.parametrize("method", ["conjugate-gradient", "coordinate-descent"])
def test_classical_methods_end_where_the_gradient_is_zero(method: str) -> None:
    problem = linear_problem(numbers(60))
    history, best, _ = run_classical(problem, method, 60.0)
    start = full_gradient(problem, problem.begin().state.params)
    for leaf, begun in zip(
        jax.tree.leaves(full_gradient(problem, best)), jax.tree.leaves(start), strict=True
    ):
        assert np.abs(leaf).max() < 0.01 * max(1.0, np.abs(begun).max())
    assert [line.update for line in history] == list(range(len(history)))
    assert history[-1].validation_loss < 0.05 * history[0].validation_loss


def test_what_a_table_says_cannot_become_markup(comparison: Comparison) -> None:
    hostile = json.loads(json.dumps(comparison.record, default=str).replace("NaN", "null"))
    hostile["settings"]["target"] = EVIL
    hostile["data"]["source"] = f"/tmp/{EVIL}.csv"
    for one in (*hostile["table"], *hostile["runs"]):
        one["method"]["title"] = EVIL
    page = render(compare_page(hostile))
    assert "<script>alert" not in page
    assert "<b onmouseover" not in page


def test_gradient_deviation_is_the_naive_one() -> None:
    problem = linear_problem(numbers(200), l2=0.1)
    params = problem.begin().state.params
    gradient = jax.jit(make_gradient(problem.objective))

    def flat(tree: Any) -> np.ndarray:
        return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)])

    rows = [flat(gradient(params, rows_of(problem.store, [row]))[1]) for row in range(200)]
    whole = np.mean(rows, axis=0)
    np.testing.assert_allclose(flat(full_gradient(problem, params)), whole, rtol=1e-4, atol=1e-5)
    found = gradient_deviation(problem, params, [1, 20, 100, 200])
    assert found[200].value == 0.0
    trace = np.mean(np.sum((rows - whole) ** 2, axis=1))
    for size in (1, 20, 100):
        law = np.sqrt(trace / size * (200 - size) / 199) / np.linalg.norm(whole)
        # Within three of the errors that it states itself, and those are small.
        assert abs(np.log(found[size].value / law)) < 3 * found[size].error
        assert found[size].error < 0.1


def test_roughness_is_the_naive_one() -> None:
    random = np.random.default_rng(0)
    x, losses = np.sort(random.uniform(size=25)), random.uniform(1.0, 3.0, size=25)
    y, apart = np.log(losses), []
    for k in range(1, 24):
        a = (x[k + 1] - x[k]) / (x[k + 1] - x[k - 1])
        on_the_line = a * y[k - 1] + (1 - a) * y[k + 1]
        apart.append(abs(y[k] - on_the_line) / np.sqrt(1 + a**2 + (1 - a) ** 2))
    mean_of_normal = quad(lambda z: abs(z) * norm.pdf(z), -8.0, 8.0)[0]
    assert roughness(x, losses) == pytest.approx(np.mean(apart) / mean_of_normal, rel=1e-4)
    halved = [64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 2.0**-3]
    assert roughness([0, 1, 2, 3, 4, 5, 9], halved) == pytest.approx(0.0, abs=1e-12)
    assert roughness([1.0, 2.0, 3.0], [1.0, 2.0, 1.0]) is None
    # The logarithm of such losses is not known.
    assert roughness([0, 1, 2, 3, 4, 5, 9], [7, 6, 5, 4, 3, 2, -2]) is None


@pytest.mark.parametrize("looks", [40, 160, 640])
def test_roughness_does_not_depend_on_how_densely_a_course_is_looked_at(looks: int) -> None:
    random = np.random.default_rng(looks)
    x = np.linspace(0.0, 1.0, looks)
    found = [roughness(x, np.exp(0.01 * random.normal(size=looks) - 2.0 * x)) for _ in range(50)]
    assert np.mean(found) == pytest.approx(0.01, rel=0.15)


def test_a_course_counts_as_steady_until_its_rate_is_lowered() -> None:
    problem = linear_problem(numbers(60, noise=1.0))
    (method,) = [one for one in methods_for(60, 8) if one.name == "mini-8-sgd"]
    limits = Limits(patience=2, epochs=60)
    for schedule in ("constant", "cosine"):
        loop, _ = run_method(problem, method, "tuned", 0.2, Conditions(limits, schedule))
        run = problem.loop_config(8, 0.2, schedule=schedule, limits=limits)
        planned = [
            0.2 * run.schedule(np.array([max(0, line.update - 1)]))[0] for line in loop.history
        ]
        kept = [
            line.learning_rate == pytest.approx(rate)
            for line, rate in zip(loop.history, planned, strict=True)
        ]
        assert all(kept[: loop.steady])
        assert 1 < loop.steady < len(kept)
        assert not kept[loop.steady]


def test_methods_and_their_names() -> None:
    found = methods_for(100, 10, (25,), ("adam", "conjugate-gradient"))
    assert [one.batch_size for one in found] == [100, 100, 25, 25, 10, 10, 1, 1, 10, 100]
    assert len({one.name for one in found}) == len(found)
    assert [one.advised for one in found if one.family == "mini"] == [
        False,
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("adma",)}, "methods"),
        ({"sizes": (0,)}, "sizes"),
        ({"seeds": 0}, "seeds"),
        ({"batch_schedule": "auto"}, "one batch size; leave batch_schedule=.auto. out"),
        ({"methods": ("simulated-annealing",), "model": "mlp"}, "model='linear'"),
    ],
)
def test_what_cannot_be_is_said(table: Any, options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        descend.compare(table, **{"model": "linear", "batch_size": 8, "epochs": 2, **options})


@pytest.mark.parametrize(
    ("seconds", "median"),
    [
        ([3.0, 1.0, 2.0], 2.0),
        ([1.0, 2.0, 5.0, None, None], 5.0),  # Third of five, not the middle of three.
        ([1.0, 2.0, 3.0, None], 2.5),
        ([0.9, 1.1, None, None, None], None),
        ([0.9, 1.1, None, None], None),
        ([None, None], None),
    ],
)
def test_a_run_that_did_not_come_to_the_target_counts_as_later(
    seconds: list[float | None], median: float | None
) -> None:
    run = compare_record()["runs"][0]
    runs = [
        {**run, "seed": seed, "measures": {**run["measures"], "seconds_to_target": one}}
        for seed, one in enumerate(seconds)
    ]
    (line,) = table_of(runs)
    found = line["seconds_to_target"]
    assert (found and found["median"]) == median
    if found:
        known = [one for one in seconds if one is not None]
        assert (found["low"], found["high"]) == (min(known), max(known))


def test_where_most_seeds_did_not_come_to_the_target_no_time_is_shown() -> None:
    record = compare_record()
    names = {run["method"]["name"] for run in record["runs"]}
    slow = min(names)
    for run in record["runs"]:
        if run["method"]["name"] == slow:
            reached = 0.5 if run["seed"] == 0 else None
            run["measures"] = {**run["measures"], "seconds_to_target": reached}
    record["table"] = table_of(record["runs"])
    titles = [one["method"]["title"] for one in record["table"] if one["panel"] == "tuned"]
    place = [one["method"]["name"] for one in record["table"]].index(slow)
    figure = compare_summary(record).figures[place]
    assert figure.label == titles[place]
    assert figure.value == "> 2 s"
    assert figure.note.startswith("reached the target in 1 of 3 runs")


def test_where_nothing_is_learned_the_summary_says_so(comparison: Comparison) -> None:
    record = json.loads(json.dumps(comparison.record, default=str))
    for line in record["table"]:
        line["arrived"] = line["runs"]
        line["seconds_to_target"] = {"median": 0.0, "low": 0.0, "high": 0.0}
    text = compare_summary(record).text
    assert "No method lowered the validation loss" in text
    assert "reached the target first" not in text
    assert render(compare_page(record))
    assert compare_text(record)


def test_an_existing_comparison_is_kept(table: Any, comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.folder is not None
    with pytest.raises(descend.InputError, match="force=True"):
        descend.compare(table, epochs=1, out=comparison.folder)


@pytest.mark.slow
def test_methods_that_read_all_rows_have_fewer_seeds(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Repeats(fewest=2, most=2, alike=1, whole=1)
    monkeypatch.setattr("descend.commands.compare.Repeats", lambda: few)
    record = descend.compare(
        table, model="linear", batch_size=16, epochs=2, budget=600.0, advice_budget=0.2, out=None
    ).record
    seeds: dict[str, set[int]] = {}
    for run in record["runs"]:
        if run["panel"] == "tuned":
            seeds.setdefault(run["method"]["family"], set()).add(run["seed"])
    assert seeds == {"full": {0}, "mini": {0, 1}, "stochastic": {0, 1}}
    assert "2 seeds (1 of methods that read all rows)" in compare_summary(record).text
