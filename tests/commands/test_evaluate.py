"""`evaluate` says where a model was trained on the rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import descend
from descend.commands.evaluate import training_rows_text
from descend.errors import DataWarning


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    path = folder / "t.csv"
    path.write_text("x,y\n" + "".join(f"{n % 17},{n % 17 + n % 3}\n" for n in range(100)))
    fixed = {"model": "linear", "batch_size": 16, "learning_rate": 0.1, "epochs": 1}
    descend.train(str(path), target="y", out=folder / "run", quiet=True, **fixed)
    return path


@pytest.mark.parametrize("model", ["run", "run/model.safetensors"])
def test_the_table_of_training_is_recognized(table: Path, model: str) -> None:
    with pytest.warns(DataWarning, match="was trained on this table: [0-9]+ of its 100 rows"):
        descend.evaluate(table.parent / model, str(table))


def test_so_is_a_link_to_it_and_a_query_over_it(table: Path, tmp_path: Path) -> None:
    link = tmp_path / "other.csv"
    link.symlink_to(table)
    run = table.parent / "run"
    assert "training rows" in training_rows_text(run, str(link))
    assert "training rows" in training_rows_text(run, f"SELECT * FROM '{table}' WHERE x > 3")


def test_a_file_that_holds_other_rows_by_now_is_not(table: Path, tmp_path: Path) -> None:
    run = table.parent / "run"
    before = table.read_text()
    try:
        table.write_text("x,y\n1,2\n3,4\n")
        assert training_rows_text(run, str(table)) == ""
    finally:
        table.write_text(before)


def test_another_table_and_a_model_without_its_run_are_not(table: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text(table.read_text())
    moved = tmp_path / "model.safetensors"
    moved.write_bytes((table.parent / "run" / "model.safetensors").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        descend.evaluate(table.parent / "run", str(new))
        descend.evaluate(moved, str(table))
