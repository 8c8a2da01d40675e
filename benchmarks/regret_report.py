"""What the sweep found, as a table and as curves."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import table
from benchmarks.regret_cases import FIRST, HELD_OUT, LATER

EXPLAINED = """# Regret

The time that the advice leads to, over the time of the best setting of a full sweep of batch sizes
and learning rates (three seeds each; the median counts). `make regret` measures it anew.

Two seeds of one setting may differ by a factor of two, and the fastest of many cells owes part of
its time to luck. So the fastest settings of the sweep and the advised ones run again with nine
further seeds (three where a run takes long), with which nothing was chosen; the regret is the ratio
of the medians over those, and the interval (90 %, bootstrap) says how well they determine it.
Problems without an interval were measured with the seeds of the sweep.

Time is updates to the target times seconds per update, all sizes taking turns; evaluations and
compiling are left out. The target is a validation loss that a good run reaches: above the second
best of four runs by 1 % of the way back to the start, or by 10 % of that loss where that is less.
"Not reached" means: not within three times the time of the best. The best is taken over all that
was run until then; below 1 is an advised rate that lies between those of the sweep.

With its cost, the advice is compared by the seconds until the target is reached, compiling and
evaluations included, with `auto` and with the best setting typed in. All programs are compiled
anew, as in the first run on a table. Where the column says "processor", seconds of the processor
were counted, on a machine with other work; else those of a clock on the wall, on an idle one.

The first choices that the advice rests on were made before the problems marked "added later" were
measured. The present ones were made with the sweeps of both groups in sight, so those figures are
no proof on problems that nobody has seen; what was chosen on which is
[listed](../decisions/advice.md#what-was-chosen-with-the-sweeps-in-sight). The problems marked "held
out" are that proof: they differ in kind from the others, they were written down before anything was
measured on them, and no rule was chosen on them.

The simple rules say a batch size; they are given the best learning rate that the sweep found for
it, which nobody knows beforehand. "Largest that fits" is the largest size of the sweep.

With `--batch-schedule auto` the batch grows while training goes on: the time of the best fixed
setting with it, over the time without (`python -m benchmarks batch_growth`, seeds of the sweep).

"""
BASELINES = (
    "batch 32, best rate",
    "batch 256, best rate",
    "largest that fits",
    "highest throughput",
    "noise scale alone",
    "scikit-learn's default",
)


def report(found: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print the tables, keep them with the facts in `folder`, and draw the curves."""
    text = EXPLAINED + _text(found)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "regret.md").write_text(text + "\n")
    facts = {"problems": _plain(list(found))}
    (folder / "regret.json").write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
    for one in found:
        _draw(one, folder / f"{one['problem']}.png")


