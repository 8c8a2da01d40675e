"""What the examples in docstrings find: a folder of their own with a small table and a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROWS = 240


def bikes_table() -> str:
    """Rentals that follow the hour and the weather, as CSV."""
    random = np.random.default_rng(0)
    hours, wet = np.arange(ROWS) % 24, np.arange(ROWS) % 3 == 0
    counts = 100.0 + 10.0 * hours - 40.0 * wet + random.normal(size=ROWS)
    lines = zip(hours, np.where(wet, "wet", "dry"), counts, strict=True)
    return "\n".join(["hour,weather,count", *(f"{h},{w},{c:.2f}" for h, w, c in lines)])


@pytest.fixture(scope="session")
def bikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bikes.csv` and a finished run on it, `runs/bikes`."""
    from descend import train

    folder = tmp_path_factory.mktemp("examples")
    (folder / "bikes.csv").write_text(bikes_table())
    train(
        folder / "bikes.csv",
        target="count",
        model="linear",
        batch_size=8,
        learning_rate=0.05,
        epochs=20,
        out=folder / "runs" / "bikes",
    )
    return folder


@pytest.fixture(autouse=True)
def _among_examples(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the examples of the public functions beside the table and the run they name."""
    if request.node.name.startswith(("descend.api.", "descend.model.", "descend.runtime.")):
        monkeypatch.chdir(request.getfixturevalue("bikes"))
