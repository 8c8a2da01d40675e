"""Signals at random moments of every command: the status, the text, and files that are whole.

A command is started with signals on the way: one or several, SIGINT or SIGTERM, close together or
apart. It passes if it ends with 130 and says so in its last lines, or with 0 as if nothing had
come; if no file is half written; and if what stood in the folder before is there or was replaced
as a whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from descend.errors import DescendError
from descend.io.json_records import read_json
from descend.model import load
from descend.runs.folder import is_run, read_run_record
from descend.runs.history import read_history
from descend.runs.records import SCHEMAS, read_kind

ROOT = Path(__file__).parents[1]
BIKE = ROOT / "examples" / "data" / "bike_sharing.csv"
TABLE = "--target cnt --exclude instant,dteday,casual,registered --quiet"
FIXED = "--hidden 8 --batch-size 32 --learning-rate 0.02"
COMMANDS = {
    "train": f"train t.csv {TABLE} {FIXED} --epochs 60 --out work/run --force",
    "train auto": f"train t.csv {TABLE} --advice-budget 2s --epochs 5 --out work/run --force",
    "train stored": f"train t.csv {TABLE} {FIXED} --epochs 9 --store work/run/store --out work/run",
    "resume": "resume part --quiet",
    "advise": f"advise t.csv {TABLE} --advice-budget 2s --out work/advice",
    "compare": f"compare t.csv {TABLE} {FIXED} --budget 0.1s --seeds 1 --out work/compare --force",
    "landscape": "landscape bowl --quiet --out work/landscape --force",
    "landscape run": "landscape run --quiet --out work/landscape --force",
    "predict": "predict run t.csv -o work/p.csv",
    "predict stdout": "predict run t.csv",
    "evaluate": "evaluate run t.csv",
    "inspect": "inspect t.csv --target cnt",
    "report": "report run --out work/page.html",
}
LONGEST = 60.0
"""Seconds after the last signal within which a command has to end; the machine may be busy."""
STARTED = 0.15
"""Seconds in which Python itself begins, and no program can answer a signal."""


class Outcome(NamedTuple):
    """What came of a command: `ended`, `finished` or a kind of defect, and why."""

    kind: str
    text: str


def prepared(folder: Path) -> None:
    """A table, a finished run and one that was interrupted."""
    lines = BIKE.read_text().splitlines(keepends=True)
    (folder / "t.csv").write_text("".join(lines[:1501]))
    train = f"train t.csv {TABLE} {FIXED} --out"
    for words in (f"{train} run --epochs 3", f"{train} part --epochs 200"):
        with started(folder, words) as process:
            if "part" in words:
                while not (folder / "part" / "run.json").exists():
                    time.sleep(0.05)
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=300)


def started(folder: Path, words: str) -> subprocess.Popen[bytes]:
    """A process of the command, with the package of this checkout."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-m", "descend", *words.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def undisturbed(folder: Path, words: str) -> float:
    """Seconds that the command takes."""
    begun = time.perf_counter()
    with started(folder, words) as process:
        process.communicate(timeout=600)
    return time.perf_counter() - begun


def disturbed(folder: Path, words: str, seconds: float, dice: random.Random) -> Outcome:
    """Send signals to a command and look at what it leaves."""
    times = dice.choice([1, 1, 2, 2, 5, 5])
    apart = dice.choice([0.002, 0.005, 0.015, 0.05, 0.2])
    first = STARTED + dice.uniform(0.0, max(0.1, 1.05 * seconds - STARTED))
    sent = [dice.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM]) for _ in range(times)]
    with started(folder, words) as process:
        time.sleep(first)
        for number in sent:
            process.send_signal(number)
            time.sleep(apart)
        try:
            error = process.communicate(timeout=LONGEST)[1].decode()
        except subprocess.TimeoutExpired:
            process.kill()
            return Outcome("hang", f"{[one.name for one in sent]} after {first:.2f} s")
    when = f"{[one.name for one in sent]} {apart} s apart after {first:.2f} of {seconds:.2f} s"
    problem = check_ending(process.returncode, error) or whole(folder)
    if problem:
        return Outcome("defect", f"{problem} ({when})\n{error[-1500:]}")
    return Outcome("finished" if process.returncode == 0 else "ended", when)


def check_ending(status: int, error: str) -> str:
    """What is wrong with how the command ended; empty where nothing is."""
    if "Traceback" in error or "Fatal Python" in error or "Segmentation" in error:
        return f"status {status}, and a traceback"
    if status == 0:
        return ""
    if status != 130:
        return f"status {status}"
    told = [line for line in error.splitlines() if line.startswith("descend: ")]
    return "" if len(told) == 1 else f"{len(told)} texts"


def whole(folder: Path) -> str:
    """What is wrong with the files; empty where nothing is."""
    for run in (folder / "work" / "run", folder / "part"):
        if not is_run(run):
            continue
        try:
            read_run_record(run)
            if (run / "history.csv").exists():
                read_history(run)
            if (run / "model.safetensors").exists():
                load(run / "model.safetensors")
        except DescendError as error:
            return str(error)
    for path in (folder / "work").rglob("*"):
        if path.name == "header.json":
            read_json(path)
        elif path.suffix == ".json" and path.stem in SCHEMAS and path.parent.name != "run":
            read_kind(path)
        elif path.suffix == ".html" and not path.read_text().endswith("</html>\n"):
            return f"{path} is half written"
    predictions = folder / "work" / "p.csv"
    if predictions.exists() and len(predictions.read_text().splitlines()) != 1501:
        return "half of the predictions"
    return ""


def fuzz_signals(
    inputs: int, dice: random.Random, *, commands: dict[str, str] | None = None
) -> dict[str, Counter[str]]:
    """Send signals so many times, to all commands in turn; defects are printed."""
    chosen = commands or COMMANDS
    counts: dict[str, Counter[str]] = {}
    if not inputs:
        return counts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder)
        shutil.copytree(folder / "part", folder / "kept")
        seconds: dict[str, float] = {}
        for number in range(inputs):
            kind = list(chosen)[number % len(chosen)]
            renew(folder)
            if kind not in seconds:
                undisturbed(folder, chosen[kind])  # Compiles what all others find compiled.
                renew(folder)
                seconds[kind] = undisturbed(folder, chosen[kind])
                renew(folder)
            outcome = disturbed(folder, chosen[kind], seconds[kind], dice)
            counts.setdefault(kind, Counter())[outcome.kind] += 1
            if outcome.kind in ("hang", "defect"):
                print(f"signals, {kind}: {outcome.kind}\n{outcome.text}\n", flush=True)
    return counts


def renew(folder: Path) -> None:
    """Make the folders as they were."""
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir()
    shutil.rmtree(folder / "part")
    shutil.copytree(folder / "kept", folder / "part")


if __name__ == "__main__":
    words = sys.argv[1:]
    picked = {name: COMMANDS[name] for name in words[1:]} or None
    found = fuzz_signals(int(words[0]), random.Random(len(words)), commands=picked)
    print(json.dumps(found, indent=1))
