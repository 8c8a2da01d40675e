"""The problems whose sweep shows whether the advice is right."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems import TASKS, Task, find_table
from descend.data.prepare import prepare
from descend.data.rows.store import MemoryStore, RowStore
from descend.settings import Settings
from descend.training.build import problem_of, resolve_task
from descend.training.losses import LOSSES
from descend.training.network.models import Inputs, mlp
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.types import Array

HIDDEN = (128, 64)
NETWORK: dict[str, Any] = {"model": "mlp", "optimizer": "momentum", "schedule": "constant"}
"""Settings of the tables: training at a constant rate can be compared at any of its losses."""
POWERS = (64, 256, 16, 1024, 32, 128, 512, 4, 4096, 8, 2048, 2, 8192, 1, 16384)
"""Batch sizes of a sweep, those first whose times bound the others."""
STORE_ROWS = 3_000_000
"""Rows of the table on disk: more than 800 MiB of memory leave room for."""
FIRST, LATER, HELD_OUT = "first", "added later", "held out"
"""Groups of problems, by what was chosen with them in sight."""
QUADRATIC = (200, 20_000)
"""Dimensions and rows of the noisy quadratic."""


@dataclass(frozen=True)
class Case:
    """A problem of the sweep.

    Attributes:
        name: as in the results.
        load: makes it from the folder with the tables; None where its table is not there.
        sizes: batch sizes of the sweep, in their order; fewer where a cell takes a minute.
        beyond: rates that must be worse on either side of the best.
        ends: seeds for which runs go to their end.
        longest: most seconds of updates in a run.
        fresh: seeds with which the best settings of the sweep and the advised ones are compared.
        target_seeds: seeds that have to reach the target; several where, of so few rows, one seed
            ends at losses that another never sees.
        group: of the first problems; added when the first choices had been made (those of now were
            made with both in sight); or held out: no rule was chosen on it.
        optimizer: the update rule of the problem.
    """

    name: str
    load: Callable[[Path | None], Problem | None]
    sizes: tuple[int, ...] = POWERS
    beyond: int = 2
    ends: int = 3
    longest: float = 40.0
    fresh: int = 9
    target_seeds: int = 1
    group: str = FIRST
    optimizer: str = "momentum"

    def with_optimizer(self, problem: Problem, name: str) -> Problem:
        """The same with another update rule."""
        return dataclasses.replace(problem, optimizer=make_optimizer(Settings("y", optimizer=name)))


def small(problem: Problem, rows: int) -> Problem:
    """The same with fewer training rows."""
    if len(problem.store) <= rows:
        return problem
    batch = problem.store.gather(np.arange(rows, dtype=np.int64))
    store = MemoryStore(batch.x, batch.y, batch.weight)
    return dataclasses.replace(problem, store=store)


def table_case(task: Task, **options: Any) -> Callable[[Path | None], Problem | None]:
    def load(folder: Path | None) -> Problem | None:
        path = find_table(task.table, folder)
        if path is None:
            return None
        return from_table(
            str(path), Settings(task.target, exclude=task.exclude, **NETWORK | options)
        )

    return load


def from_table(source: Any, settings: Settings) -> Problem:
    prepared = prepare(source, settings)
    return problem_of(resolve_task(settings, prepared.schema), prepared)


def _friedman(folder: Path | None) -> Problem:
    """10 sin(π x0 x1) + 20 (x2 − ½)² + 10 x3 + 5 x4 + noise (Friedman 1991, section 4.3)."""
    import pandas as pd

    random = np.random.default_rng(0)
    x = random.random((30_000, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y += 10 * x[:, 3] + 5 * x[:, 4] + random.standard_normal(len(x))
    columns = {f"x{number}": column for number, column in enumerate(x.T)}
    return from_table(pd.DataFrame({**columns, "y": y}), Settings("y", **NETWORK))


def _images(name: str) -> Callable[[Path | None], Problem | None]:
    def load(folder: Path | None) -> Problem | None:
        path = folder / f"{name}.npz" if folder else None
        return None if path is None or not path.exists() else _image_problem(path)

    return load


def _image_problem(path: Path) -> Problem:
    arrays = np.load(path)
    pixels = arrays["x_train"].reshape(len(arrays["x_train"]), -1) / np.float32(255.0)
    labels = arrays["y_train"].astype(np.int32)
    held_out = np.random.default_rng(0).random(len(labels)) < 0.1
    network = mlp(Inputs(pixels.shape[1], ()), [0.0] * 10, HIDDEN)
    return Problem(
        store=rows_in_memory(pixels[~held_out], labels[~held_out]),
        validation=rows_in_memory(pixels[held_out], labels[held_out]),
        init=network.init,
        apply=network.apply,
        per_example=LOSSES["cross_entropy"].per_example,
        optimizer=make_optimizer(Settings("y", optimizer="momentum")),
        averaging=True,
        rising=True,
    )


def noisy_quadratic(dimensions: int, rows: int, seed: int = 0) -> Problem:
    """½ Σ h_i (θ_i − z_i)² with h_i = 1/i and rows z whose gradients have variance c_i = 1/i.

    Args:
        dimensions: of θ, which begins at ones.
        rows: drawn with the seed.
        seed: of the rows and of their order.
    """
    curvature = 1.0 / np.arange(1, dimensions + 1)
    random = np.random.default_rng(seed)
    z = random.standard_normal((rows, dimensions)) / np.sqrt(curvature)
    z -= z.mean(axis=0)
    weights = jnp.asarray(curvature, jnp.float32)

    def apply(params: Array, x: Mapping[str, Array]) -> Array:
        return params - x["numeric"]

    def loss(outputs: Array, y: Array) -> Array:
        return 0.5 * jnp.sum(weights * jnp.square(outputs), axis=-1)

    nothing = np.zeros((1, dimensions))
    return Problem(
        store=rows_in_memory(z, np.zeros((rows, 1), np.float32)),
        validation=rows_in_memory(nothing, np.zeros((1, 1), np.float32)),
        init=lambda key: jnp.ones(dimensions, jnp.float32),
        apply=apply,
        per_example=loss,
        optimizer=make_optimizer(Settings("y", optimizer="sgd")),
        seed=seed,
        averaging=True,
        rising=True,
    )


def teacher(
    rows: int,
    columns: int,
    hidden: tuple[int, ...],
    *,
    noise: float = 0.1,
    positive: float | None = None,
) -> Callable[[Path | None], Problem]:
    """A table made by a random network, and a network that learns it.

    Args:
        rows: training rows; a tenth as many validate, at most 20,000.
        columns: inputs.
        hidden: units of the network that learns.
        noise: deviation of what is added to the target, whose own deviation is 1.
        positive: fraction of the rows in the second of two classes; None: regression.
    """

    def load(folder: Path | None) -> Problem:
        random = np.random.default_rng(0)
        held_out = min(20_000, max(100, rows // 10))
        x = random.standard_normal((rows + held_out, columns), dtype=np.float32)
        first = random.standard_normal((columns, 32)).astype(np.float32) / np.sqrt(columns)
        second = random.standard_normal((32, 1)).astype(np.float32)
        y = np.tanh(2.0 * x @ first) @ second
        y = (y - y.mean()) / y.std()
        y += noise * random.standard_normal(y.shape).astype(np.float32)
        loss, target = "squared_error", y
        if positive is not None:
            loss = "cross_entropy"
            target = (y[:, 0] > np.quantile(y, 1.0 - positive)).astype(np.int32)
        network = mlp(Inputs(columns, ()), [0.0], hidden)
        return Problem(
            store=rows_in_memory(x[:rows], target[:rows]),
            validation=rows_in_memory(x[rows:], target[rows:]),
            init=network.init,
            apply=network.apply,
            per_example=LOSSES[loss].per_example,
            optimizer=make_optimizer(Settings("y", optimizer="momentum")),
            averaging=True,
            rising=True,
        )

    return load


def _linear_from_store(folder: Path | None) -> Problem:
    """A linear model on a table that is read from a disk in windows."""
    import tempfile

    import pandas as pd

    random = np.random.default_rng(0)
    x = random.standard_normal((STORE_ROWS, 30), dtype=np.float32)
    y = x @ random.standard_normal(30).astype(np.float32) + random.standard_normal(len(x))
    columns = {f"x{number}": column for number, column in enumerate(x.T)}
    path = Path(tempfile.mkdtemp()) / "rows.parquet"
    pd.DataFrame({**columns, "y": y}).to_parquet(path, row_group_size=50_000)
    return from_table(str(path), Settings("y", **NETWORK | {"model": "linear"}, memory=800 << 20))


def _convolutional(name: str) -> Callable[[Path | None], Problem | None]:
    """The images of a data set, learned by a small convolutional network."""

    def load(folder: Path | None) -> Problem | None:
        path = folder / f"{name}.npz" if folder else None
        if path is None or not path.exists():
            return None
        plain = _image_problem(path)

        def init(seed: int) -> Any:
            random = np.random.default_rng(seed)

            def normal(*shape: int) -> np.ndarray:
                scale = np.sqrt(2.0 / np.prod(shape[:-1]))
                return (scale * random.standard_normal(shape)).astype(np.float32)

            return {
                "first": normal(3, 3, 1, 16),
                "second": normal(3, 3, 16, 32),
                "last": np.zeros((7 * 7 * 32, 10), np.float32),
                "bias": np.zeros(10, np.float32),
            }

        def apply(params: Any, x: Mapping[str, Array]) -> Array:
            values = x["numeric"].reshape(-1, 28, 28, 1)
            for kernel in (params["first"], params["second"]):
                values = jax.nn.relu(
                    jax.lax.conv_general_dilated(
                        values, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                    )
                )
            return values.reshape(len(values), -1) @ params["last"] + params["bias"]

        return dataclasses.replace(plain, init=init, apply=apply)

    return load


def rows_in_memory(x: np.ndarray, y: np.ndarray) -> RowStore:
    category = np.zeros((len(x), 0), np.int32)
    numeric = np.asarray(x, np.float32)
    return MemoryStore({"numeric": numeric, "category": category}, y, np.ones(len(x), np.float32))


COARSE = (64, 256, 16, 1024, 32, 128, 512, 4)
"""Where a cell takes a minute."""
LARGE = (64, 256, 1024, 4096, 16384)
"""Where an epoch takes a minute at small batch sizes."""
DENSE = (64, 256, 16, 128, 32, 512, 1024)
"""Where an update of any size takes milliseconds."""
CASES = (
    Case("bike", table_case(TASKS["bike"])),
    Case("diamonds", table_case(TASKS["diamonds"])),
    Case("adult", table_case(TASKS["adult"])),
    Case("flights", table_case(TASKS["flights"]), (64, 256, 128, 32, 512, 1024, 16), 1, 1, fresh=3),
    Case("fashion", _images("fashion_mnist"), COARSE, 1, 2, fresh=3),
    Case("linear", table_case(TASKS["diamonds"], model="linear")),
    Case("quadratic", lambda folder: noisy_quadratic(*QUADRATIC), optimizer="sgd"),
    Case("mnist", _images("mnist"), COARSE, 1, 2, fresh=3, group=LATER),
    Case("cut", table_case(Task("diamonds", "cut", classification=True)), group=LATER),
    Case("friedman", _friedman, group=LATER),
    # Problems whose best batch size is far from 128, added later.
    Case(
        "wide",
        teacher(50_000, 100, (1024, 1024)),
        DENSE,
        1,
        1,
        longest=20.0,
        fresh=3,
        group=LATER,
    ),
    Case(
        "millions", teacher(3_000_000, 20, (64,)), LARGE, 1, 1, longest=20.0, fresh=3, group=LATER
    ),
    Case("tiny", teacher(500, 10, HIDDEN), target_seeds=3, group=LATER),
    Case(
        "imbalanced",
        teacher(100_000, 20, HIDDEN, positive=0.01),
        COARSE,
        target_seeds=3,
        group=LATER,
    ),
    Case(
        "noisy",
        teacher(100_000, 20, HIDDEN, noise=3.0),
        COARSE,
        target_seeds=3,
        group=LATER,
    ),
    Case("store", _linear_from_store, LARGE, 1, 1, longest=20.0, fresh=3, group=LATER),
    Case(
        "convolutional",
        _convolutional("fashion_mnist"),
        DENSE,
        1,
        1,
        longest=20.0,
        fresh=3,
        group=LATER,
    ),
)
