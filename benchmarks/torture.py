"""Does a run survive being killed at any moment?

A run is started, killed by SIGKILL, SIGTERM or SIGINT at a random moment of a phase drawn at
random (starting, converting, training, saving; after a kill: going on), resumed, perhaps killed
again, and resumed to the end. Its model must equal that of an undisturbed run byte for byte, and
its history but for the seconds. Where batch size and learning rate are found by measuring, they
must stay as they were found first, and the model be that of a run that went on undisturbed.

    python -m benchmarks torture --kills 100
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import measure
from benchmarks.torture_runs import PHASES, TASKS, made_place, survives, undisturbed


def main(words: list[str] | None = None) -> int:
    """Kill, resume, compare, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="at least so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-save", action="store_true", help="print only")
    given = parser.parse_args(words)
    dice = random.Random(given.seed)
    kills: dict[str, Counter[str]] = {task.name: Counter() for task in TASKS}
    runs, equal = Counter[str](), Counter[str]()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        places = [made_place(task, Path(name)) for task in TASKS]
        known = {}
        for place in places:
            first, _ = undisturbed(place)
            # The second finds everything compiled, as those that are killed do.
            known[place.task.name] = undisturbed(place)
            if not place.task.auto and known[place.task.name][0] != first:
                raise RuntimeError(f"{place.task.name}: two undisturbed runs differ")
        while sum(of[phase] for of in kills.values() for phase in PHASES) < given.kills:
            place = places[runs.total() % len(places)]
            task = place.task
            end, phases = known[task.name]
            killed, problem = survives(place, end, phases, dice)
            phases_hit = [kill.phase for kill in killed]
            kills[task.name].update(phases_hit)
            kills[task.name]["midway"] += sum(kill.midway for kill in killed)
            runs[task.name] += 1
            equal[task.name] += not problem
            said = f"{task.name}, killed {', '.join(phases_hit) or 'never'}: {problem or 'equal'}"
            if problem:
                wrong.append(said)
            print(said, file=sys.stderr, flush=True)
    lines = [
        [
            task.name,
            *(kills[task.name][phase] for phase in PHASES),
            sum(kills[task.name][phase] for phase in PHASES),
            *(kills[task.name]["midway"], runs[task.name], equal[task.name]),
        ]
        for task in TASKS
    ]
    total, midway = (sum(int(line[place]) for line in lines) for place in (-4, -3))
    text = (
        "Kills by the phase in which they came, and runs that ended as undisturbed ones:\n\n"
        + measure.table(["training", *PHASES, "kills", "midway", "runs", "equal"], lines)
        + f"\n\n{total} kills in {runs.total()} runs, {midway} of them when updates had been "
        f"saved: {equal.total()} of {runs.total()} equal. Checkpoints were written up to twenty "
        "times a second."
    )
    text += "".join(f"\n\n{problem}" for problem in wrong)
    facts = {"kills": {name: dict(of) for name, of in kills.items()}, "runs": dict(runs)}
    measure.record("torture", text, {**facts, "equal": dict(equal)}, save=not given.no_save)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
