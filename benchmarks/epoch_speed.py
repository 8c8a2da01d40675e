"""How long is an epoch? `descend` against a hand-written scan and the usual libraries.

A network 90-128-64-1 (relu) and a linear model, squared error, momentum 0.9, on 100,000 × 90
float32 numbers in memory. An epoch is all of it: order, gathering, updates, history. Compiling
is left out (see `start_up.py`). `descend` also evaluates 1,000 validation rows once an epoch; the
peers do not. The linear model of SGDRegressor always makes one update a row, without momentum.

A library that pays its interpreter for every update is timed on part of an epoch at small batch
sizes, at least `FEWEST_UPDATES` updates, and scaled up.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks import measure, peers
from benchmarks.measure import Apart, Candidate
from benchmarks.problems import Problem, linear_table, made_table

if TYPE_CHECKING:
    from descend.training.problem import Problem as Training

SIZES = (1, 8, 32, 128, 1000, 100_000)
FEWEST_UPDATES = 2000
VALIDATION_ROWS = 1000
SCAN_AT_MOST = 1.10
OTHERS_AT_LEAST = {
    "mlp": {1: 25.0, 8: 9.0, 32: 5.0, 128: 3.0, 1000: 1.7},
    "linear": {1: 1.0, 32: 3.0, 128: 3.0, 1000: 3.0, 100_000: 3.0},
}
"""Times that `descend` is to be faster: than the fastest other; for linear, than SGDRegressor."""

PROFILES = (
    "Where the time goes, and what stands between this and a bound that is missed: "
    "update_profile.md and epoch_profile.md here, docs/decisions/updates-in-one-program.md."
)

DESCEND, SCAN, SGD = "descend", "JAX scan by hand", "scikit-learn SGD"
LIBRARIES: dict[str, peers.Peer] = {
    "PyTorch DataLoader": peers.torch_loader,
    "PyTorch slices": peers.torch_slices,
    "scikit-learn MLP": peers.sklearn_mlp,
    SGD: peers.sklearn_sgd,
    "Keras on JAX": peers.keras_jax,
}
ENTRANTS = {
    "mlp": (DESCEND, SCAN, *(name for name in LIBRARIES if name != SGD)),
    "linear": (DESCEND, SCAN, *(name for name in LIBRARIES if name != "scikit-learn MLP")),
}


def training_of(problem: Problem) -> Training:
    """The problem as `descend` has it, validated on its first rows."""
    import numpy as np

    from descend.data.rows.store import MemoryStore
    from descend.settings import Settings
    from descend.training.jax_setup import set_up
    from descend.training.losses import LOSSES
    from descend.training.network.models import Inputs, linear, mlp
    from descend.training.optimizers import make_optimizer
    from descend.training.problem import Problem as Training

    def store(rows: slice) -> MemoryStore:
        x = problem.x[rows]
        return MemoryStore({"numeric": x}, problem.y[rows], np.ones(len(x), np.float32))

    set_up()
    inputs = Inputs(problem.x.shape[1], ())
    network = mlp(inputs, [0.0], problem.hidden) if problem.hidden else linear(inputs, [0.0])
    return Training(
        store=store(slice(None)),
        validation=store(slice(VALIDATION_ROWS)),
        init=network.init,
        apply=network.apply,
        per_example=LOSSES["squared_error"].per_example,
        optimizer=make_optimizer(
            Settings(target="y", optimizer="momentum", momentum=problem.momentum)
        ),
        averaging=True,
        one_kernel=not problem.hidden,
    )


def descend_epochs(problem: Problem, batch_size: int, epochs: int) -> peers.Epoch:
    """`epochs` epochs of one `fit`, going on from where the last call ended."""
    from descend.training.loop import fit
    from descend.training.stopping_state import Limits

    training = training_of(problem)
    run = training.loop_config(batch_size, problem.learning_rate)
    loop = training.begin()

    def epoch() -> object:
        nonlocal loop
        limits = Limits(patience=10**9, epochs=loop.position.epoch + epochs)
        loop, _ = fit(dataclasses.replace(run, limits=limits), loop)
        return loop.state.params

    return epoch


def candidate(name: str, model: str, batch_size: int) -> Candidate:
    """One side at one batch size, made in its own process."""
    problem = made_table() if model == "mlp" else linear_table()
    epochs = 2 if model == "mlp" else 10
    if name == DESCEND:
        return Candidate(name, descend_epochs(problem, batch_size, epochs), epochs)
    if name == SCAN:
        epoch = peers.jax_scan(problem, batch_size)
        return Candidate(name, lambda: [epoch() for _ in range(epochs)][-1], epochs)
    if name == SGD:
        return Candidate(name, peers.sklearn_sgd(problem, 1))
    rows = len(problem.x)
    part = min(rows, FEWEST_UPDATES * batch_size)
    small = dataclasses.replace(problem, x=problem.x[:part], y=problem.y[:part])
    return Candidate(name, LIBRARIES[name](small, batch_size), part / rows)


def measured(
    model: str, sizes: Sequence[int], apart: Sequence[Apart], repeats: int
) -> list[dict[str, Any]]:
    """A record for each batch size: seconds of everyone, and the ratios that have a target."""
    records = []
    for batch_size in sizes:
        missing, ready = [], []
        for one in apart:
            why = one.prepare(functools.partial(candidate, one.name, model, batch_size))
            if why is None:
                ready.append(one)
            else:
                missing.append(f"{one.name}: not measured ({why})")
        seconds = measure.seconds_each(ready, repeats)
        line: dict[str, Any] = {
            "model": model,
            "batch_size": batch_size,
            "seconds": {name: measure.spread(s).as_json() for name, s in seconds.items()},
            "missing": missing,
        }
        if DESCEND in seconds:
            line |= _ratios(model, batch_size, seconds)
        records.append(line)
        print(_progress(line), flush=True)
    return records


def _ratios(model: str, batch_size: int, seconds: dict[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if SCAN in seconds:
        against_scan = measure.ratio(seconds[DESCEND], seconds[SCAN])
        found["over_scan"] = against_scan.as_json() | {"at_most": SCAN_AT_MOST}
    counted = (SGD,) if model == "linear" else tuple(LIBRARIES)
    others = {name: s for name, s in seconds.items() if name in counted}
    if others:
        fastest = min(others, key=lambda name: measure.spread(others[name]).median)
        against = measure.ratio(others[fastest], seconds[DESCEND])
        target = OTHERS_AT_LEAST[model].get(batch_size)
        found["faster"] = against.as_json() | {"than": fastest, "at_least": target}
    return found


def report(records: Sequence[dict[str, Any]]) -> str:
    """The records as tables, one for each model."""
    texts = []
    for model in dict.fromkeys(line["model"] for line in records):
        lines = [line for line in records if line["model"] == model]
        names = list(dict.fromkeys(name for line in lines for name in line["seconds"]))
        rows = [
            [
                line["batch_size"],
                *(
                    f"{line['seconds'][n]['median']:.4g}" if n in line["seconds"] else ""
                    for n in names
                ),
                _shown(line.get("over_scan"), "at_most"),
                _shown(line.get("faster"), "at_least"),
            ]
            for line in lines
        ]
        heads = ["batch size", *names, "descend / scan", "fastest other / descend"]
        missing = sorted({text for line in lines for text in line["missing"]})
        texts.append(
            "\n".join([f"Seconds for an epoch, {model}:\n", measure.table(heads, rows), *missing])
        )
    return "\n\n".join([*texts, PROFILES])


def _shown(ratio: dict[str, Any] | None, bound: str) -> str:
    if ratio is None:
        return ""
    text = f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})"
    if ratio[bound] is None:
        return text
    met = ratio["median"] <= ratio[bound] if bound == "at_most" else ratio["median"] >= ratio[bound]
    return f"{text}, wanted {bound.replace('_', ' ')} {ratio[bound]:g}{'' if met else ': MISSED'}"


def _progress(line: dict[str, Any]) -> str:
    parts = [f"{name} {s['median']:.3g} s" for name, s in line["seconds"].items()]
    return f"{line['model']}, batch size {line['batch_size']}: " + ", ".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks epoch_speed", description=__doc__)
    parser.add_argument("--models", default="mlp,linear")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--peers", help="names, separated by commas; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sizes.split(",")]
    records = []
    for model in options.models.split(","):
        names = options.peers.split(",") if options.peers else ENTRANTS[model]
        apart = [Apart(name) for name in names]
        records += measured(model, sizes, apart, options.repeats)
        for one in apart:
            one.close()
    facts = {"rows": 100_000, "columns": 90, "repeats": options.repeats, "measured": records}
    measure.record("epoch_speed", report(records), facts, save=not options.no_save)


if __name__ == "__main__":
    main()
