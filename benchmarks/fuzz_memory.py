"""Does a command keep to `--memory`, whatever the shape of the table?

Tables of many classes, many columns, many rows, long texts, many values, several targets and row
weights are made, and commands run on them in processes of their own. Counted is the most private
memory of the whole tree of processes: pages that no file backs, as `--memory` promises
(docs/larger-than-memory.md). A command passes if it ends rightly or is refused in one text, and
never held more than the bound.

    python -m benchmarks fuzz_memory --memory 640

Each cell is kept in `benchmarks/results` as soon as it is measured. With `--shape` or `--command`
only these are measured, and the others stay as they are there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import measure

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
BOUNDS = (640, 640, 800, 1024)
"""MiB of `--memory`, drawn at random."""
LONGEST = 300.0
"""Seconds of the processor that a command may take."""
WAITED = 12
"""Times as many seconds may pass: the machine may do other work."""
PERIOD, LONGEST_PERIOD = 0.01, 0.1
"""Seconds of the processor between two looks at a tree of processes, and most seconds."""
FIXED = "--model {model} --batch-size 256 --learning-rate 0.01 --quiet --force"
OUT = "--quiet --force --out work"
COMMANDS = {
    "train": f"train t.csv {{roles}} {FIXED} --epochs 1 --out run",
    "train, store": f"train t.csv {{roles}} {FIXED} --epochs 1 --out other --store rows",
    "train, tabular": "train t.csv {roles} --effort quick --epochs 1 --quiet --force --out tabular",
    "inspect": "inspect t.csv {roles}",
    "inspect, no target": "inspect t.csv",
    "inspect run": "inspect run",
    "evaluate": "evaluate run t.csv",
    "evaluate, tabular": "evaluate tabular t.csv",
    "predict": "predict run t.csv -o p.csv --force",
    "predict, all columns": "predict run t.csv -o p.csv --force --keep all",
    "predict, tabular": "predict tabular t.csv -o p.csv --force",
    "report": "report run",
    "export": "export run m.onnx --force",
    "advise": f"advise t.csv {{roles}} --model {{model}} --advice-budget 2s {OUT}",
    "compare": f"compare t.csv {{roles}} --batch-size 256 --learning-rate 0.01 --budget 0.5s "
    f"--seeds 1 {OUT}",
    "landscape": f"landscape run {OUT}",
    "resume": "resume stopped --quiet",
}
"""By name. `landscape` and `resume` keep to the bound of the run that they are given."""
STOPPED = f"train t.csv {{roles}} {FIXED} --epochs 3 --out stopped"
"""A run that is interrupted after its first evaluation, for `resume`."""
TAKE_MEMORY = ("train", "inspect t", "evaluate", "predict", "advise", "compare")
"""How commands that take `--memory` begin."""


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


class Largest(random.Random):
    """Dice that always show the most."""

    def randint(self, a: int, b: int) -> int:
        return b

    def choice(self, seq: Any) -> Any:
        return seq[-1]


def many_classes(path: Path, dice: random.Random) -> str:
    """A target of thousands of classes."""
    return _make(path, 20_000, "random() AS a", f"'class' || (i % {dice.randint(300, 3000)}) AS y")


def many_columns(path: Path, dice: random.Random) -> str:
    """Rows of up to 4,000 numbers."""
    columns = dice.randint(300, 4000)
    numbers = ", ".join(f"round(random(), 3) AS c{place}" for place in range(columns))
    return _make(path, 4_000_000 // columns, numbers)


def many_rows(path: Path, dice: random.Random) -> str:
    """Up to two million rows."""
    numbers = ", ".join(f"round(random(), 3) AS c{place}" for place in range(8))
    return _make(path, dice.randint(200_000, 2_000_000), f"{numbers}, 'k' || (i % 50) AS k")


def long_texts(path: Path, dice: random.Random) -> str:
    """Cells of up to many pages."""
    letters = dice.choice([1_000, 10_000, 100_000])
    text = f"repeat('word' || (i * 7919 % 1000003) || ' ', {letters // 10})"
    kinds = f"'k' || (i % 7) AS k, repeat('kind ' || (i % 5), {letters // 50}) AS page"
    return _make(path, 200_000_000 // letters, f"{text} AS note, {kinds}")


def many_values(path: Path, dice: random.Random) -> str:
    """Columns of hundreds of thousands of different texts."""
    values = dice.randint(50_000, 500_000)
    texts = f"'user ' || (hash(i) % {values}) AS u, 'a long name ' || (hash(i + 1) % {values}) AS v"
    # The texts have too many values to be learned from, and one column has to be left.
    return _make(path, 600_000, f"round(random(), 3) AS a, {texts}")


def many_categories(path: Path, dice: random.Random) -> str:
    """Columns of text by the hundred, each of thousands of values."""
    columns = dice.randint(50, 400)
    texts = ", ".join(
        f"'value ' || (hash(i + {place * 7919}) % 3000) AS k{place}" for place in range(columns)
    )
    return _make(path, 8_000_000 // columns, texts)


def weighted_outputs(path: Path, dice: random.Random) -> str:
    """Several targets and row weights."""
    numbers = ", ".join(f"round(random(), 3) AS c{place}" for place in range(8))
    targets = [f"y{place}" for place in range(dice.randint(2, 20))]
    made = ", ".join(f"random() AS {one}" for one in targets)
    _make(path, dice.randint(100_000, 500_000), numbers, f"random() + 0.5 AS w, {made}")
    return f"--target {','.join(targets)} --weight w"


SHAPES: dict[str, Callable[[Path, random.Random], str]] = {
    one.__name__.replace("_", " "): one
    for one in (
        many_classes,
        many_columns,
        many_rows,
        long_texts,
        many_values,
        many_categories,
        weighted_outputs,
    )
}
"""What makes a table of a shape, and returns the options that say what is predicted."""
MODELS = {"many categories": "linear"}
"""By shape, the model where it is no network: one of 400 columns of categories holds more weights
than the bound."""


def _make(path: Path, rows: int, columns: str, target: str = "random() AS y") -> str:
    import duckdb

    made = f"SELECT {columns}, {target} FROM range({rows}) AS t(i)"
    duckdb.connect().execute(f"COPY ({made}) TO '{path}' (FORMAT csv)").fetchall()
    return "--target y"


def peak(
    words: list[str], folder: Path, *, seconds: float = LONGEST, stop_after: Path | None = None
) -> Peak:
    """Run `descend` with some words, and watch the memory of all its processes.

    Args:
        words: of the command line.
        folder: where it runs.
        seconds: of the processor, after which it is killed.
        stop_after: a history; once an evaluation stands in it, the command is interrupted.
    """
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
    began = time.monotonic()
    most, end = 0, began + WAITED * seconds
    used = 0.0
    while process.poll() is None and time.monotonic() < end and used < seconds:
        family = [*tree(process.pid)]
        most = max(most, sum(map(private_bytes, family)))
        used = sum(map(processor_seconds, family))
        share = used / max(PERIOD, time.monotonic() - began)
        if stop_after is not None and stop_after.exists() and _lines(stop_after) > 2:
            process.send_signal(signal.SIGINT)
            stop_after = None
        # On a busy machine a process does as much between two looks as on an idle one.
        time.sleep(min(LONGEST_PERIOD, PERIOD / max(0.01, min(1.0, share))))
    if process.poll() is None:
        process.kill()
    status = process.wait()
    reader.join(5)
    return Peak(status, most, b"".join(printed).decode(errors="replace")[-1500:])


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


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


def processor_seconds(process: int) -> float:
    """What a process and its ended children have taken; 0 where it has ended itself."""
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    ticks = told.rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def outcome(found: Peak, bound: int) -> str:
    """`read`, `refused` or a kind of defect."""
    if found.private > bound:
        return "memory"
    if "Traceback" in found.error or "defect of descend" in found.error:
        return "traceback"
    return {0: "read", 2: "refused"}.get(found.status, "hang" if found.status < 0 else "traceback")


def run_command(kind: str, roles: str, bound: int, folder: Path, model: str = "mlp") -> Peak | None:
    """Run a command on the table of a folder; None where the run that it needs is not there."""
    words = COMMANDS[kind].format(roles=roles, model=model).split()
    if words[0] == "inspect" and "--weight" in words:
        # It has no weights.
        place = words.index("--weight")
        del words[place : place + 2]
    if kind == "resume":
        stopped = STOPPED.format(roles=roles, model=model).split()
        history = folder / "stopped" / "history.csv"
        peak([*stopped, "--memory", f"{bound}MiB"], folder, stop_after=history)
    given = words[1]
    if given in ("run", "tabular", "stopped") and not (folder / given / "run.json").exists():
        return None
    if COMMANDS[kind].startswith(TAKE_MEMORY):
        words += ["--memory", f"{bound}MiB"]
    return peak(words, folder)


def fuzz_memory(
    inputs: int, dice: random.Random, *, keep: Callable[[str], None] = print
) -> dict[str, Counter[str]]:
    """Run so many commands on tables of all shapes; those over the bound are told to `keep`."""
    counts: dict[str, Counter[str]] = {}
    others = [kind for kind in COMMANDS if not kind.startswith("train")]
    each = -(-inputs // len(SHAPES))
    for shape, make in SHAPES.items():
        bound = dice.choice(BOUNDS)
        left = min(each, inputs - sum(found.total() for found in counts.values()))
        kinds = ["train", *dice.sample(others, min(len(others), max(0, left - 1)))][:left]
        if any("tabular" in kind for kind in kinds):
            kinds.insert(1, "train, tabular")
        with tempfile.TemporaryDirectory() as name:
            roles = make(Path(name) / "t.csv", dice)
            for kind in kinds:
                found = run_command(kind, roles, bound, Path(name), MODELS.get(shape, "mlp"))
                said = "refused" if found is None else outcome(found, bound * MIB)
                counts.setdefault(shape, Counter())[said] += 1
                if found is not None and said not in ("read", "refused"):
                    held = f"{found.private / MIB:.0f} of {bound} MiB"
                    keep(f"{shape}, {kind}: {said}, {held}, status {found.status}\n{found.error}")
    return counts


def main(words: list[str] | None = None) -> int:
    """Every command on the largest table of every shape, under one bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", type=int, default=640, help="MiB")
    parser.add_argument("--shape", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--command", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args(words)
    peaks, commits = _kept(given.memory)
    commit = _commit()
    for shape in given.shape:
        with tempfile.TemporaryDirectory() as name:
            roles = SHAPES[shape](Path(name) / "t.csv", Largest())
            for kind in given.command:
                began = time.monotonic()
                found = run_command(kind, roles, given.memory, Path(name), MODELS.get(shape, "mlp"))
                said = "refused" if found is None else outcome(found, given.memory * MIB)
                peaks.setdefault(kind, {})[shape] = _cell(found, said)
                commits.setdefault(kind, {})[shape] = commit
                seconds = time.monotonic() - began
                print(f"{shape}, {kind}: {peaks[kind][shape]} {seconds:.0f} s", flush=True)
                if found is not None and said != "read":
                    print(found.error, flush=True)
                if not given.no_save:
                    measure.keep("memory", *_text_and_facts(given.memory, peaks, commits))
    text, facts = _text_and_facts(given.memory, peaks, commits)
    measure.record("memory", text, facts, save=not given.no_save)
    return 1 if any(":" in cell for of in peaks.values() for cell in of.values()) else 0


NO_RUN = "no run"
"""Of a command that needs a run, where `train` was refused."""
Cells = dict[str, dict[str, str]]
"""By command and shape."""


def _kept(bound: int) -> tuple[Cells, Cells]:
    """The cells that were measured before under the same bound, and on which commit."""
    try:
        facts = json.loads((measure.RESULTS / "memory.json").read_text())
    except OSError:
        return {}, {}
    return (facts["peaks"], facts["commits"]) if facts["bound"] == bound else ({}, {})


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _text_and_facts(bound: int, peaks: Cells, commits: Cells) -> tuple[str, dict[str, Any]]:
    lines = [
        [kind, *(peaks[kind].get(shape, "") for shape in SHAPES)]
        for kind in COMMANDS
        if kind in peaks
    ]
    over = sum(":" in cell for of in peaks.values() for cell in of.values())
    measured = sum(cell != NO_RUN for of in peaks.values() for cell in of.values())
    known = sorted({one for of in commits.values() for one in of.values() if one})
    text = (
        f"Peak of private memory in MiB under `--memory {bound}MiB`, by command and shape of the "
        f"table; in brackets: refused in one text.\n\n"
        f"{measure.table(['command', *SHAPES], lines)}\n\n{over} of {measured} over the bound. "
        f"Commits: {', '.join(known)}."
    )
    return text, {"bound": bound, "peaks": peaks, "commits": commits}


def _cell(found: Peak | None, said: str) -> str:
    if found is None:
        return NO_RUN
    held = f"{found.private / MIB:.0f}"
    return {"read": held, "refused": f"({held})"}.get(said, f"{held}: {said}")


if __name__ == "__main__":
    sys.exit(main())
