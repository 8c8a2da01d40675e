"""The command line as a user types it: results, messages, exit statuses, files left behind."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet
import pytest

from descend.cli import app
from descend.reporting.text.compare import compare_text
from descend.reporting.text.landscape import landscape_text
from tests.records import compare_record, landscape_record

ROWS = 400


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Descend = Callable[..., Outcome]


@pytest.fixture
def descend(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Descend:
    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["descend", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table with numbers, text, gaps and a date; the price depends on all of them."""
    random = np.random.default_rng(0)
    area = random.uniform(30, 200, ROWS)
    town = random.choice(["Ulm", "Bonn", "Kiel"], ROWS)
    day = np.datetime64("2020-01-01") + random.integers(0, 700, ROWS)
    price = 2 * area + np.where(town == "Ulm", 50, 0) + random.normal(0, 3, ROWS)
    path = tmp_path / "houses.csv"
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow(["area", "town", "day", "price"])
        for number in range(ROWS):
            hole = number % 17 == 0
            writer.writerow(
                [
                    "" if hole else f"{area[number]:.2f}",
                    town[number],
                    day[number],
                    f"{price[number]:.2f}",
                ]
            )
    return path


FAST = ("--epochs", 8, "--batch-size", 32, "--learning-rate", 0.05, "--quiet")