def _plain(value: Any) -> Any:
    """As JSON holds it: null for what was not reached."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(found: Sequence[dict[str, Any]]) -> str:
    heads = ["problem", "rows", "best of the sweep", "seconds", "advised", "regret", "interval"]
    heads.append("measured")
    lines = [
        [
            _name(one),
            f"{one['rows']:,}",
            f"{one['best']['batch_size']:,} at {one['best']['learning_rate']:.3g}",
            f"{one['best']['seconds']:.3g}",
            ", ".join(f"{size:,} at {rate:.2g}" for size, rate in one["advised"]),
            _several(one["regret"]),
            _interval(one.get("regret_interval")),
            one.get("measured", {}).get("when", "with version 0.1"),
        ]
        for one in found
    ]
    lines += _medians(found, lambda one: statistics.median(one["regret"]), ("",) * 4, 2)
    costs = [
        [
            _name(one),
            ", ".join(f"{cost:.2g}" for cost in one["cost"]),
            ", ".join(f"{seconds:.2g}" for seconds in one["waited"]["advised"]),
            f"{one['waited']['known']:.2g}",
            one.get("measured", {}).get("seconds", "wall"),
            f"{one['whole_run']:.2g}",
            _several(one["regret_with_cost"]),
        ]
        for one in found
    ]
    costs += _medians(found, lambda one: statistics.median(one["regret_with_cost"]), ("",) * 5)
    cost_heads = [
        "problem",
        "seconds of the advice",
        "until the target, advised",
        "best typed in",
        "clock",
        "updates of a whole run",
        "regret with cost",
    ]
    parts = ["## Regret of the advice", "", table(heads, lines), ""]
    parts += ["## Cost of the advice", "", table(cost_heads, costs), ""]
    deep = [
        [
            _name(one),
            f"{one['thorough']['batch_size']:,} at {one['thorough']['learning_rate']:.2g}",
            f"{one['thorough']['cost']:.2g}",
            _ratio(one["thorough"]["regret"]),
        ]
        for one in found
    ]
    deep += _medians(found, lambda one: float(one["thorough"]["regret"]), ("",) * 2)
    deep_heads = ["problem", "advised", "seconds", "regret"]
    parts += ["## What `descend advise` says, given more time", "", table(deep_heads, deep), ""]
    parts += _growth(found)
    parts += ["## Regret of simple rules", ""]
    rules = [
        [_name(one), *(_ratio(one["baselines"].get(name)) for name in BASELINES)] for one in found
    ]
    for label, group in _groups(found):
        medians = [
            statistics.median([one["baselines"].get(name, math.inf) for one in group])
            for name in BASELINES
        ]
        rules.append([label, *(_ratio(value) for value in medians)])
    parts += [table(["problem", *BASELINES], rules), "", "## Validation loss at the end", ""]
    losses = [
        [
            _name(one),
            *(
                f"{statistics.median(values):.5g} ({min(values):.5g} to {max(values):.5g})"
                for values in one["quality"].values()
            ),
        ]
        for one in found
    ]
    parts.append(table(["problem", "advised setting", "best of the sweep"], losses))
    return "\n".join(parts)


def _growth(found: Sequence[dict[str, Any]]) -> list[str]:
    """What a batch that grows gains, for the problems where that was measured."""
    known = [one for one in found if one.get("growth")]
    if not known:
        return []
    ways = ("noise", "hindsight")
    lines = [[_name(one), *(_ratio(one["growth"][way]) for way in ways)] for one in known]
    for label, group in _groups(known):
        medians = (statistics.median(one["growth"][way] for one in group) for way in ways)
        lines.append([label, *map(_ratio, medians)])
    heads = ["problem", "by measured noise", "best of up to twelve, in hindsight"]
    return ["## `--batch-schedule auto`", "", table(heads, lines), ""]


def _name(one: dict[str, Any]) -> str:
    name, group = str(one["problem"]), str(one["group"])
    return name if group == FIRST else f"{name}, {group}"


def _groups(found: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The problems of each group, all that rules were chosen on, and those held out."""
    groups = {
        group: [one for one in found if one["group"] == group] for group in (FIRST, LATER, HELD_OUT)
    }
    in_sight = [*groups[FIRST], *groups[LATER]]
    lines = [
        (f"median of the first {len(groups[FIRST])}", groups[FIRST]),
        ("median of those added later", groups[LATER]),
        ("median of all that rules were chosen on", in_sight),
        ("**median of those held out**", groups[HELD_OUT]),
    ]
    if not groups[FIRST] or not groups[LATER]:
        lines = lines[2:]
    return [(label, group) for label, group in lines if group]


def _medians(
    found: Sequence[dict[str, Any]],
    value: Callable[[dict[str, Any]], float],
    between: Sequence[str],
    after: int = 0,
) -> list[list[str]]:
    """A line with the median and the worst of each group."""
    return [
        [label, *between, _one([value(one) for one in group]), *[""] * after]
        for label, group in _groups(found)
    ]


def _several(values: Sequence[float]) -> str:
    return f"{_ratio(statistics.median(values))} ({', '.join(_ratio(one) for one in values)})"


def _one(values: Sequence[float]) -> str:
    return f"{_ratio(statistics.median(values))}, worst {_ratio(max(values))}"


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{_ratio(ends[0])} to {_ratio(ends[1])}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "undetermined"
    return f"{value:.2f}" if math.isfinite(value) else "not reached"


def _draw(one: dict[str, Any], path: Path) -> None:
    """Seconds to the target against the batch size, the advice marked."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sizes = [(int(size), found[1]) for size, found in one["sizes"].items()]
    sizes = [(size, seconds) for size, seconds in sizes if math.isfinite(seconds)]
    figure, axes = plt.subplots(figsize=(5, 3.2))
    axes.loglog(*zip(*sizes, strict=True), "o-", label="best rate of each size")
    best = one["best"]["seconds"]
    for number, ((size, _), regret) in enumerate(zip(one["advised"], one["regret"], strict=True)):
        if math.isfinite(regret):
            label = "advised" if number == 0 else None
            axes.loglog([size], [regret * best], "r^", label=label)
    axes.set(xlabel="batch size", ylabel="seconds to the target", title=one["problem"])
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
