"""Does a command keep to `--memory`, whatever the shape of the table?

Tables of many classes, many columns, many rows, long texts and many values are made, and commands
run on them in processes of their own. Counted is the most private memory of the whole tree of
processes: pages that no file backs, as `--memory` promises (docs/larger-than-memory.md). A command
passes if it ends rightly or is refused in one text, and never held more than the bound.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
BOUNDS = (640, 640, 800, 1024)
"""MiB of `--memory`, drawn at random."""
LONGEST = 600.0
"""Seconds that a command may take."""
PERIOD = 0.01
"""Seconds between two looks at a tree of processes."""
FIXED = "--model mlp --batch-size 256 --learning-rate 0.01 --epochs 1 --quiet --force"
OUT = "--quiet --force --out work"
COMMANDS = {
    "train": f"train t.csv --target y {FIXED} --out run",
    "inspect": "inspect t.csv --target y",
    "evaluate": "evaluate run t.csv",
    "predict": "predict run t.csv -o p.csv --force",
    "predict all": "predict run t.csv -o p.csv --force --keep all",
    "advise": f"advise t.csv --target y --model mlp --advice-budget 2s {OUT}",
    "compare": f"compare t.csv --target y --batch-size 256 --learning-rate 0.01 --budget 0.5s "
    f"--seeds 1 {OUT}",
    "landscape": f"landscape run {OUT}",
}
"""By name; `landscape` keeps to the bound of the run that it shows."""


class Peak(NamedTuple):
    """How a command ended, and the most memory that its processes held together.

    Attributes:
        status: the exit status.
        private: bytes of memory that no file backs.
        error: the end of what it printed.
    """

    status: int
    private: int
    error: str


def many_classes(path: Path, dice: random.Random) -> None:
    """A target of thousands of classes."""
    _make(path, 20_000, "random() AS a", f"'class' || (i % {dice.randint(300, 3000)})")


def many_columns(path: Path, dice: random.Random) -> None:
    """Rows of up to 2,000 numbers."""
    columns = dice.randint(300, 2000)
    numbers = ", ".join(f"round(random(), 3) AS c{place}" for place in range(columns))
    _make(path, 4_000_000 // columns, numbers, "random()")


def many_rows(path: Path, dice: random.Random) -> None:
    """Up to two million rows."""
    numbers = ", ".join(f"round(random(), 3) AS c{place}" for place in range(8))
    _make(path, dice.randint(200_000, 2_000_000), f"{numbers}, 'k' || (i % 50) AS k", "random()")


def long_texts(path: Path, dice: random.Random) -> None:
    """Cells of up to many pages."""
    letters = dice.choice([1_000, 10_000, 100_000])
    text = f"repeat('word' || (i * 7919 % 1000003) || ' ', {letters // 10})"
    kinds = f"'k' || (i % 7) AS k, repeat('kind ' || (i % 5), {letters // 50}) AS page"
    _make(path, 200_000_000 // letters, f"{text} AS note, {kinds}", "random()")


def many_values(path: Path, dice: random.Random) -> None:
    """Columns of hundreds of thousands of different texts."""
    values = dice.randint(50_000, 500_000)
    texts = f"'user ' || (hash(i) % {values}) AS u, 'a long name ' || (hash(i + 1) % {values}) AS v"
    _make(path, 600_000, texts, "random()")


SHAPES: dict[str, Callable[[Path, random.Random], None]] = {
    one.__name__.replace("_", " "): one
    for one in (many_classes, many_columns, many_rows, long_texts, many_values)
}


def _make(path: Path, rows: int, columns: str, target: str) -> None:
    import duckdb

    made = f"SELECT {columns}, {target} AS y FROM range({rows}) AS t(i)"
    duckdb.connect().execute(f"COPY ({made}) TO '{path}' (FORMAT csv)").fetchall()


def peak(words: list[str], folder: Path, *, seconds: float = LONGEST) -> Peak:
    """Run `descend` with some words, and watch the memory of all its processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "descend", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )
    printed: list[bytes] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: printed.append(process.stderr.read()), daemon=True)
    reader.start()
    most, end = 0, time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        most = max(most, sum(map(private_bytes, tree(process.pid))))
        time.sleep(PERIOD)
    if process.poll() is None:
        process.kill()
    status = process.wait()
    reader.join(5)
    return Peak(status, most, b"".join(printed).decode(errors="replace")[-1500:])


def tree(process: int) -> Iterator[int]:
    """A process and its descendants."""
    yield process
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            children = Path(f"/proc/{process}/task/{thread}/children").read_text()
            for child in children.split():
                yield from tree(int(child))


def private_bytes(process: int) -> int:
    """Bytes of a process that no file backs; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    counted = ("RssAnon:", "RssShmem:")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(counted))


def outcome(found: Peak, bound: int) -> str:
    """`read`, `refused` or a kind of defect."""
    if found.private > bound:
        return "memory"
    if "Traceback" in found.error or "defect of descend" in found.error:
        return "traceback"
    return {0: "read", 2: "refused"}.get(found.status, "hang" if found.status < 0 else "traceback")


def fuzz_memory(
    inputs: int, dice: random.Random, *, keep: Callable[[str], None] = print
) -> dict[str, Counter[str]]:
    """Run so many commands on tables of all shapes; those over the bound are told to `keep`."""
    counts: dict[str, Counter[str]] = {}
    done = 0
    while done < inputs:
        shape = list(SHAPES)[done // len(COMMANDS) % len(SHAPES)]
        bound = dice.choice(BOUNDS)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            SHAPES[shape](folder / "t.csv", dice)
            for kind, typed in list(COMMANDS.items())[: inputs - done]:
                done += 1
                if "run" in typed.split()[1:2] and not (folder / "run" / "run.json").exists():
                    counts.setdefault(shape, Counter())["refused"] += 1
                    continue
                words = typed.split()
                if kind != "landscape":
                    words += ["--memory", f"{bound}MiB"]
                found = peak(words, folder)
                said = outcome(found, bound * MIB)
                counts.setdefault(shape, Counter())[said] += 1
                held = f"{found.private / MIB:.0f} of {bound} MiB"
                if said not in ("read", "refused"):
                    keep(f"{shape}, {kind}: {said}, {held}, status {found.status}\n{found.error}")
    return counts
