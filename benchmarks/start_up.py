"""How long until the first update, and where do the seconds of a whole run go?

Whole processes: `descend train` on 500 rows and on whole tables, with an empty cache of compiled
programs ("cold") and again with the same one ("cached"), by the clock and in seconds of all cores;
then once more with every part timed, and each compiled program named. `--against SRC` lets another
version of the package take turns with this one.

Compiling alone: `descend.train` on the made table's first 5,000 rows, one epoch. Compiling is all
that JAX reports of it: tracing, lowering, and compiling or reading the compiled program back.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import measure
from benchmarks.problems import TASKS, find_table

COLD_AT_MOST, CACHED_AT_MOST, HELP_AT_MOST = 2.0, 0.5, 0.3
FEW = "500 rows"
"""The first rows of the bike rentals."""
KINDS = ("cold", "cached")

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


class Process(NamedTuple):
    """What a whole `descend train` took.

    Attributes:
        seconds: by the clock.
        processor: seconds of all cores.
        told: what it printed last, as JSON; empty where its parts were not timed.
    """

    seconds: float
    processor: float
    told: Mapping[str, Any] = {}


def process_seconds(
    typed: Sequence[str], cache: str, *, parts: bool = False, source: Path | None = None
) -> Process:
    """Train in a fresh process.

    Args:
        typed: what stands behind `descend`.
        cache: the folder of the compilation cache.
        parts: whether to time every part; the whole is then a little longer.
        source: the folder `src` of another version of the package.
    """
    module = "benchmarks.start_up_parts" if parts else "descend"
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    command = [sys.executable, "-m", module, *typed, "--quiet", "--force", "--out", f"{cache}/run"]
    before, begun = _processor(), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, processor = time.perf_counter() - begun, _processor() - before
    return Process(seconds, processor, json.loads(done.stdout.splitlines()[-1]) if parts else {})


def _processor() -> float:
    """Seconds of all cores that ended processes of ours have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(folder: Path | None, names: Sequence[str], scratch: Path) -> dict[str, list[str]]:
    """What is typed for each of these tables that is there."""
    found = {}
    for name in names:
        task = TASKS["bike" if name == FEW else name]
        place = find_table(task.table, folder)
        if place is None:
            continue
        if name == FEW:
            lines = Path("examples/data/bike_sharing.csv").read_text().splitlines()[:501]
            place = scratch / "rows.csv"
            place.write_text("\n".join(lines))
        found[name] = ["train", str(place), "--target", task.target]
        if task.exclude:
            found[name] += ["--exclude", ",".join(task.exclude)]
    return found


def whole_processes(
    words: Sequence[str], repeats: int, against: Path | None
) -> dict[str, list[Process]]:
    """Runs of one command, by kind; those of another version as `cold, before` and so on."""
    found: dict[str, list[Process]] = {}
    sides = {"": None} if against is None else {"": None, ", before": against}
    for _ in range(repeats):
        for suffix, source in sides.items():
            with tempfile.TemporaryDirectory() as cache:
                for kind in KINDS:
                    one = process_seconds(words, cache, source=source)
                    found.setdefault(kind + suffix, []).append(one)
    with tempfile.TemporaryDirectory() as cache:
        for kind in KINDS:
            found[f"{kind}, parts"] = [process_seconds(words, cache, parts=True)]
    return found


