"""Runs that are killed: what is trained, when a kill comes, how the end is compared."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from descend.runs.checkpoint import load_checkpoint

BIKE = Path(__file__).parents[1] / "examples" / "data" / "bike_sharing.csv"
COMMON = "--target cnt --exclude instant,dteday,casual,registered --patience 1000 --quiet"
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STOPPED = {130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
MOST_KILLS = 3
"""Of one run."""
CONVERTING = 4
"""Kills while rows are converted are so many times as likely: few trainings have that phase."""
LOOK = 0.005
"""Seconds between two looks at the files of a run."""
PHASES = ("starting", "converting", "training", "going on", "saving")


@dataclass(frozen=True)
class Task:
    """A training.

    Attributes:
        name: for the report.
        options: of `descend train`.
        copies: the table is written so many times, one behind the other.
        windows: whether rows are read in windows, as where memory is short.
        stored: whether rows are kept in a store.
        converts: whether every run makes that store anew.
        auto: whether batch size and learning rate are found by measuring.
    """

    name: str
    options: str
    copies: int = 1
    windows: bool = False
    stored: bool = False
    converts: bool = False
    auto: bool = False


TASKS = (
    Task("memory", "--hidden 16 --batch-size 32 --learning-rate 0.02 --epochs 80"),
    Task(
        "networks",
        "--hidden 16 --members 1 --networks 4 --batch-size 32 --learning-rate 0.02 --epochs 20",
    ),
    Task("linear", "--model linear --batch-size 8 --learning-rate 0.01 --epochs 60"),
    Task(
        "adam",
        "--hidden 16 --batch-size 32 --learning-rate 0.002 --epochs 60 --optimizer adam "
        "--schedule cosine",
    ),
    Task("store", "--hidden 16 --batch-size 32 --learning-rate 0.02 --epochs 60", stored=True),
    Task(
        "converting",
        "--hidden 16 --batch-size 512 --learning-rate 0.02 --epochs 15",
        copies=20,
        stored=True,
        converts=True,
    ),
    Task(
        "windows",
        "--hidden 16 --batch-size 64 --learning-rate 0.02 --epochs 30",
        copies=3,
        windows=True,
        stored=True,
        converts=True,
    ),
    Task("auto", "--hidden 16 --epochs 80 --advice-budget 2s", auto=True),
)


class Kill(NamedTuple):
    """The phase in which a kill came, and whether updates had been saved by then."""

    phase: str
    midway: bool


@dataclass(frozen=True)
class End:
    """What a run ended with: the bytes of its model, its history without the seconds."""

    model: bytes
    history: list[list[str]]


@dataclass(frozen=True)
class Place:
    """The folder of one task, with its table and its stores."""

    task: Task
    folder: Path

    @property
    def out(self) -> Path:
        """The run directory."""
        return self.folder / "run"

    @property
    def stores(self) -> Path:
        """Where its rows are kept."""
        return self.folder / "stores"

    @property
    def copy(self) -> Path:
        """The run as it was when the choices had just been made."""
        return self.folder / "copy"

    @property
    def record(self) -> dict[str, Any] | None:
        """What run.json holds, where it was written."""
        path = self.out / "run.json"
        return json.loads(path.read_text()) if path.exists() else None

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.copy, ignore_errors=True)
        if self.task.converts:
            shutil.rmtree(self.stores, ignore_errors=True)

    def replaced(self) -> Path:
        """The run directory, empty."""
        shutil.rmtree(self.out)
        return self.out

    def command(self) -> list[str]:
        """To begin, or to go on where something can be gone on with."""
        program = [sys.executable, "-m", "benchmarks.hurried"]
        if (self.out / "run.json").exists():
            return [*program, "resume", str(self.out), "--quiet"]
        stores = ["--store", str(self.stores)] if self.task.stored else []
        options = f"{COMMON} {self.task.options} --out".split()
        return [*program, "train", str(self.folder / "bike.csv"), *stores, *options, str(self.out)]

    @property
    def midway(self) -> bool:
        """Whether a run goes on from updates that were made before."""
        saved = load_checkpoint(self.out / "checkpoint")
        return saved is not None and saved[1]["state"][0] > 0

    def end(self) -> End:
        """What the run ended with."""
        lines = [line.split(",") for line in (self.out / "history.csv").read_text().splitlines()]
        seconds = lines[0].index("seconds")
        history = [line[:seconds] + line[seconds + 1 :] for line in lines]
        return End((self.out / "model.safetensors").read_bytes(), history)


def made_place(task: Task, folder: Path) -> Place:
    """The folder of a task with its table."""
    place = Place(task, folder / task.name)
    place.folder.mkdir()
    head, *rows = BIKE.read_text().splitlines(keepends=True)
    (place.folder / "bike.csv").write_text(head + "".join(rows) * task.copies)
    return place


class Watch:
    """Tells from its files in which phase a process is that begins now."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.resumed = (place.out / "run.json").exists()
        self._model = self._model_written()

    def phase(self) -> str:
        """One of PHASES."""
        out = self._place.out
        if self._model_written() != self._model or any(out.glob(".model*part")):
            return "saving"
        if self.resumed:
            return "going on"
        if (out / "run.json").exists():
            return "training"
        converting = any(self._place.stores.glob(".*part"))
        return "converting" if converting else "starting"

    def _model_written(self) -> int:
        try:
            return (self._place.out / "model.safetensors").stat().st_mtime_ns
        except FileNotFoundError:
            return 0