def test_train_predict_evaluate_inspect(descend: Descend, houses: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained = descend(
        "train",
        houses,
        "--target",
        "price",
        "--out",
        run,
        "--epochs",
        30,
        "--batch-size",
        16,
        "--learning-rate",
        0.02,
    )
    assert trained.status == 0
    assert "R²" in trained.out
    assert "always the mean" in trained.out
    assert "validation loss" in trained.err  # progress goes to stderr
    assert {"run.json", "history.csv", "model.safetensors", "report.html", "checkpoint"} <= {
        entry.name for entry in run.iterdir()
    }
    output = tmp_path / "predictions.csv"
    assert descend("predict", run, houses, "-o", output).status == 0
    with output.open() as source:
        predicted = [float(line["price"]) for line in csv.DictReader(source)]
    with houses.open() as source:
        truth = [float(line["price"]) for line in csv.DictReader(source)]
    assert np.corrcoef(predicted, truth)[0, 1] > 0.8
    told = json.loads(descend("evaluate", run, houses, "--json").out)
    centred = np.asarray(truth) - np.mean(truth)
    errors = np.asarray(predicted) - truth
    assert told["model"]["r2"] == pytest.approx(1 - errors @ errors / (centred @ centred), abs=1e-6)
    assert told["model"]["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    for what in (run, run / "model.safetensors", houses):
        looked = descend("inspect", what)
        assert looked.status == 0
        assert "area" in looked.out or "R²" in looked.out


@pytest.mark.parametrize("record", [compare_record(), landscape_record()])
def test_the_folder_of_a_comparison_is_inspected(
    descend: Descend, tmp_path: Path, record: dict[str, Any]
) -> None:
    kind = record["kind"]
    (tmp_path / f"{kind}.json").write_text(json.dumps(record))
    told = {"compare": compare_text, "landscape": landscape_text}[kind](record)
    assert descend("inspect", tmp_path).out == f"{told}\n"
    assert json.loads(descend("inspect", tmp_path, "--json").out)["kind"] == kind


def test_json_is_one_object_on_stdout(descend: Descend, houses: Path, tmp_path: Path) -> None:
    done = descend("train", houses, "--target", "price", "--out", tmp_path / "r", "--json", *FAST)
    record = json.loads(done.out)
    assert record["result"]["updates"] > 0
    assert record["settings"]["batch_size"] == 32


@pytest.mark.slow
def test_predictions_go_to_the_screen_and_to_parquet(
    descend: Descend, houses: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "town", "--out", run, *FAST)
    screen = descend("predict", run, houses)
    assert len(screen.out.splitlines()) == ROWS + 1
    output = tmp_path / "predictions.parquet"
    descend("predict", run, houses, "-o", output)
    table = pyarrow.parquet.read_table(output)
    labels = ["Bonn", "Kiel", "Ulm"]
    assert table.column_names == ["town", *(f"probability_{label}" for label in labels)]
    total = sum(table[f"probability_{label}"].to_numpy() for label in labels)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert set(table["town"].to_pylist()) <= set(labels)


def test_predicting_and_evaluating_take_a_bound(
    descend: Descend, houses: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "price", "--out", run, *FAST)
    for command in ("predict", "evaluate"):
        free = descend(command, run, houses)
        assert descend(command, run, houses, "--memory", "1GiB")[:2] == (0, free.out)
        refused = descend(command, run, houses, "--memory", "100MiB")
        assert (refused.status, refused.out) == (2, "")
        assert "at least 640 MiB" in refused.err


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(descend: Descend, houses: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        descend(
            "train", houses, "--target", "price", "--out", tmp_path / name, "--seed", seed, *FAST
        )
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.slow
def test_another_process_predicts_the_same_bytes(
    descend: Descend, houses: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "price", "--out", run, *FAST)
    here = descend("predict", run, houses).out
    command = [sys.executable, "-m", "descend", "predict", str(run), str(houses)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert here == there


@pytest.mark.slow
def test_options_from_a_file_and_from_a_run(descend: Descend, houses: Path, tmp_path: Path) -> None:
    config = tmp_path / "options.toml"
    config.write_text(
        'target = "price"\nhidden = [8]\nbatch-size = 20\nepochs = 2\nlearning-rate = 0.05\n'
    )
    first = tmp_path / "first"
    descend("train", houses, "--config", config, "--out", first, "--quiet", "--batch-size", 25)
    settings = json.loads((first / "run.json").read_text())["settings"]
    assert (settings["hidden"], settings["batch_size"], settings["epochs"]) == ([8], 25, 2)
    second = tmp_path / "second"
    descend("train", houses, "--like", first, "--out", second, "--quiet")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--target", "prize"], "Did you mean 'price'"),
        (["--target", "price", "--batch-size", 0], "--batch-size"),
        (["--target", "price", "--batch-size", -4], "--batch-size"),
        (["--target", "price", "--batch-size", 10_000], "--batch-size all"),
        (["--target", "price", "--batch-size", "some"], "'some'"),
        (["--target", "price", "--learning-rate", 0], "--learning-rate"),
        (["--target", "price", "--learning-rate", "nan"], "--learning-rate"),
        (["--target", "price", "--optimizer", "momentun"], "Did you mean 'momentum'"),
        (["--target", "price", "--loss", "cross_entropy"], "expected classes that repeat"),
        (["--target", "town", "--loss", "poisson"], "regression needs numbers"),
        (["--target", "price", "--exclude", "are"], "Did you mean 'area'"),
        (["--target", "price", "--time-budget", "soon"], "--time-budget"),
        (["--target", "price", "--memory", "much"], "--memory"),
        (["--target", "price", "--hidden", "wide"], "--hidden"),
        ([], "--target"),
    ],
)
def test_bad_options_are_one_text_and_leave_nothing(
    descend: Descend, houses: Path, tmp_path: Path, words: list[object], expected: str
) -> None:
    out = tmp_path / "run"
    done = descend("train", houses, *words, "--out", out, "--quiet")
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("descend: ")
    assert expected in done.err
    assert "Traceback" not in done.err
    assert not out.exists()


def test_bad_models_are_named(descend: Descend, houses: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "price", "--out", run, *FAST)
    model = run / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    assert "truncated or damaged" in descend("predict", model, houses).err
    altered = bytearray(whole)
    altered[-5] ^= 1
    model.write_bytes(altered)
    assert "altered" in descend("predict", model, houses).err
    model.write_bytes(b"PK\x03\x04 something else")
    assert descend("evaluate", model, houses).status == 2
    assert "There is no model" in descend("predict", tmp_path / "none", houses).err
    assert "run directory" in descend("resume", tmp_path / "none").err


def test_tables_that_do_not_fit_the_model(descend: Descend, houses: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "price", "--out", run, *FAST)
    other = tmp_path / "other.csv"
    other.write_text("town,extra,day,area\nMars,1,2020-05-05,70\nUlm,2,,\n")
    assert len(descend("predict", run, other).out.splitlines()) == 3
    other.write_text("town,day\nUlm,2020-05-05\n")
    lacking = descend("predict", run, other)
    assert (lacking.status, "'area'" in lacking.err) == (2, True)
    other.write_text("town,day,area\nUlm,2020-05-05,large\n")
    wrong = descend("predict", run, other)
    assert (wrong.status, "'large'" in wrong.err) == (2, True)


def test_an_existing_folder_is_never_overwritten_unasked(
    descend: Descend, houses: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train = ("train", houses, "--target", "price", "--out", run, *FAST)
    assert descend(*train).status == 0
    assert "--force" in descend(*train).err
    assert descend(*train, "--force").status == 0
    stranger = tmp_path / "photos"
    stranger.mkdir()
    (stranger / "cat.jpg").write_bytes(b"cat")
    refused = descend("train", houses, "--target", "price", "--out", stranger, "--force", *FAST)
    assert refused.status == 2
    assert (stranger / "cat.jpg").exists()


def test_a_bad_output_name_is_refused(descend: Descend, houses: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    descend("train", houses, "--target", "price", "--out", run, *FAST)
    assert ".csv or a .parquet" in descend("predict", run, houses, "-o", tmp_path / "p.xls").err
    missing = tmp_path / "none" / "p.csv"
    assert "there is no folder" in descend("predict", run, houses, "-o", missing).err


def test_importing_descend_imports_no_engine() -> None:
    code = (
        "import sys, descend, descend.cli.app; print({'jax', 'duckdb', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_functions_and_train_import_no_optimizer_of_scipy() -> None:
    code = "import sys, descend.api; print({'scipy.optimize', 'scipy.special'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_a_command_imports_is_left_out_of_collections_and_nothing_else_is() -> None:
    code = """
import gc
from descend.cli.process import importing
with importing():
    import xml.dom.minidom
    assert not gc.isenabled()
once = gc.get_freeze_count()
with importing():
    import xml.dom.minidom
print(gc.isenabled(), once > 0, gc.get_freeze_count() == once)
gc.disable()
with importing():
    import sqlite3
print(gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", "False"]


def test_the_public_list_is_what_type_checkers_see() -> None:
    import ast

    import descend as package

    tree = ast.parse(Path(package.__file__).read_text())
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("descend.")
        for alias in node.names
    }
    assert seen == set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__module__.startswith("descend")


def test_names_with_commas_stand_in_double_quotes() -> None:
    from descend.settings import split_names

    assert split_names('a, b c,"d, e",') == ("a", "b c", "d, e")
    assert split_names("") == ()
    assert split_names('"say ""hi"", x"') == ('say "hi", x',)
