"""Programs in several real processes learn what one process learns."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from descend.settings import OPTIMIZERS
from tests.runtime.programs import FIT, MISMATCHED, run_program

pytestmark = pytest.mark.slow


def assert_same(folder: Path, *names: str, tolerance: float = 1e-4) -> None:
    """What the processes learned is what one learned; sums are in another order."""
    one = np.load(folder / "1.npz")
    assert one.files
    for name in names:
        several = np.load(folder / f"{name}.npz")
        for key in one.files:
            assert several[key] == pytest.approx(one[key], abs=tolerance), key


def test_custom_models_and_estimators_by_every_rule(tmp_path: Path) -> None:
    for count in (1, 2):
        # What is printed is printed once.
        assert run_program(FIT, tmp_path, count, ",".join(OPTIMIZERS)) == "done\n"
    assert_same(tmp_path, "2")


def test_four_processes(tmp_path: Path) -> None:
    # Of the last batch of 3 rows two processes have one each, one has one, and one has none.
    for count in (1, 4):
        run_program(FIT, tmp_path, count, "momentum,adamw")
    assert_same(tmp_path, "4")


def test_open_mpi(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed; on Debian: apt-get install openmpi-bin")
    root = ["--allow-run-as-root", "--oversubscribe"]
    run_program(FIT, tmp_path, 1, "momentum")
    printed = run_program(FIT, tmp_path, 2, "momentum", starter=["mpirun", "-n", "2", *root])
    assert printed == "done\n"
    assert_same(tmp_path, "2")


def test_other_rows_in_every_process_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match="2 processes of this job have different training rows"
    ):
        run_program(MISMATCHED, tmp_path, 2)
