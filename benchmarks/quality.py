"""How good is `descend train` with no options, beside what people take for tables?

Held-out error (RMSE over the deviation for numbers, log loss for labels), seconds and the coverage
of 95 % intervals, at each effort; peers are scikit-learn's MLP with early stopping (in a pipeline
that imputes, scales, codes one-hot and scales the target) and HistGradientBoosting, LightGBM (2,000
trees, rate 0.05, early stopping on a tenth) and CatBoost (the same early stopping), their defaults
otherwise. All see the same random four fifths of at most 40,000 rows. Nobody gets more than the
table, the target and the columns to leave out; dates are split into parts for the peers, which
cannot read them.

Every candidate runs in a process of its own, one at a time. Seconds and peak memory are those of
the whole process: start, imports, reading the table, the fit and the predictions.
The network was designed on the tables in `CHOSEN_ON` (quality_report.py); the others prove it.

Each score is kept in a file as soon as it is there (`--kept`), and a further call measures only
what is missing, so that an interrupted measurement goes on. Ours are measured again when the
defaults of the network change; `--again quick,lightgbm` measures those again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.problems import TASKS, find_table, read_frame
from benchmarks.quality_report import plot, report
from benchmarks.quality_sides import MOST_ROWS, PEERS, TREES, Scores, Table, descend_scores
from descend import defaults
from descend.defaults import EFFORTS
from descend.training import early_decay
from descend.training.network import bins, day_codes, tabular, value_groups


def version(side: str) -> str:
    """What a kept score depends on besides its task and seed."""
    if side in PEERS:
        return "defaults"
    network = [value for name, value in vars(defaults).items() if name.startswith("TABULAR_")]
    for module in (early_decay, bins, day_codes, value_groups):
        network += [value for name, value in vars(module).items() if name.isupper()]
    network += [tabular.NEWEST_VERSION, tabular.SCALE_RATE]
    return f"{EFFORTS[side]}, {defaults.HIDDEN['tabular']}, {network}"


class Kept:
    """Scores in a file, a JSON line each, appended when they are measured."""

    def __init__(self, path: Path, again: Sequence[str] = ()) -> None:
        self.path, self._found = path, {}
        lines = path.read_text().splitlines() if path.exists() else []
        for line in map(json.loads, lines):
            if line["side"] not in again:
                self._found[self._key(line["task"], line["seed"], line["side"])] = line

    def get(self, task: str, seed: int, side: str) -> Scores | None:
        """What was measured of the present version."""
        line = self._found.get(self._key(task, seed, side))
        return line["scores"] if line and line["version"] == version(side) else None

    def add(self, task: str, seed: int, side: str, scores: Scores) -> None:
        """Keep one."""
        line = {"task": task, "seed": seed, "side": side, "version": version(side)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps({**line, "scores": scores}) + "\n")

    @staticmethod
    def _key(task: str, seed: int, side: str) -> tuple[str, int, str]:
        return task, seed, side


def scores_here(name: str, path: Path, seed: int, side: str) -> Scores:
    """The scores of one candidate, in this process."""
    task = TASKS[name]
    table = Table(task, read_frame(task, path), seed)
    return PEERS[side](table) if side in PEERS else descend_scores(table, side)


def scores_alone(name: str, path: Path, seed: int, side: str) -> Scores:
    """The same in a new process, with `process` seconds and peak `memory` in MiB.

    Ours run twice, with a cache of compiled programs of their own: `first` are the seconds with an
    empty cache, as at the first run on a machine, `process` those of the second run.
    """
    if side in PEERS:
        return timed_process(name, path, seed, side, os.environ)
    with tempfile.TemporaryDirectory() as cache:
        own = {**os.environ, "XDG_CACHE_HOME": cache}
        first = timed_process(name, path, seed, side, own)["process"]
        return {**timed_process(name, path, seed, side, own), "first": first}


def timed_process(
    name: str, path: Path, seed: int, side: str, environment: Mapping[str, str]
) -> Scores:
    """One such process."""
    command = [sys.executable, "-m", "benchmarks", "quality", "--one", f"{name},{seed},{side}"]
    command += ["--tables", str(path.parent)]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    printed = child.stdout.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name}, seed {seed}, {side} failed; run: {' '.join(command)}")
    # Kibibytes on Linux, bytes on macOS.
    memory = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    scores = json.loads(printed.splitlines()[-1])
    return {**scores, "process": time.perf_counter() - begun, "memory": memory}


def compared(
    name: str, path: Path, seeds: Iterable[int], sides: Sequence[str], kept: Kept
) -> dict[str, Any]:
    """All scores on one task, a list over the seeds each."""
    found: dict[str, list[Scores]] = {side: [] for side in sides}
    for seed in seeds:
        for side in sides:
            scores = kept.get(name, seed, side)
            if scores is None:
                measured = scores_alone(name, path, seed, side)
                scores = {what: float(f"{value:.5g}") for what, value in measured.items()}
                kept.add(name, seed, side, scores)
                print(f"{name}, seed {seed}, {side}: {scores}", flush=True)
            found[side].append(scores)
    rows = min(MOST_ROWS, len(read_frame(TASKS[name], path)))
    return {"task": name, "rows": rows, "scores": found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--tables", type=Path, help="a folder with more tables, as Parquet")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--efforts", default=",".join(EFFORTS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument(
        "--kept", type=Path, default=measure.RESULTS / "quality_parts.jsonl", help="scores so far"
    )
    parser.add_argument("--again", default="", help="candidates whose kept scores do not count")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        name, seed, side = options.one.split(",")
        path = find_table(TASKS[name].table, options.tables)
        assert path is not None
        print(json.dumps(scores_here(name, path, int(seed), side)))
        return
    peers = [name for name in options.peers.split(",") if name]
    efforts = [name for name in options.efforts.split(",") if name]
    kept = Kept(options.kept, options.again.split(","))
    for name in TREES:
        if name in peers and importlib.util.find_spec(name) is None:
            parser.error(f"{name} is not installed; type: make bench, which installs it")
    results = []
    for name in options.tasks.split(","):
        path = find_table(TASKS[name].table, options.tables)
        if path is None:
            print(f"{name}: left out, no table {TASKS[name].table} (name its folder with --tables)")
            continue
        seeds = [int(seed) for seed in options.seeds.split(",")]
        results.append(compared(name, path, seeds, [*efforts, *peers], kept))
    if not results:
        parser.error("no table was found; name their folder: --tables DIR")
    measure.record("quality", report(results), {"tasks": results}, save=not options.no_save)
    if not options.no_save and set(TREES) <= set(peers):
        plot(results, measure.RESULTS / "quality.svg")


if __name__ == "__main__":
    main()