@contextmanager
def started(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    """A process that begins, or goes on, with the package of this checkout."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])
    process = subprocess.Popen(
        place.command(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "LITTLE_MEMORY": "1" * place.task.windows},
    )
    with process:
        yield process


def undisturbed(place: Place, *, anew: bool = True) -> tuple[End, dict[str, float]]:
    """What a run that nobody kills ends with, and the seconds that each phase took."""
    if anew:
        place.clear()
    watch, phases = Watch(place), dict[str, float]()
    with started(place) as process:
        before = time.perf_counter()
        while process.poll() is None:
            time.sleep(LOOK)
            now = time.perf_counter()
            phase = watch.phase()
            phases[phase] = phases.get(phase, 0.0) + now - before
            before = now
        assert process.stderr is not None
        if process.returncode != 0:
            raise RuntimeError(process.stderr.read().decode())
    phases["going on"] = sum(phases.values())
    return place.end(), phases


def survives(
    place: Place, whole: End, phases: dict[str, float], dice: random.Random
) -> tuple[list[Kill], str]:
    """Kill and resume until the end: where it was killed, and what went wrong.

    Args:
        place: where.
        whole: what an undisturbed run ends with.
        phases: and how long its phases are.
        dice: chooses the moments.
    """
    place.clear()
    killed: list[Kill] = []
    chosen = None
    while True:
        status, phase, error = _run(place, phases, dice, kill=len(killed) < MOST_KILLS)
        chosen = chosen or _choices(place)
        if phase is not None and status in STOPPED:
            killed.append(Kill(phase, place.midway))
            if dice.random() < 0.4:
                # The others go on undisturbed.
                phases = dict.fromkeys(phases, 0.0)
        elif status != 0:
            return killed, f"exit {status}: {error[-500:]}"
        else:
            break
    if _choices(place) != chosen:
        return killed, "other choices"
    found = place.end()
    if place.task.auto:
        # What was measured once is not measured alike again: the same choices go on undisturbed.
        place.copy.rename(place.replaced())
        whole = undisturbed(place, anew=False)[0]
    if found.model != whole.model:
        return killed, "another model"
    return killed, "" if found.history == whole.history else "another history"


def _copied(place: Place) -> None:
    """The run as it was soon after its choices were made, for a run that is not disturbed."""
    if place.task.auto and place.record and not place.copy.exists():
        shutil.copytree(place.out, place.copy, ignore=shutil.ignore_patterns("*part"))


def _choices(place: Place) -> dict[str, Any] | None:
    record = place.record
    return record and {name: record.get(name) for name in ("settings", "advice", "schema")}


def _run(
    place: Place, phases: dict[str, float], dice: random.Random, *, kill: bool
) -> tuple[int, str | None, str]:
    """Exit status, the phase in which a signal was sent (None: it ended before), and its text."""
    watch = Watch(place)
    possible = {"going on", "saving"} if watch.resumed else {*PHASES} - {"going on"}
    coming = [phase for phase in PHASES if phase in possible and phases.get(phase)]
    target = None
    if kill and coming:
        target = dice.choices(coming, [CONVERTING if it == "converting" else 1 for it in coming])[0]
    moment: float | None = None
    sent: str | None = None
    with started(place) as process:
        while process.poll() is None:
            phase = watch.phase()
            _copied(place)
            if moment is None and phase == target:
                moment = time.perf_counter() + dice.uniform(0.0, phases[phase])
            if moment is not None and time.perf_counter() >= moment:
                sent = phase
                process.send_signal(dice.choice(SIGNALS))
                break
            time.sleep(LOOK)
        error = process.communicate(timeout=600)[1].decode()
        # A kill right after the choices were made may have come before the look.
        _copied(place)
        return process.returncode, sent, error
