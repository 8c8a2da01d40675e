"""Programs in several real processes learn what one process learns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from descend.choices import OPTIMIZERS
from descend.runtime.launch import free_port
from tests.runtime.programs import FIT, MISMATCHED, SHARED, run_program

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    assert run_program(FIT, folder, 1, ",".join(OPTIMIZERS)) == "done\n"
    return folder


def assert_same(
    folder: Path, *names: str, one: Path | None = None, tolerance: float = 1e-4
) -> None:
    """What the processes learned is what one learned; sums are in another order."""
    expected = np.load((one or folder) / "1.npz")
    for name in names:
        several = np.load(folder / f"{name}.npz")
        assert several.files
        for key in several.files:
            assert several[key] == pytest.approx(expected[key], abs=tolerance), key


def test_custom_models_and_estimators_by_every_rule(tmp_path: Path, one_process: Path) -> None:
    # What is printed is printed once.
    assert run_program(FIT, tmp_path, 2, ",".join(OPTIMIZERS)) == "done\n"
    assert_same(tmp_path, "2", one=one_process)


def test_four_processes(tmp_path: Path, one_process: Path) -> None:
    # Of the last batch of 3 rows two processes have one each, one has one, and one has none.
    run_program(FIT, tmp_path, 4, "momentum,adamw")
    assert_same(tmp_path, "4", one=one_process)


def test_custom_models_on_rows_that_are_shared_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(103, 3)).astype(np.float32)
    y = (X @ [1.0, -2.0, 0.5]).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y[:, None])
    lines = [",".join(map(str, [*row, target])) for row, target in zip(X, y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,y", *lines]))
    for count in (1, 2, 4):
        run_program(SHARED, tmp_path, count)
    assert_same(tmp_path, "2")
    assert_same(tmp_path, "4")


def test_open_mpi(tmp_path: Path, one_process: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed; on Debian: apt-get install openmpi-bin")
    root = ["--allow-run-as-root", "--oversubscribe"]
    printed = run_program(FIT, tmp_path, 2, "momentum", starter=["mpirun", "-n", "2", *root])
    assert printed == "done\n"
    assert_same(tmp_path, "2", one=one_process)


def test_other_rows_in_every_process_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match="2 processes of this job have different training rows"
    ):
        run_program(MISMATCHED, tmp_path, 2)


LISTENING = """
import os, re
import jax
from descend.training.processes.place import this_place

own = {os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
       if os.path.islink(f"/proc/self/fd/{one}")}
found = set()
for line in open("/proc/self/net/tcp").read().splitlines()[1:]:
    place, state, inode = line.split()[1], line.split()[3], line.split()[9]
    if state == "0A" and f"socket:[{inode}]" in own:
        number = place.split(":")[0]
        found.add(".".join(str(int(number[at : at + 2], 16)) for at in (6, 4, 2, 0)))
with open(os.environ["FOUND"], "w") as file:
    file.write(" ".join(sorted(found)))
"""


def test_each_process_listens_at_its_interface_alone(tmp_path: Path) -> None:
    program = tmp_path / "listening.py"
    program.write_text(LISTENING)
    started = []
    port = free_port()
    for index in range(2):
        environment = os.environ | {
            "DESCEND_COORDINATOR": f"127.0.0.2:{port}",
            "DESCEND_PROCESSES": "2",
            "DESCEND_PROCESS": str(index),
            # As two hosts would have, whose names lead to other addresses.
            "DESCEND_INTERFACE": f"127.0.0.{index + 2}",
            "FOUND": str(tmp_path / str(index)),
        }
        command = [sys.executable, "-m", "descend", "run", str(program)]
        started.append(subprocess.Popen(command, env=environment))
    assert [one.wait(300) for one in started] == [0, 0]
    assert (tmp_path / "0").read_text() == "127.0.0.2"
    assert (tmp_path / "1").read_text() == "127.0.0.3"
