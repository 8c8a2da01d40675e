"""Runs side by side: equal ones are equal to the byte, one folder is one run's; readers that go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import descend

OPTIONS = {"batch_size": 50, "learning_rate": 0.01, "hidden": (4,), "quiet": True}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    numbers = np.random.default_rng(0).normal(size=(20_000, 2))
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("a,y\n" + "".join(f"{a:.4f},{a + b:.4f}\n" for a, b in numbers))
    return path


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    descend.train(str(table), target="y", out=out, epochs=3, **OPTIONS)
    return out


@pytest.mark.slow
def test_two_runs_started_together_in_one_folder(table: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    words = ["--target", "y", "--batch-size", "50", "--learning-rate", "0.01", "--hidden", "4"]
    command = [sys.executable, "-m", "descend", "train", str(table), *words, "--epochs", "3"]
    command += ["--quiet", "--out", str(out)]
    both = [subprocess.Popen(command, stdout=-3, stderr=subprocess.PIPE) for _ in range(2)]
    texts = [process.communicate(timeout=120)[1].decode() for process in both]
    ended = sorted((process.returncode, text) for process, text in zip(both, texts, strict=True))
    assert [status for status, _ in ended] == [0, 2], texts
    assert ended[1][1].startswith("descend: ")
    assert "another --out" in ended[1][1]
    assert ended[1][1].count("\n") == 1
    # The one that was first is not disturbed.
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_model_does_not_know_where_its_rows_stood(
    table: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bounded"
    descend.train(str(table), target="y", out=out, epochs=3, memory=1 << 30, **OPTIONS)
    assert (out / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    models = []
    for name in ("one", "two"):
        store = str(tmp_path / name)
        descend.train(str(table), target="y", out=out, epochs=3, force=True, store=store, **OPTIONS)
        models.append((out / "model.safetensors").read_bytes())
    assert models[0] == models[1]


@pytest.mark.slow
@pytest.mark.parametrize("words", [["inspect", "TABLE"], ["predict", "RUN", "TABLE"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str], run: Path, table: Path) -> None:
    named = [{"TABLE": str(table), "RUN": str(run)}.get(word, word) for word in words]
    command = [sys.executable, "-m", "descend", *named]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if words[0] == "predict":
            assert process.stdout.readline() == b'"y"\n'
        process.stdout.close()
        error = process.stderr.read()
    # A slow machine says what it is doing.
    assert not [line for line in error.splitlines() if not line.endswith(b" ...")]
    assert process.returncode == 141  # As a shell shows it for other programs.


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_may_stand_anywhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: int
) -> None:
    from descend.cli import app
    from descend.errors import InputError

    words = ["inspect", "there-is-no-such-file.csv"]
    monkeypatch.setattr("sys.argv", ["descend", *words])
    with pytest.raises(SystemExit, match="2"):
        app.main()
    assert "There is no file" in capfd.readouterr().err
    words.insert(place, "--debug")
    monkeypatch.setattr("sys.argv", ["descend", *words])
    with pytest.raises(InputError, match="There is no file"):
        app.main()
