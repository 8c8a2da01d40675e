"""Is the advice right? The time it leads to, over the best of a full sweep.

For each problem every batch size is tried with learning rates by factors of two until the best is
interior. What counts is the time to a validation loss that a good run reaches,

    T = updates until then × seconds per update,

updates from a run of the package's own loop, seconds measured beforehand, all sizes taking turns.
The best of many cells owes part of its time to luck, and two seeds of one setting may differ by a
factor of two. So the best settings of the sweep and the advised ones are compared with fresh seeds,
with which nothing was chosen.

Evaluations and compiling are left out of T; what the advice costs contains both. Seconds are those
of a clock on the wall, so the stages `speed` and `advice` want a machine that does nothing else;
`sweep`, which counts updates, does not mind. With `--processor-seconds` both count
the seconds that the processor spends on this program, which other work changes little; two threads
that run at once then count twice, as where two programs are compiled at a time.

Each cell of the sweep is saved as soon as it is known; a run that was stopped, or that `--minutes`
ended, goes on from there. The report holds all problems that were measured, each with the version
that measured it; `--again` measures the advice anew, with the seconds of an update that both are
counted in, and keeps the updates of the sweep.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.regret_advice import cost_text, figures_of
from benchmarks.regret_cases import CASES, Case, small
from benchmarks.regret_cells import FOLDER, Cells, OutOfTimeError
from benchmarks.regret_held_out import HELD_OUT_CASES
from benchmarks.regret_report import report
from benchmarks.regret_sweep import Sweep
from descend.training.jax_setup import set_up

STAGES = ("speed", "sweep", "cost", "advice")
"""The cost alone takes a minute a problem and measures no cell of the sweep."""
ALL_CASES = (*CASES, *HELD_OUT_CASES)
OF_ADVICE = ("advice", "known", "thorough", "quality", "whole", "measured", "speed", "sklearn")
"""What is measured anew for another version of the advice. The seconds of an update belong to it:
those of an idle machine and of a busy one, or of the wall and of the processor, favour other
batch sizes, and the advice goes by the seconds that it finds."""


def main(arguments: list[str]) -> None:
    """Sweep, advise, compare, and keep what was found."""
    parser = argparse.ArgumentParser(prog="regret", description=__doc__)
    parser.add_argument("--tables", type=Path, help="folder with the tables that are not shipped")
    parser.add_argument("--only", help="names of problems, separated by commas")
    parser.add_argument("--minutes", type=float, help="measure nothing more after so many minutes")
    parser.add_argument("--again", action="store_true", help="measure the advice anew")
    parser.add_argument("--stage", choices=STAGES, default=STAGES[-1], help="how far to go")
    parser.add_argument(
        "--processor-seconds", action="store_true", help="for a machine that does other work too"
    )
    parser.add_argument("--quick", action="store_true", help="4,000 rows; nothing is kept")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    set_up()
    folder = Path(tempfile.mkdtemp()) if options.quick else options.out
    end = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    clock = time.process_time if options.processor_seconds else time.perf_counter
    found = []
    for case in chosen(options.only):
        problem = case.load(options.tables)
        if problem is None:
            print(f"{case.name}: its table is not there (--tables DIR)")
            continue
        problem = small(problem, 4000) if options.quick else problem
        print(f"{case.name}: {len(problem.store):,} rows", flush=True)
        cells = Cells(folder / "cells" / f"{case.name}.json", end)
        if options.again:
            cells.forget(OF_ADVICE)
        try:
            sweep = Sweep(case, problem, cells, clock)
            if options.stage == "cost":
                print(cost_text(sweep), flush=True)
            elif options.stage != "speed":
                sweep.run()
            if options.stage == "advice":
                found.append(figures_of(sweep))
        except OutOfTimeError:
            print("The time is over; without --again, the same command goes on from here.")
            break
    if found:
        report(merged(found, folder), folder)


def chosen(only: str | None) -> list[Case]:
    """The problems with these names, separated by commas; all without names."""
    known = {case.name: case for case in ALL_CASES}
    names = only.split(",") if only else list(known)
    wrong = [name for name in names if name not in known]
    if wrong:
        raise SystemExit(f"No problem is named {wrong[0]!r}; type some of {', '.join(known)}.")
    return [known[name] for name in names]


def merged(found: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """These problems and those measured before, in the order of the sweep."""
    path = folder / "regret.json"
    before = json.loads(path.read_text())["problems"] if path.exists() else []
    by_name = {one["problem"]: _not_reached(one) for one in before}
    by_name.update({one["problem"]: one for one in found})
    groups = {case.name: {"group": case.group} for case in ALL_CASES}
    return [by_name[name] | group for name, group in groups.items() if name in by_name]


def _not_reached(one: Any, key: str = "") -> Any:
    """Figures from JSON: null is what was not reached, but for the noise scale."""
    if isinstance(one, dict):
        return {name: _not_reached(value, name) for name, value in one.items()}
    if isinstance(one, list):
        return [_not_reached(value) for value in one]
    return math.inf if one is None and key != "noise_scale" else one
