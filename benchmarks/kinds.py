"""How good is `descend train` with no options on tables of other kinds than the twelve real ones?

Held-out error on `made_tables.py`, a fifth of the rows, beside LightGBM and CatBoost with early
stopping, as in `quality`. Real tables show what people have, and twelve of them hold few kinds:
that numbers of shops were learned as magnitudes showed on made ones alone. A change that is made
for one kind has to be tried on other rows and on the real tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks import measure
from benchmarks.made_tables import KINDS, TARGET, is_labelled, table
from benchmarks.problems import Task
from benchmarks.quality_sides import PEERS, TREES, Table, descend_scores

SIDES = ("quick", "default", *TREES)


def errors_on(kind: str, rows: int, seed: int, sides: Sequence[str]) -> dict[str, float]:
    """The held-out error of each candidate."""
    frame = table(kind, rows, seed)
    task = Task(kind, TARGET, classification=is_labelled(frame))
    made = Table(task, frame, seed)
    return {
        side: (PEERS[side](made) if side in PEERS else descend_scores(made, side))["error"]
        for side in sides
    }


def report(found: Mapping[str, Mapping[str, float]], sides: Sequence[str]) -> str:
    """A line for each kind, the worst of ours last."""
    ours = [side for side in sides if side not in PEERS]
    ratios = {
        kind: [errors[side] / min(errors[tree] for tree in TREES) for side in ours]
        for kind, errors in found.items()
    }
    lines = [
        [kind.replace("_", " "), *(f"{found[kind][side]:.4f}" for side in sides)]
        + [f"{ratio:.3f}" for ratio in ratios[kind]]
        for kind in sorted(found, key=lambda kind: ratios[kind][-1])
    ]
    summary = "\n".join(
        f"{side}: {np.median(column):.3f} in the median, above 1.05 on "
        f"{sum(ratio > 1.05 for ratio in column)} of {len(column)}."
        for side, column in zip(ours, zip(*ratios.values(), strict=True), strict=True)
    )
    heads = ["kind", *sides, *(f"{side} / trees" for side in ours)]
    return (
        "Held-out error (RMSE over the deviation, or log loss) on made tables; ratios are to the "
        f"better of LightGBM and CatBoost.\n\n{measure.table(heads, lines)}\n\n{summary}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kinds", description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    kinds, sides = options.kinds.split(","), options.sides.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"there is no kind {unknown[0]}; there are {', '.join(KINDS)}")
    found = {}
    for kind in kinds:
        found[kind] = errors_on(kind, options.rows, options.seed, sides)
        print(kind, {side: f"{error:.4f}" for side, error in found[kind].items()}, flush=True)
    saved = {"rows": options.rows, "seed": options.seed, "errors": found}
    measure.record("kinds", report(found, sides), saved, save=not options.no_save)


if __name__ == "__main__":
    main()
