"""The watch over memory: what it counts, and a command that keeps to its bound."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz_memory import MIB, Peak, outcome, peak, private_bytes, tree

pytestmark = pytest.mark.skipif(
    not Path(f"/proc/{os.getpid()}/task").exists(), reason="memory is read from /proc"
)


def test_memory_of_a_process_and_its_children_is_counted() -> None:
    grown = "x = bytearray(64 << 20); print(flush=True); input()"
    begun = (
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', {grown!r}]); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", begun], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = list(tree(process.pid))
        assert len(found) == 2
        assert sum(map(private_bytes, found)) >= 64 * MIB
        process.communicate(b"\n")
    assert private_bytes(process.pid) == 0


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Peak(0, 600 * MIB, ""), "read"),
        (Peak(2, 600 * MIB, "descend: more memory, please"), "refused"),
        (Peak(0, 641 * MIB, ""), "memory"),
        (Peak(2, 641 * MIB, ""), "memory"),
        (Peak(1, 1, "Traceback (most recent call last)"), "traceback"),
        (Peak(1, 1, "This is a defect of descend"), "traceback"),
        (Peak(-9, 1, ""), "hang"),
    ],
)
def test_outcomes(found: Peak, said: str) -> None:
    assert outcome(found, 640 * MIB) == said


@pytest.mark.slow
def test_texts_that_are_kept_beside_predictions_do_not_exceed_the_bound(tmp_path: Path) -> None:
    """40,000 rows with 8 kB of text each were read at a time: 320 MB, and copies of them."""
    table = tmp_path / "t.csv"
    lines = [
        f"{row % 11},{row % 7},{str(row) * (8000 // len(str(row)))}\n" for row in range(40_000)
    ]
    table.write_text("a,y,note\n" + "".join(lines))
    (tmp_path / "small.csv").write_text("a,y,note\n" + "".join(lines[:200]))
    train = "train small.csv --target y --task regression --model linear --epochs 1 --batch-size 9"
    done = peak([*train.split(), "--learning-rate", "0.01", "--out", "run"], tmp_path)
    assert done.status == 0, done.error
    keep = "predict run t.csv -o p.csv --keep all --memory 640MiB"
    found = peak(keep.split(), tmp_path)
    assert found.status == 0, found.error
    assert outcome(found, 640 * MIB) == "read", found
