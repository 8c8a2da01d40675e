"""Is anything lost when one of several processes is killed?

Trainings in several processes are killed at random moments: a random process, or the one that
started them, gets SIGKILL, SIGTERM or SIGINT. Each is resumed until it ends, and must end with the
bytes of the model and the history (but for the seconds) of a training that nobody killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIKE = Path(__file__).parents[1] / "examples" / "data" / "bike_sharing.csv"
OPTIONS = ["--target", "cnt", "--exclude", "instant,dteday,casual,registered", "--model", "mlp"]
OPTIONS += ["--hidden", "16", "--batch-size", "256", "--learning-rate", "0.02"]
OPTIONS += ["--patience", "1000", "--epochs"]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST_ENDING = 60.0
"""Seconds within which all processes must have ended after a kill."""
WAYS = (["--sync-every", "1"], ["--sync-every", "8"], ["--share-rows", "yes"])
"""Of training together: exact, with rare meetings, and each with its part of the rows."""
MOST_KILLS = 3
"""Of one run."""


def begun(out: Path, processes: int, way: list[str], epochs: int) -> subprocess.Popen[bytes]:
    """A training that begins, or goes on where there is something to go on with."""
    program = [sys.executable, "-m", "descend"]
    if (out / "run.json").exists():
        command = [*program, "resume", str(out)]
    else:
        shutil.rmtree(out, ignore_errors=True)
        command = [*program, "train", str(BIKE), *OPTIONS, str(epochs), "--out", str(out)]
        command += way
    command += ["--quiet", "--processes", str(processes)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end_of(out: Path) -> tuple[bytes, list[list[str]]]:
    """The bytes of the model, and the history without the seconds."""
    lines = [line.split(",") for line in (out / "history.csv").read_text().splitlines()]
    seconds = lines[0].index("seconds")
    history = [line[:seconds] + line[seconds + 1 :] for line in lines]
    return (out / "model.safetensors").read_bytes(), history


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    try:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(one) for one in text.split()]


def killed(started: subprocess.Popen[bytes], after: float, chance: random.Random) -> bool:
    """Whether it was still going when the signal came; then all its processes have ended."""
    try:
        started.wait(after)
        return False
    except subprocess.TimeoutExpired:
        pass
    everyone = children(started.pid)
    number = chance.choice(SIGNALS)
    # A starter that is killed cannot end the others: they notice by themselves.
    victims = everyone if number == signal.SIGKILL else [*everyone, started.pid]
    if not victims:
        return False
    try:
        os.kill(chance.choice(victims), number)
    except ProcessLookupError:
        return False
    started.wait(LONGEST_ENDING)
    left = [one for one in everyone if Path(f"/proc/{one}").exists()]
    assert not left, f"processes {left} did not end"
    return True


def main(arguments: list[str]) -> int:
    """Kill and resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    chance, kills, runs = random.Random(asked.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        expected, length = {}, 0.0
        for number, way in enumerate(WAYS):
            out = Path(folder) / f"whole-{number}"
            started = time.monotonic()
            done = begun(out, asked.processes, way, asked.epochs)
            _, said = done.communicate()
            assert done.returncode == 0, said.decode()
            length = time.monotonic() - started
            expected[number] = end_of(out)
        while kills < asked.kills:
            number, out, mine = chance.randrange(len(WAYS)), Path(folder) / "run", 0
            shutil.rmtree(out, ignore_errors=True)
            while True:
                started = begun(out, asked.processes, WAYS[number], asked.epochs)
                wanted = mine < MOST_KILLS and kills < asked.kills
                if wanted and killed(started, chance.uniform(0, length), chance):
                    kills, mine = kills + 1, mine + 1
                    continue
                _, said = started.communicate()
                if started.returncode == 0:
                    break
                raise AssertionError(said.decode())
            assert end_of(out) == expected[number], f"run {runs} ended otherwise"
            runs += 1
            print(f"{kills} kills, {runs} runs ended equal", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
