"""The problems that the benchmarks share: made tables, solvable models, and real tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SHIPPED = Path(__file__).parent.parent / "examples" / "data"


@dataclass(frozen=True)
class Problem:
    """A table in memory and what is trained on it, squared error and momentum throughout.

    Attributes:
        x: inputs `[N, d]`.
        y: target `[N, 1]`.
        hidden: units of the hidden layers; none for a linear model.
        learning_rate: small enough for every batch size.
        momentum: of the update rule.
    """

    x: Floats
    y: Floats
    hidden: tuple[int, ...] = ()
    learning_rate: float = 1e-3
    momentum: float = 0.9


def made_table(
    rows: int = 100_000, columns: int = 90, hidden: tuple[int, ...] = (128, 64), seed: int = 0
) -> Problem:
    """A smooth function of all columns plus noise, inputs and target of about unit size."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, columns), dtype=np.float32)
    direction = random.standard_normal((columns, 1), dtype=np.float32) / np.sqrt(columns)
    noise = random.standard_normal((rows, 1), dtype=np.float32)
    y = np.tanh(x @ direction) + 0.1 * noise
    return Problem(x, y.astype(np.float32), hidden)


def linear_table(rows: int = 100_000, columns: int = 90, seed: int = 0) -> Problem:
    """A linear function of all columns plus noise, for the linear model."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, columns), dtype=np.float32)
    slope = random.standard_normal((columns, 1), dtype=np.float32) / np.sqrt(columns)
    y = x @ slope + 0.1 * random.standard_normal((rows, 1), dtype=np.float32)
    return Problem(x, y.astype(np.float32))


def interpolating_table(rows: int = 4096, columns: int = 64, seed: int = 0) -> Problem:
    """Least squares that some line solves exactly; column i has variance 1/i.

    Every row's loss is 0 at the solution, so the gradient noise vanishes there (Ma, Bassily &
    Belkin 2018, arXiv 1712.06559).
    """
    random = np.random.default_rng(seed)
    scale = 1.0 / np.sqrt(np.arange(1, columns + 1))
    x = (random.standard_normal((rows, columns)) * scale).astype(np.float32)
    slope = random.standard_normal((columns, 1)).astype(np.float32)
    return Problem(x, x @ slope)


class NoisyQuadratic(NamedTuple):
    """loss(θ) = ½ Σ h_i θ_i², its gradient at batch size B scattered with variance c_i / B.

    Attributes:
        curvature: h `[d]`.
        noise: c `[d]`.
        start: θ at the beginning `[d]`.
    """

    curvature: Doubles
    noise: Doubles
    start: Doubles


def noisy_quadratic(dimensions: int = 10_000) -> NoisyQuadratic:
    """h_i = c_i = 1/i, starting from ones (Zhang et al. 2019, arXiv 1907.04164, section 3)."""
    curvature = 1.0 / np.arange(1, dimensions + 1)
    return NoisyQuadratic(curvature, curvature, np.ones(dimensions))


def quadratic_gradient(
    problem: NoisyQuadratic, theta: Doubles, batch_size: int, random: np.random.Generator
) -> Doubles:
    """One draw of the mini-batch gradient, h·θ + √(c/B)·ξ."""
    scatter = np.sqrt(problem.noise / batch_size) * random.standard_normal(len(theta))
    return problem.curvature * theta + scatter


def expected_loss(
    problem: NoisyQuadratic, learning_rate: float, batch_size: int, updates: int
) -> float:
    """E loss after `updates` of plain SGD, in closed form.

    E θ_i² = q^t θ_i² + η² c/B · (1 − q^t)/(1 − q) with q = (1 − ηh)².
    """
    shrink = (1.0 - learning_rate * problem.curvature) ** 2
    power = shrink**updates
    floor = learning_rate**2 * problem.noise / batch_size / (1.0 - shrink)
    squares = power * problem.start**2 + (1.0 - power) * floor
    return float(0.5 * np.sum(problem.curvature * squares))


@dataclass(frozen=True)
class Task:
    """A real table and the question asked of it.

    Attributes:
        table: name of the file, its ending left out.
        target: the column to predict.
        exclude: columns that would give the answer away, or are row numbers.
        exclude_peer: columns that one-hot coding cannot use, left out for the peer only.
        classification: labels rather than numbers.
    """

    table: str
    target: str
    exclude: tuple[str, ...] = ()
    exclude_peer: tuple[str, ...] = ()
    classification: bool = False


_FLIGHTS_PEER = ("time_hour", "tailnum", "year")
_LANDED = (
    *("DepTime", "ArrTime", "ActualElapsedTime", "AirTime", "TaxiIn"),
    *("Cancelled", "CancellationCode", "Diverted", "TailNum"),
)
_PAID = (
    *("fare_amount", "total_amount", "tip_amount", "dropoff_datetime", "extra", "tolls_amount"),
)
TASKS: dict[str, Task] = {
    "bike": Task("bike_sharing", "cnt", ("instant", "casual", "registered"), ("dteday",)),
    "flights": Task("flights", "arr_delay", ("arr_time", "air_time"), _FLIGHTS_PEER),
    "flights-booked": Task(
        "flights", "arr_delay", ("arr_time", "air_time", "dep_time", "dep_delay"), _FLIGHTS_PEER
    ),
    "diamonds": Task("diamonds", "price"),
    "adult": Task("adult", "income", ("split",), classification=True),
    "hflights": Task("hflights", "ArrDelay", _LANDED),
    "taxi": Task("nyc_taxi", "trip_distance", _PAID),
    "elevators": Task("elevators", "y"),
    "protein": Task("protein", "y"),
    "kegg": Task("keggundirected", "y"),
    "sml": Task("sml", "y"),
    "employment": Task("acs_employment_ma", "employed", ("id", "year"), classification=True),
}
"""`flights` is asked when the door closes, `flights-booked` when the ticket is bought."""


def find_table(name: str, folder: Path | None = None) -> Path | None:
    """The file of a table, among those shipped or in `folder`; None where it is not there."""
    for place in (SHIPPED, folder):
        for ending in ("parquet", "csv", "csv.gz"):
            if place and (path := place / f"{name}.{ending}").exists():
                return path
    return None


def read_frame(task: Task, path: Path) -> pd.DataFrame:
    """The rows of a task whose target is known, columns that are left out for all gone."""
    import pandas as pd

    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    frame = frame.drop(columns=list(task.exclude)).dropna(subset=[task.target])
    return frame.reset_index(drop=True)


def held_out(rows: int, seed: int, part: float = 0.2) -> npt.NDArray[np.bool_]:
    """True for the random fifth that is held out."""
    mask = np.zeros(rows, dtype=bool)
    mask[np.random.default_rng(seed).permutation(rows)[: round(rows * part)]] = True
    return mask