def processes_text(runs: Mapping[str, Mapping[str, Sequence[Process]]]) -> str:
    """Tables of whole processes, of their parts, and of their programs."""
    rows, parts, programs = [], [], []
    for title, found in runs.items():
        for kind in KINDS:
            row: list[object] = [f"{title}, {kind}"]
            for field in ("seconds", "processor"):
                now = [getattr(one, field) for one in found[kind]]
                row.append(measure.spread(now))
                if before := found.get(f"{kind}, before"):
                    row.append(measure.ratio(now, [getattr(one, field) for one in before]))
            rows.append(row)
        told = {kind: found[f"{kind}, parts"][0].told for kind in KINDS}
        for part, seconds in told["cold"]["parts"].items():
            cached = told["cached"]["parts"].get(part, 0.0)
            parts.append([title, part, f"{seconds:.2f}", f"{cached:.2f}"])
        for name, steps in told["cold"]["programs"].items():
            cached = sum(told["cached"]["programs"].get(name, [0.0])[:3])
            each = [f"{seconds:.3f}" for seconds in steps[:3]]
            programs.append([title, name, int(steps[3]), *each, f"{cached:.3f}"])
    compared = any("before" in kind for found in runs.values() for kind in found)
    heads = ["whole process", "seconds", "processor"]
    if compared:
        heads = ["whole process", "seconds", "of before", "processor", "of before"]
    return "\n\n".join(
        [
            measure.table(heads, rows),
            "Parts of one run, seconds by the clock; parts that overlap are more than the whole:",
            measure.table(["table, effort", "part", "cold", "cached"], parts),
            "Programs that it compiled, seconds:",
            measure.table(
                [
                    *("table, effort", "program", "times", "tracing", "lowering", "compiling"),
                    "all of it, cached",
                ],
                programs,
            ),
        ]
    )


def train_seconds(cache: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds of a short training in a fresh process, those of compiling apart."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(options)],
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


def compiling(repeats: int) -> dict[str, list[float]]:
    """Seconds of compiling and of a short training at three batch sizes, and of the help."""
    lines: dict[str, list[float]] = {}
    for _ in range(repeats):
        for size in (1, 128, 1000):
            with tempfile.TemporaryDirectory() as cache:
                for kind in KINDS:
                    found = train_seconds(cache, {"batch_size": size})
                    for what, part in (("compiling", "compiling"), ("whole training", "whole")):
                        name = f"{what}, {kind}, batch size {size}"
                        lines.setdefault(name, []).append(found[part])
        lines.setdefault("descend --help", []).append(help_seconds())
    return lines


def compiling_text(lines: Mapping[str, Sequence[float]]) -> str:
    """A table of the lines, with the most that each may take."""
    wanted = {"compiling, cold": COLD_AT_MOST, "compiling, cached": CACHED_AT_MOST}
    wanted["descend --help"] = HELP_AT_MOST
    rows = []
    for name, seconds in lines.items():
        bound = next((limit for start, limit in wanted.items() if name.startswith(start)), None)
        missed = bound is not None and measure.spread(seconds).median > bound
        rows.append([name, measure.spread(seconds), f"{bound or ''}{': MISSED' if missed else ''}"])
    return measure.table(["seconds", "median and range", "at most"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks start_up", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tables", default=f"{FEW},bike,sml,adult")
    parser.add_argument("--efforts", default="quick,default")
    parser.add_argument("--data", type=Path, help="a folder with further tables")
    parser.add_argument("--against", type=Path, metavar="SRC", help="src of another version")
    parser.add_argument(
        "--append", action="store_true", help="keep what is in the results of other tables"
    )
    parser.add_argument("--processes-only", action="store_true", help="not compiling alone")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    kept = _kept() if options.append else {"runs": {}, "measured": {}}
    runs: dict[str, dict[str, list[Process]]] = kept["runs"]
    with tempfile.TemporaryDirectory() as scratch:
        typed = commands(options.data, options.tables.split(","), Path(scratch))
        for name, words in typed.items():
            for effort in options.efforts.split(","):
                runs[f"{name}, {effort}"] = whole_processes(
                    [*words, "--effort", effort], options.repeats, options.against
                )
    lines = kept["measured"] if options.processes_only else compiling(options.repeats)
    text = processes_text(runs) + ("\n\n" + compiling_text(lines) if lines else "")
    facts: dict[str, Any] = {
        "runs": {
            title: {kind: [one._asdict() for one in each] for kind, each in found.items()}
            for title, found in runs.items()
        },
        "measured": lines,
    }
    measure.record("start_up", text, facts, save=not options.no_save)


def _kept() -> dict[str, Any]:
    """What is in the results already."""
    kept = json.loads((measure.RESULTS / "start_up.json").read_text())
    for found in kept["runs"].values():
        for kind, each in found.items():
            found[kind] = [Process(**one) for one in each]
    return dict(kept)


if __name__ == "__main__":
    main()
