"""Does `descend advise` say the same twice?

Each problem is advised twice in one process. Two advices agree where their flat regions have a
batch size in common; two noise scales agree where their intervals overlap at every moment they
were measured at. All that differs between the two is what the clock says: weights, rows and order
are the same. So the machine should do nothing else, or seconds of the processor count
(`--processor-seconds`), which other work changes less.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.regret_cases import CASES, small
from descend.training.jax_setup import set_up
from descend.tuning.advice.advise import advise
from descend.types import Advice

PROBLEMS = ("bike", "diamonds", "adult", "linear", "quadratic", "cut", "friedman", "tiny", "noisy")
ROWS = 20_000
"""Most training rows, so that twenty pairs take minutes."""
WANTED = 0.95


def overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two closed ranges have a number in common.

    >>> overlap((32, 128), (128, 512)), overlap((8, 32), (128, 128))
    (True, False)
    """
    return max(one[0], other[0]) <= min(one[1], other[1])


def noise_agrees(first: Advice, second: Advice) -> bool:
    """Whether the same moments were measured, and the intervals of the noise scale overlap."""
    if len(first.evidence["noise"]) != len(second.evidence["noise"]):
        return False
    pairs = list(zip(first.evidence["noise"], second.evidence["noise"], strict=True))

    def interval(record: dict[str, Any]) -> tuple[float, float]:
        low, high = record["interval"]
        return (low, float("inf") if high is None else high)

    return all(overlap(interval(one), interval(other)) for one, other in pairs)


def pair(problem: Any, seed: int, seconds: float, clock: Callable[[], float]) -> dict[str, Any]:
    """Two advices of a problem with a seed, and whether they agree."""
    seeded = dataclasses.replace(problem, seed=seed)
    first, second = (advise(seeded, at_least=seconds, clock=clock)[0] for _ in range(2))
    return {
        "seed": seed,
        "advised": [[one.batch_size, one.learning_rate] for one in (first, second)],
        "flat_regions": [list(one.flat_region) for one in (first, second)],
        "noise_scales": [
            [record["noise_scale"] for record in one.evidence["noise"]] for one in (first, second)
        ],
        "flat_regions_overlap": overlap(first.flat_region, second.flat_region),
        "noise_agrees": noise_agrees(first, second),
    }


def report(pairs: Sequence[dict[str, Any]]) -> str:
    """The pairs as a table, and how many agree."""
    rows = [
        [
            one["problem"],
            one["seed"],
            ", ".join(f"{size:,} at {rate:.2g}" for size, rate in one["advised"]),
            ", ".join(f"{low:,} to {high:,}" for low, high in one["flat_regions"]),
            "yes" if one["flat_regions_overlap"] else "NO",
            "yes" if one["noise_agrees"] else "NO",
        ]
        for one in pairs
    ]
    heads = ["problem", "seed", "advised", "flat regions", "overlap", "noise agrees"]
    flat = sum(one["flat_regions_overlap"] for one in pairs)
    noise = sum(one["noise_agrees"] for one in pairs)
    missed = "" if flat >= WANTED * len(pairs) else ": MISSED"
    return (
        f"{measure.table(heads, rows)}\n\nFlat regions overlap in {flat} pairs of {len(pairs)}, "
        f"wanted {WANTED:.0%}{missed}; noise scales agree in {noise}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Advise, compare, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks advise_twice", description=__doc__)
    parser.add_argument("--tables", type=Path, help="folder with the tables that are not shipped")
    parser.add_argument("--only", help="names of problems, separated by commas")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="least seconds of an advice")
    parser.add_argument(
        "--processor-seconds", action="store_true", help="for a machine that does other work too"
    )
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    set_up()
    clock = time.process_time if options.processor_seconds else time.perf_counter
    names = options.only.split(",") if options.only else PROBLEMS
    problems = {}
    for case in CASES:
        loaded = case.load(options.tables) if case.name in names else None
        if loaded is not None:
            problems[case.name] = small(loaded, ROWS)
    pairs = []
    for number in range(options.pairs):
        name = list(problems)[number % len(problems)]
        found = pair(problems[name], number // len(problems), options.seconds, clock)
        pairs.append({"problem": name, **found})
        print(pairs[-1], flush=True)
    kind = "processor" if options.processor_seconds else "wall"
    facts = {"rows": ROWS, "seconds": options.seconds, "clock": kind, "pairs": pairs}
    measure.record("advise_twice", report(pairs), facts, save=not options.no_save)


if __name__ == "__main__":
    main()
