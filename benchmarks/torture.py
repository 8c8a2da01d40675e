"""Does a run survive being killed at any moment?

A run is started, killed at a random moment by SIGKILL, SIGTERM or SIGINT, resumed, perhaps killed
again, and resumed to the end. Its model must equal that of an undisturbed run byte for byte, and
its history but for the seconds.

    python -m benchmarks torture --kills 100
"""

from __future__ import annotations

import argparse
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

BIKE = Path(__file__).parents[1] / "examples" / "data" / "bike_sharing.csv"
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TASKS = {
    "memory": "--epochs 40 --batch-size 16 --learning-rate 0.02",
    "linear": "--epochs 60 --batch-size 8 --learning-rate 0.01 --model linear",
    "adam": "--epochs 25 --batch-size 32 --learning-rate 0.002 --optimizer adam --schedule cosine",
    "store": "--epochs 15 --batch-size 32 --learning-rate 0.02 --store STORE",
}


class Task(NamedTuple):
    """A training whose end is known.

    Attributes:
        name: for the report.
        options: of `descend train`.
        model: the bytes an undisturbed run ends with.
        history: its lines without the seconds.
        seconds: it took.
    """

    name: str
    options: list[str]
    model: bytes
    history: list[list[str]]
    seconds: float


def undisturbed(name: str, options: list[str], folder: Path) -> Task:
    out = folder / f"{name}-whole"
    began = time.perf_counter()
    subprocess.run(_train(options, out), check=True, capture_output=True)
    seconds = time.perf_counter() - began
    return Task(name, options, (out / "model.safetensors").read_bytes(), _history(out), seconds)


def survives(task: Task, out: Path, dice: random.Random, most_kills: int = 3) -> tuple[int, str]:
    """Kill and resume until the end: how many kills there were, and what went wrong."""
    kills = 0
    command = _train(task.options, out)
    while True:
        killed = kills < most_kills and (kills == 0 or dice.random() < 0.5)
        moment = dice.uniform(0.0, 1.05 * task.seconds)
        status, error = _run(command, moment if killed else None, dice.choice(SIGNALS))
        if status is None or status in (130, -signal.SIGTERM, -signal.SIGINT):
            kills += 1
        elif status != 0:
            return kills, f"exit {status}: {error[-500:]}"
        else:
            return kills, _difference(task, out)
        command = _train(task.options, out)
        if (out / "run.json").exists():
            command = [sys.executable, "-m", "descend.cli", "resume", str(out), "--quiet"]


def _run(command: list[str], moment: float | None, number: int) -> tuple[int | None, str]:
    """The exit status of a command, or None where it was killed at the moment."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        killed = False
        try:
            _, error = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            killed = number == signal.SIGKILL
            _, error = process.communicate(timeout=60)
        return (None if killed and process.returncode != 0 else process.returncode), error.decode()


def _train(options: list[str], out: Path) -> list[str]:
    columns = ["--target", "cnt", "--exclude", "instant,dteday,casual,registered"]
    program = [sys.executable, "-m", "descend.cli", "train", str(BIKE), *columns]
    return [*program, *options, "--out", str(out), "--quiet"]


def _history(out: Path) -> list[list[str]]:
    lines = [line.split(",") for line in (out / "history.csv").read_text().splitlines()]
    seconds = lines[0].index("seconds")
    return [line[:seconds] + line[seconds + 1 :] for line in lines]


def _difference(task: Task, out: Path) -> str:
    if (out / "model.safetensors").read_bytes() != task.model:
        return "another model"
    if _history(out) != task.history:
        return "another history"
    return ""


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="at least so many")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    dice = random.Random(given.seed)
    total, runs, wrong = 0, Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = [
            undisturbed(task, options.replace("STORE", name + "/store").split(), folder)
            for task, options in TASKS.items()
        ]
        while total < given.kills:
            task = tasks[sum(runs.values()) % len(tasks)]
            out = folder / "run"
            kills, problem = survives(task, out, dice)
            total += kills
            runs[task.name] += 1
            if problem:
                wrong[f"{task.name}: {problem}"] += 1
            shutil.rmtree(out, ignore_errors=True)
    count = sum(runs.values())
    print(f"{total} kills in {count} runs ({dict(runs)}): {count - wrong.total()} of {count} equal")
    for problem, times in wrong.items():
        print(f"{times} x {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
