"""What compare.json holds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from descend.runs.schemas.landscape import Grid
from descend.runs.schemas.parts import Count, Labelled, Number, Positive, Rows, Size, Value

CURVES = {"update", "epoch", "examples", "seconds", "validation_loss"}


class Method(Struct, kw_only=True):
    """A method of a comparison."""

    name: str
    title: str
    family: str
    optimizer: str
    batch_size: Size
    basic: bool


class ComparedRun(Struct, kw_only=True):
    """A run of a comparison."""

    panel: str
    seed: int
    method: Method
    history: dict[str, list[Number]]
    measures: dict[str, Number]

    def __post_init__(self) -> None:
        """Refuse curves that do not fit each other, and a run without its time."""
        lengths = {len(values) for values in self.history.values()}
        if not lengths or 0 in lengths or len(lengths) > 1 or not self.history.keys() >= CURVES:
            raise ValueError("a history has not one value of each kind at each evaluation")
        if not {"best", "seconds", "seconds_to_target"} <= self.measures.keys():
            raise ValueError("a run lacks measures")
        if self.measures["seconds"] is None:
            raise ValueError("a run lacks its seconds")


class Spread(Struct, kw_only=True):
    """A measure over the seeds."""

    median: float
    low: float
    high: float


class ComparedMethod(Struct, kw_only=True):
    """A line of a comparison's table."""

    panel: str
    method: Method
    learning_rate: Number
    runs: Size
    arrived: Count
    exploded: Count
    updates_to_target: Spread | None
    epochs_to_target: Spread | None
    seconds_to_target: Spread | None
    best: Spread | None
    deviation_at_start: Spread | None
    deviation_when_trained: Spread | None
    roughness: Spread | None
    rows_per_second: Spread | None
    memory: Spread | None

    def __post_init__(self) -> None:
        """Refuse arrivals without their time."""
        most = 2 * self.arrived > self.runs
        if self.arrived > self.runs or (most and self.seconds_to_target is None):
            raise ValueError("the runs that came to the target do not fit their times")


Verdict = Literal["held", "held in part", "did not hold", "little difference", "undetermined"]


class Ratio(Struct, kw_only=True):
    """A ratio that a claim is tested by."""

    part: str
    text: str
    value: Positive | None
    interval: tuple[Number, Number] | None
    verdict: Verdict


class Claim(Struct, kw_only=True):
    """A common claim and whether it held."""

    claim: str
    measured: str
    verdict: Verdict
    ratios: Annotated[list[Ratio], Meta(min_length=1)]


class Noise(Struct, kw_only=True):
    """How far gradients of batches of a size lie from the true one, at some weights."""

    rows: Size
    when: str
    deviation: Number
    error: Number
    draws: Count


class RateTrial(Struct, kw_only=True):
    """A trial of a learning rate."""

    learning_rate: Number
    updates: Count
    loss: Number


class TunedMethod(Struct, kw_only=True):
    """How the learning rate of a method was found."""

    method: str
    learning_rate: Number
    trials: list[RateTrial]


class ComparedData(Struct, kw_only=True):
    """The data of a comparison."""

    rows: Rows
    source: str | None = None


class PlayedPath(Struct, kw_only=True):
    """The path of a run over the plane: a value for each snapshot of its weights."""

    method: str
    batch_size: Size
    learning_rate: Number
    away: float | UnsetType = UNSET
    off: float | UnsetType = UNSET
    points: list[tuple[float, float]]
    losses: list[Number]
    updates: list[Count]
    examples: list[Count]
    seconds: list[float]


class Plane(Struct, kw_only=True):
    """The loss on a plane through the runs."""

    explained: float
    grid: Grid
    paths: Annotated[list[PlayedPath], Meta(min_length=1)]


class CompareRecord(Labelled, kw_only=True):
    """compare.json."""

    descend: str
    settings: dict[str, Value]
    data: ComparedData
    seeds: Count
    table: list[ComparedMethod]
    claims: list[Claim]
    runs: list[ComparedRun]
    tuning: list[TunedMethod]
    same_rate: Number | None
    roughness_relative_to: Literal["loss", "gain"] = "gain"
    budget: Positive | None = None
    noise: list[Noise] = field(default_factory=list)
    plane: Plane | None = None

    def __post_init__(self) -> None:
        """Refuse a table that does not fit the runs."""
        super().__post_init__()
        runs = {(run.panel, run.method.name) for run in self.runs}
        lines = {(line.panel, line.method.name) for line in self.table}
        panels = {panel for panel, _ in lines}
        if not lines <= runs or "tuned" not in panels:
            raise ValueError("the table has lines without runs")
