"""Bad input at the command line: one text, exit status 2, and nothing half-written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import descend
from descend.cli import app
from descend.cli.gather import gather_settings
from descend.errors import DataWarning, SettingsError, command_line_words

FAST = ["--epochs", "1", "--batch-size", "8", "--learning-rate", "0.01", "--quiet"]
GOOD = [f"{row},{row % 5},{row * 0.5}" for row in range(60)]


def typed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["descend", *map(str, words)])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, capfd.readouterr().err


TABLES: dict[str, tuple[list[str], str]] = {
    "empty": ([], "is empty"),
    "header only": (["a,b,y"], "no rows"),
    "no target": (["a,b,yy", *GOOD], "Did you mean 'yy'"),
    "target missing": (["a,b,y", *(f"{row},1," for row in range(60))], "'y'"),
    "target constant": (["a,b,y", *(f"{row},{row % 3},7" for row in range(60))], "'y'"),
    "one class": (["a,b,y", *(f"{row},{row % 3},yes" for row in range(60))], "'y'"),
    "ragged": (["a,b,y", *GOOD[:30], "1,2", *GOOD[30:]], "line 32"),
    "infinite": (["a,b,y", *GOOD[:30], "1,inf,3", *GOOD[30:]], "'b'"),
    "twice": (["a,a,y", *GOOD], "two columns named 'a'"),
    "no input": (["y", *(str(row) for row in range(60))], "no column besides the target"),
    "one row": (["a,b,y", GOOD[0]], ""),
}


STRAY = ["a,b,y", *GOOD[:30], "oops,2,15", *GOOD[30:]]
SAID = "Column 'a' holds no number in 1 cell ('oops', first in data row 31)"


def test_a_stray_word_is_told_with_quiet_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(STRAY) + "\n")
    words = ("train", path, "--target", "y", *FAST, "--numeric", "a", "--model", "linear")
    status, said = typed(monkeypatch, capfd, *words, "--out", tmp_path / "run")
    assert (status, f"Warning: {SAID}" in said) == (0, True), said
    assert "validation loss" not in said


def test_python_warns_of_a_stray_word(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(STRAY) + "\n")
    options = {"model": "linear", "batch_size": 8, "learning_rate": 0.01, "epochs": 1}
    with pytest.warns(DataWarning, match="holds no number in 1 cell"):
        descend.train(path, target="y", numeric=["a"], **options)


def test_a_file_of_options_takes_what_the_command_line_takes(tmp_path: Path) -> None:
    config = tmp_path / "o.toml"
    config.write_text('target = "y"\ntime-budget = "10m"\nmemory = "2GiB"\nhidden = "8,4"\n')
    settings = gather_settings({}, config, None)
    assert (settings.time_budget, settings.memory, settings.hidden) == (600.0, 2 << 30, (8, 4))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("batch-size = 0", "batch-size"),
        ("memory = 'much'", "memory"),
        ("hidden = 'wide'", "hidden"),
        ("bacth-size = 3", "Did you mean"),
        ("lr = 0.1", "learning-rate"),
        ("[train]\nseed = 1", "train"),
        ("seed = ", "TOML"),
    ],
)
def test_what_is_wrong_in_a_file_of_options_is_said_with_its_name(
    tmp_path: Path, content: str, said: str
) -> None:
    config = tmp_path / "o.toml"
    config.write_text(content)
    with command_line_words(), pytest.raises(SettingsError) as caught:
        gather_settings({"target": "y"}, config, None)
    assert str(caught.value).startswith(str(config))
    assert said in str(caught.value)


def test_what_is_wrong_on_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    config = tmp_path / "o.toml"
    config.write_text("seed = 1")
    with pytest.raises(SettingsError) as caught:
        gather_settings({"target": "y", "batch_size": 0}, config, None)
    assert str(config) not in str(caught.value)


@pytest.mark.parametrize("name", TABLES)
def test_tables(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines, expected = TABLES[name]
    path, out = tmp_path / "t.csv", tmp_path / "run"
    path.write_text("".join(f"{line}\n" for line in lines))
    status, error = typed(monkeypatch, capfd, "train", path, "--target", "y", "--out", out, *FAST)
    assert status == 2
    assert error.startswith("descend: ")
    assert expected in error
    assert "Traceback" not in error
    assert len(error) < 600
    assert not out.exists()


@pytest.mark.slow
def test_a_word_in_row_200_000(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{row % 97},{row % 89}" for row in range(200_100)]
    lines[199_999] = "1,oops"
    path.write_text("\n".join(["a,y", *lines]))
    spoken = [option for option in FAST if option != "--quiet"]
    status, error = typed(monkeypatch, capfd, "train", path, "--target", "y", *spoken)
    assert status == 0
    told = "The target 'y' holds no number in 1 cell ('oops', first in data row 200,000)"
    assert told in " ".join(error.split())


def test_a_model_of_a_newer_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from descend.io import tensors
    from descend.runs.model_file import save_model_file

    table, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    table.write_text("\n".join(["a,b,y", *GOOD]))
    with monkeypatch.context() as newer:
        newer.setattr(tensors, "FORMAT", 99)
        save_model_file(model, {"w": np.zeros(3, np.float32)}, {})
    status, error = typed(monkeypatch, capfd, "predict", model, table)
    assert status == 2
    assert "newer descend" in error


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["a,b,y", *GOOD]))

    def refused(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    words = ["train", table, "--target", "y", "--out", tmp_path / "run", *FAST]
    status, error = typed(monkeypatch, capfd, *words)
    assert status == 2
    assert "no permission" in error


def test_memory_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from descend.training import loop

    table, out = tmp_path / "t.csv", tmp_path / "run"
    table.write_text("\n".join(["a,b,y", *GOOD]))

    def refused(*args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(loop.ChunkUpdater, "apply", refused)
    status, error = typed(monkeypatch, capfd, "train", table, "--target", "y", "--out", out, *FAST)
    assert status == 2
    assert "--memory" in error
    assert "--batch-size" in error
    assert json.loads((out / "run.json").read_text())["state"] == "running"
