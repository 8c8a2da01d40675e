"""What does a fit of the estimators cost, against scikit-learn's and over the engine itself?

Equal work: the same rows, network, batch size and number of epochs, no validation, float32 for
every candidate. The engine's share is its own seconds of training: what `fit` takes beyond them
is checking, scaling, encoding and splitting.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor

from benchmarks import measure
from benchmarks.measure import Candidate
from descend import MiniBatchRegressor

OURS, THEIRS = "MiniBatchRegressor", "scikit-learn"
MOST_OVERHEAD = 0.05
HIDDEN = (128, 64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks estimators", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)
    random = np.random.default_rng(0)
    X = random.normal(size=(options.rows, options.columns)).astype(np.float32)
    y = (np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + random.normal(size=len(X))).astype(np.float32)
    cases = [("mlp", size) for size in (1, 32, 256)] + [("linear", 1), ("linear", 32)]
    lines, facts = [], []
    for model, size in cases:
        pair = [
            Candidate(OURS, lambda m=model, b=size: ours(m, b, options.epochs).fit(X, y)),
            Candidate(THEIRS, lambda m=model, b=size: theirs(m, b, options.epochs).fit(X, y)),
        ]
        seconds = measure.seconds_each(pair, options.repeats)
        over = measure.spread([overhead(ours(model, size, options.epochs), X, y) for _ in range(5)])
        faster = measure.ratio(seconds[THEIRS], seconds[OURS])
        note = "" if over.median < MOST_OVERHEAD else ": MISSED"
        peer = theirs(model, size, options.epochs)
        lines.append(
            [
                model,
                str(size),
                f"{measure.spread(seconds[OURS]).median:.3g} s",
                f"{type(peer).__name__} {measure.spread(seconds[THEIRS]).median:.3g} s",
                str(faster),
                f"{1000 * over.median:.0f} ms{note}",
            ]
        )
        facts.append(
            {
                "model": model,
                "batch_size": size,
                "peer": type(peer).__name__,
                "times_faster": faster.as_json(),
                "overhead_seconds": over.as_json(),
            }
        )
    heads = ["model", "batch", OURS, "peer", "times faster", "beyond the engine"]
    text = (
        f"fit on {options.rows:,} rows of {options.columns} numbers, {options.epochs} epochs, "
        f"compiled before; at most {1000 * MOST_OVERHEAD:.0f} ms beyond the engine:\n\n"
        + measure.table(heads, lines)
        + "\n\nSGDRegressor has no batch size: it always makes an update for each row."
    )
    measure.record(
        "estimators",
        text,
        {"rows": options.rows, "epochs": options.epochs, "cases": facts},
        save=not options.no_save,
    )


def ours(model: str, batch_size: int, epochs: int) -> MiniBatchRegressor:
    return MiniBatchRegressor(
        model,
        hidden=HIDDEN,
        batch_size=batch_size,
        learning_rate=1e-3,
        max_epochs=epochs,
        validation_fraction=0,
        patience=1000,
        random_state=0,
    )


def theirs(model: str, batch_size: int, epochs: int) -> Any:
    if model == "linear":
        return SGDRegressor(max_iter=epochs, tol=None, eta0=1e-3, random_state=0)
    return MLPRegressor(
        hidden_layer_sizes=HIDDEN,
        solver="sgd",
        batch_size=batch_size,
        learning_rate_init=1e-3,
        max_iter=epochs,
        n_iter_no_change=1000,
        random_state=0,
    )


def overhead(estimator: MiniBatchRegressor, X: Any, y: Any) -> float:
    """Seconds of a fit that the engine's loop does not account for."""
    from descend.sklearn import arrays

    inside = 0.0
    loop = arrays.run_in_memory

    def timed(*arguments: Any, **options: Any) -> Any:
        nonlocal inside
        started = time.perf_counter()
        result = loop(*arguments, **options)
        inside = time.perf_counter() - started
        return result

    arrays.run_in_memory = timed
    try:
        started = time.perf_counter()
        estimator.fit(X, y)
        return time.perf_counter() - started - inside
    finally:
        arrays.run_in_memory = loop


if __name__ == "__main__":
    main()
