"""What advice.json holds, and run.json of its advice."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from descend.runs.schemas.parts import (
    Count,
    Labelled,
    NotNegative,
    Number,
    Positive,
    Rows,
    Scalar,
    Size,
    Span,
    Value,
)


class Trial(Struct, kw_only=True):
    """A short training with one batch size and learning rate."""

    batch_size: Size
    learning_rate: Positive
    updates: Count
    seconds: NotNegative
    loss: Number
    diverged: bool
    ratio: Number = None
    losses: list[tuple[Count, Number]] = []


class SizeAndRate(Struct, kw_only=True):
    """A learning rate at a batch size."""

    batch_size: Size
    learning_rate: Positive


class Prediction(Struct, kw_only=True):
    """What a batch size needs to the target."""

    batch_size: Size
    updates: float
    examples: float
    seconds: float


class SizeSpeed(Struct, kw_only=True):
    """What an update costs."""

    batch_size: Size
    seconds_per_update: Positive
    peak_memory: Number


class Cosine(Struct, kw_only=True):
    """How well a batch points in the direction of the gradient over all rows."""

    batch_size: Size
    mean: Number
    low: Number
    high: Number
    expected: Number


class Noise(Struct, kw_only=True):
    """The gradient noise, once measured."""

    updates: Count
    noise_scale: Number
    interval: tuple[Number, Number]
    rows: Scalar = None
    runs: Count = 0
    cosine: list[Cosine] = []

    def __post_init__(self) -> None:
        """Refuse a scale whose interval begins nowhere."""
        if self.noise_scale is not None and self.interval[0] is None:
            raise ValueError("a noise scale has no interval")


class Law(Struct, kw_only=True):
    """How updates and batch size depend on each other."""

    critical: float
    interval: Span


class Evidence(Struct, kw_only=True):
    """What an advice was decided by."""

    trials: list[Trial] = []
    speed: list[SizeSpeed] = []
    noise: list[Noise] = []
    curve: list[Prediction] = []
    breaking: list[SizeAndRate] = []
    law: Law | None = None
    left_out: list[str] = []
    left_out_by: str = "training"
    compiling: float = 0.0
    budget_for_all: float = 20.0
    undetermined: list[str] = []
    expected: float = 0.0
    start_loss: Number = None
    target: Number = None
    goal: str = ""


class Advice(Struct, kw_only=True):
    """A batch size and a learning rate, and how they were found."""

    batch_size: Size
    learning_rate: Positive
    interval: tuple[float, float]
    flat_region: tuple[Size, Size]
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    cost: float = 0.0


class ProcessesJob(Struct, kw_only=True):
    """A number of processes with its best batch size."""

    processes: Size
    batch_size: Size
    seconds_per_update: Positive
    time: Positive
    interval: tuple[Number, Number]
    extrapolated: bool


class ProcessesAdvice(Struct, kw_only=True):
    """How many processes are worth it."""

    jobs: list[ProcessesJob]
    advised: ProcessesJob
    confirmed: bool | None = None
    """Whether a second measurement advised the same; None where none was made."""
    critical: Number = None
    cores: Size = 1


class AdviceRecord(Labelled, kw_only=True):
    """advice.json."""

    advice: Advice
    settings: dict[str, Value] = field(default_factory=dict)
    rows: Rows | UnsetType = UNSET
    train_command: str | UnsetType = UNSET
    processes: ProcessesAdvice | UnsetType = UNSET
    task: str | UnsetType | None = UNSET
