"""Records of comparisons and landscapes as the commands write them, made up."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from descend.commands.compare import table_of
from descend.tuning.compare.claims import claims

KINDS = {"full": 15_000, "mini": 64, "stochastic": 1}
PACE = {"full": 30.0, "mini": 2.0, "stochastic": 8.0}


def run_record(**changed: Any) -> dict[str, Any]:
    """The record of a run that has just begun; some parts changed."""
    rows = {"training": 90, "validation": 10, "total": 100}
    data = {"source": "a.csv", "fingerprint": {}, "rows": rows, "columns": []}
    data["layout"] = {"stored": False, "windows": None}
    settings = {"target": "y", "batch_size": 8, "learning_rate": 0.1, "optimizer": "sgd"}
    record = {"descend": "0.1.0", "state": "running", "asked": {"target": "y"}, "data": data}
    return {**record, "settings": settings, **changed}


def compare_record(text: str = "cnt") -> dict[str, Any]:
    """A comparison of the six basic methods; all names in it are the text."""
    random = np.random.default_rng(0)
    runs = [
        _run(text, family, rule, panel, seed, random)
        for panel, family, rule, seed in itertools.product(
            ("tuned", "same"), KINDS, ("sgd", "momentum"), range(3)
        )
    ]
    return {
        "kind": "compare",
        "descend": "0.1.0",
        "settings": {"target": text},
        "data": {
            "source": f"{text}.csv",
            "rows": {"training": 15_000, "validation": 1_500, "total": 16_500},
        },
        "own": {},
        "seeds": 3,
        "budget": 2.0,
        "same_rate": 0.1,
        "tuning": [
            {
                "method": runs[0]["method"]["name"],
                "learning_rate": 0.1,
                "trials": [
                    {"learning_rate": 0.1, "updates": 10, "loss": 0.5},
                    {"learning_rate": 1.0, "updates": 10, "loss": None},
                ],
            }
        ],
        "runs": runs,
        "table": table_of(runs),
        "claims": claims(runs),
    }


def landscape_record(text: str = "valley") -> dict[str, Any]:
    """A surface with two paths, and how its shallow minimum is left."""
    x = np.linspace(-2.0, 2.0, 15)
    path = [[2.0 * 0.8**step, -1.5 * 0.9**step] for step in range(20)]
    losses = [float(np.sum(np.square(point))) for point in path]
    left = [
        {"rule": text, "batch_size": size, "learning_rate": rate, "left": 0.5, "runs": 8}
        for size in (4, 16)
        for rate in (0.05, 0.1)
    ]
    escapes = [{**one, "time": 10.0 * one["batch_size"] / one["learning_rate"]} for one in left]
    return {
        "kind": "landscape",
        "descend": "0.1.0",
        "of": "surface",
        "name": text,
        "title": text,
        "rows": 100,
        "lowest": 0.5,
        "updates": 19,
        "rates": [0.1, 0.2],
        "grid": {
            "x": x.tolist(),
            "y": x.tolist(),
            "loss": np.add.outer(x**2, x**2).tolist(),
        },
        "paths": [
            {
                "method": f"{text} {number}",
                "points": path,
                "losses": [0.5 + loss for loss in losses],
                "updates": list(range(20)),
                "rows_read": 100,
                "learning_rate": 0.1,
                "trials": [1.5, None],
            }
            for number in range(6)
        ],
        "escapes": escapes,
        "escape_law": {"slope": 0.02, "intercept": 1.0, "explained": 0.99, "apart": 1.1},
        "left": left,
        "left_time": 60,
    }


def _run(
    text: str, family: str, rule: str, panel: str, seed: int, random: np.random.Generator
) -> dict[str, Any]:
    seconds = np.linspace(0.0, 2.0, 30)
    pace = PACE[family] * (1.0 if rule == "sgd" else 0.5)
    losses = np.exp(-3.0 * seconds / pace) + 0.01 * random.uniform(size=30)
    updates = np.arange(30) * 100
    came = bool(losses.min() < 0.1)
    size = KINDS[family]
    return {
        "method": {
            "name": f"{family}-{rule}",
            "title": f"{text} {family} {rule}",
            "family": family,
            "optimizer": rule,
            "batch_size": size,
            "advised": family == "mini",
            "basic": True,
        },
        "panel": panel,
        "seed": seed,
        "learning_rate": 0.1,
        "outcome": "TIME_BUDGET",
        "rescues": 0,
        "measures": {
            "target": 0.1,
            "best": float(losses.min()),
            "updates_to_target": 1500.0 if came else None,
            "epochs_to_target": 1500.0 * size / 15_000 if came else None,
            "seconds_to_target": pace * (1.0 + 0.1 * seed) if came else None,
            "seconds": 2.0,
            "deviation_at_start": 0.0 if family == "full" else 5.0 / size**0.5,
            "deviation_at_start_error": 0.0 if family == "full" else 0.05,
            "deviation_when_trained": 0.0 if family == "full" else 50.0 / size**0.5,
            "deviation_when_trained_error": 0.0 if family == "full" else 0.05,
            "gradients_drawn": 1 if family == "full" else 100,
            "roughness": 0.01 * (1.0 + seed),
            "rows_per_second": 1e6,
            "memory": 1e5 * size,
        },
        "history": {
            "update": updates.tolist(),
            "epoch": (updates * size / 15_000).tolist(),
            "examples": (updates * size).tolist(),
            "seconds": seconds.tolist(),
            "train_loss": [None, *losses[1:].tolist()],
            "validation_loss": losses.tolist(),
        },
    }
