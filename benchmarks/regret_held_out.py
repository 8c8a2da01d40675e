"""Problems of the regret that no rule of the advice was chosen on.

Each differs in kind from those that the rules were chosen on: a table of measured numbers with much
noise, classes under another update rule, directions scaled so differently that training takes long,
columns of many values of which a batch holds few, and a convolutional network over time. When a
rule is changed after a look at one of them, that one belongs to the others from then on: so it is
with `scaled`, on which the advice had been 4.4 times as slow as the best of the sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems import TASKS
from benchmarks.regret_cases import (
    HELD_OUT,
    LATER,
    NETWORK,
    Case,
    from_table,
    rows_in_memory,
    table_case,
)
from descend.settings import Settings
from descend.training.losses import LOSSES
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.types import Array

SIZES = (64, 256, 16, 1024, 32, 128, 512, 8)
SCALES = (1.0, 0.03)
"""Deviations of the inputs along the first and the last direction."""
STEPS, MOTIF = 48, 8
"""Length of a series, and of what tells its class."""


def scaled_directions(folder: Path | None = None, rows: int = 50_000) -> Problem:
    """Logistic regression whose curvature differs by a factor of 1,000 between directions.

    Every direction says as much about the class as any other.
    """
    random = np.random.default_rng(1)
    scales = np.geomspace(*SCALES, 40)
    turned, _ = np.linalg.qr(random.standard_normal((len(scales), len(scales))))
    held_out = rows // 10
    along = random.standard_normal((rows + held_out, len(scales)))
    logits = along @ random.choice((-0.5, 0.5), len(scales))
    y = (random.random(len(along)) < 1.0 / (1.0 + np.exp(-logits))).astype(np.int32)
    x = (along * scales) @ turned

    def apply(params: Any, inputs: Mapping[str, Array]) -> Array:
        return inputs["numeric"] @ params["slope"] + params["bias"]

    return Problem(
        store=rows_in_memory(x[:rows], y[:rows]),
        validation=rows_in_memory(x[rows:], y[rows:]),
        init=lambda seed: {
            "slope": np.zeros((len(scales), 1), np.float32),
            "bias": np.zeros(1, np.float32),
        },
        apply=apply,
        per_example=LOSSES["cross_entropy"].per_example,
        optimizer=make_optimizer(Settings("y", optimizer="momentum")),
        averaging=True,
        rising=True,
    )


def ratings(folder: Path | None = None, rows: int = 150_000) -> Problem:
    """What 2,000 people think of 500 things: two columns of names, four tastes, and noise."""
    import pandas as pd

    random = np.random.default_rng(2)
    person, thing = random.integers(2_000, size=rows), random.integers(500, size=rows)
    tastes, kinds = random.standard_normal((2_000, 4)), random.standard_normal((500, 4))
    y = 0.5 * np.sum(tastes[person] * kinds[thing], axis=1)
    y += random.standard_normal(2_000)[person] + random.standard_normal(500)[thing]
    y += random.standard_normal(rows)
    names = {"person": [f"p{one}" for one in person], "thing": [f"t{one}" for one in thing]}
    return from_table(pd.DataFrame({**names, "y": y}), Settings("y", **NETWORK))


def series(folder: Path | None = None, rows: int = 20_000) -> Problem:
    """Series of noise that hold one of four motifs somewhere, and a network of convolutions."""
    random = np.random.default_rng(3)
    held_out = rows // 10
    motifs = random.standard_normal((4, MOTIF))
    y = random.integers(4, size=rows + held_out).astype(np.int32)
    x = random.standard_normal((len(y), STEPS))
    places = random.integers(STEPS - MOTIF, size=len(y))[:, None] + np.arange(MOTIF)
    x[np.arange(len(y))[:, None], places] += motifs[y]

    def init(seed: int) -> Any:
        drawn = np.random.default_rng(seed)

        def normal(*shape: int) -> np.ndarray:
            scale = np.sqrt(2.0 / np.prod(shape[:-1]))
            return (scale * drawn.standard_normal(shape)).astype(np.float32)

        return {
            "first": normal(MOTIF, 1, 16),
            "second": normal(3, 16, 32),
            "last": np.zeros((32, 4), np.float32),
            "bias": np.zeros(4, np.float32),
        }

    def apply(params: Any, inputs: Mapping[str, Array]) -> Array:
        values = inputs["numeric"][:, :, None]
        for kernel, stride in ((params["first"], 1), (params["second"], 2)):
            convolved = jax.lax.conv_general_dilated(
                values, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
            )
            values = jax.nn.relu(convolved)
        return jnp.max(values, axis=1) @ params["last"] + params["bias"]

    plain = scaled_directions(rows=100)
    return dataclasses.replace(
        plain,
        store=rows_in_memory(x[:rows], y[:rows]),
        validation=rows_in_memory(x[rows:], y[rows:]),
        init=init,
        apply=apply,
    )


def _held_out(name: str, load: Callable[[Path | None], Problem | None], **options: str) -> Case:
    return Case(name, load, SIZES, 1, 1, longest=2.0, fresh=5, **{"group": HELD_OUT} | options)


HELD_OUT_CASES = (
    _held_out("scaled", scaled_directions, group=LATER),
    _held_out("protein", table_case(TASKS["protein"])),
    _held_out("series", series),
    _held_out("ratings", ratings),
    _held_out("employment", table_case(TASKS["employment"], optimizer="adam"), optimizer="adam"),
)
