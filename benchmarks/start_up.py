"""How long until the first update, and where do the seconds of a whole short run go?

Each run is a process of its own: `descend.train` on the made table's first 5,000 rows, one epoch,
with an empty compilation cache and then again with the same one. Compiling is all that JAX reports
of it: tracing, lowering, and compiling or reading the compiled program back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure

COLD_AT_MOST, CACHED_AT_MOST, HELP_AT_MOST = 2.0, 0.5, 0.3

TRAIN = """
import json, sys, time
import jax
import descend
from benchmarks.problems import made_table
spent = {}
def listen(event, seconds, **_):
    if event.startswith("/jax/core/compile/"):
        name = event.rsplit("/", 1)[-1]
        spent[name] = spent.get(name, 0.0) + seconds
jax.monitoring.register_event_duration_secs_listener(listen)
problem = made_table(5000)
begun = time.perf_counter()
descend.train((problem.x, problem.y[:, 0]), epochs=1, **json.loads(sys.argv[1]))
print(json.dumps({"whole": time.perf_counter() - begun, "compiling": sum(spent.values()), **spent}))
"""


PROCESS = """
import json, sys, time
begun = time.process_time()
import functools, jax
from descend.runtime import run, table_run
import descend.commands.train
spent, programs = {"imports": time.process_time() - begun}, []
def timed(module, name, part):
    function = getattr(module, name)
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        start = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] = spent.get(part, 0.0) + time.process_time() - start
    setattr(module, name, wrapper)
timed(table_run, "prepare", "reading")
timed(run, "choose_together", "advice")
timed(run, "fit", "training")
timed(run, "_assess", "assessment")
timed(run, "train_page", "page")
timed(run, "render", "page")
compiling = [0.0]
def listen(event, seconds, **_):
    if event.startswith("/jax/core/compile/"):
        compiling[0] += seconds
jax.monitoring.register_event_duration_secs_listener(listen)
from descend.cli.app import app
app(json.loads(sys.argv[1]), standalone_mode=False)
whole = time.process_time()
spent["the rest"] = whole - sum(spent.values())
spent["compiling, by the clock"] = compiling[0]
print(json.dumps({**spent, "whole process": whole}))
"""


def process_seconds(cache: str, rows: int | None) -> dict[str, float]:
    """Processor seconds of each part of `descend train` on the bike rentals, in a fresh process.

    Args:
        cache: the folder of the compilation cache.
        rows: the first rows of the table; None is all of it.
    """
    table = Path("examples/data/bike_sharing.csv")
    if rows is not None:
        lines = table.read_text().splitlines()[: rows + 1]
        table = Path(cache) / "table.csv"
        table.write_text("\n".join(lines))
    typed = ["train", str(table), "--target", "cnt", "--quiet", "--force"]
    typed += ["--exclude", "instant,dteday,casual,registered", "--out", str(Path(cache) / "run")]
    return _run_fresh(PROCESS, typed, cache)


def train_seconds(cache: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds of a short training in a fresh process, those of compiling apart."""
    return _run_fresh(TRAIN, options, cache)


def _run_fresh(program: str, argument: object, cache: str) -> dict[str, float]:
    """The last line that a Python program prints in a fresh process, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(argument)],
        env={**os.environ, "XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def help_seconds() -> float:
    """Seconds of `descend --help`."""
    command = [sys.executable, "-c", "from descend.cli.app import main; main()", "--help"]
    begun = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start_up", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    lines: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for size in (1, 128, 1000):
            with tempfile.TemporaryDirectory() as cache:
                cold = train_seconds(cache, {"batch_size": size})
                warm = train_seconds(cache, {"batch_size": size})
            for kind, found in (("cold", cold), ("cached", warm)):
                name = f"compiling, {kind}, batch size {size}"
                lines.setdefault(name, []).append(found["compiling"])
                lines.setdefault(f"whole training, {kind}, batch size {size}", []).append(
                    found["whole"]
                )
        lines.setdefault("descend --help", []).append(help_seconds())
        for rows in (500, None):
            with tempfile.TemporaryDirectory() as cache:
                found_cold = process_seconds(cache, rows)
                found_warm = process_seconds(cache, rows)
            for kind, found in (("cold", found_cold), ("cached", found_warm)):
                for part, seconds in found.items():
                    name = f"{rows or 'all'} rows, {kind}, processor: {part}"
                    lines.setdefault(name, []).append(seconds)
    wanted = {"compiling, cold": COLD_AT_MOST, "compiling, cached": CACHED_AT_MOST}
    wanted["descend --help"] = HELP_AT_MOST
    rows = []
    for name, seconds in lines.items():
        bound = next((limit for start, limit in wanted.items() if name.startswith(start)), None)
        missed = bound is not None and measure.spread(seconds).median > bound
        rows.append([name, measure.spread(seconds), f"{bound or ''}{': MISSED' if missed else ''}"])
    text = "Seconds:\n\n" + measure.table(["what", "median and range", "at most"], rows)
    facts = {"measured": {name: measure.spread(s).as_json() for name, s in lines.items()}}
    measure.record("start_up", text, facts, save=not options.no_save)


if __name__ == "__main__":
    main()
