"""What landscape.json holds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from descend.runs.schemas.parts import Count, Labelled, NotNegative, Number, Positive, Size

LARGEST_EXPONENT = 700.0
"""Of a time to leave: its exponential has to be a number."""


class Grid(Struct, kw_only=True):
    """A loss over two directions."""

    x: Annotated[list[float], Meta(min_length=1)]
    y: Annotated[list[float], Meta(min_length=1)]
    loss: list[list[float]]

    def __post_init__(self) -> None:
        """Refuse a grid with holes."""
        if [len(row) for row in self.loss] != [len(self.x)] * len(self.y):
            raise ValueError("the grid of losses has not a value at each point")


class WalkedPath(Struct, kw_only=True):
    """The path of a method over a landscape."""

    method: str
    points: Annotated[list[tuple[float, float]], Meta(min_length=1)]
    losses: list[float]
    updates: list[Count]
    rows_read: NotNegative
    learning_rate: Number
    trials: list[Number] | None

    def __post_init__(self) -> None:
        """Refuse a path whose lists do not fit."""
        if not len(self.points) == len(self.losses) == len(self.updates):
            raise ValueError("a path has not a loss and an update at each point")


class Left(Struct, kw_only=True):
    """How many runs left the shallow well with one method."""

    rule: str
    batch_size: Size
    learning_rate: Positive
    left: float
    runs: Count


class Escape(Left, kw_only=True):
    """And how long they took."""

    time: Positive | None


class EscapeLaw(Struct, kw_only=True):
    """How the time to leave grows."""

    slope: float
    intercept: float
    explained: float
    apart: float


class LandscapeRecord(Labelled, kw_only=True):
    """landscape.json."""

    descend: str
    of: Literal["run", "surface"]
    name: str
    title: str
    grid: Grid
    paths: Annotated[list[WalkedPath], Meta(min_length=1)]
    directions: Literal["path", "random"] | UnsetType = UNSET
    explained: float | UnsetType = UNSET
    rows: Count | UnsetType = UNSET
    lowest: float = 0.0
    loss_note: str = ""
    updates: Count | UnsetType = UNSET
    """Of every path, in records of version 0.1; since then the methods have equally many rows."""
    epochs: Count | UnsetType = UNSET
    rates: list[Positive] = field(default_factory=list)
    escapes: list[Escape] = field(default_factory=list)
    escape_law: EscapeLaw | None = None
    left: list[Left] = field(default_factory=list)
    left_time: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        super().__post_init__()
        length = self.epochs if self.updates is UNSET else self.updates
        needed = {"run": (self.directions, self.explained), "surface": (length,)}[self.of]
        if UNSET in needed:
            raise ValueError(f"a landscape of a {self.of} lacks a key")
        if any(path.trials and len(path.trials) != len(self.rates) for path in self.paths):
            raise ValueError("a path has not a trial for each learning rate")
        kinds = {(one.rule, one.batch_size) for one in self.left}
        rates = {one.learning_rate for one in self.left}
        whole = {(one.rule, one.batch_size, one.learning_rate) for one in self.left}
        if len(whole) != len(kinds) * len(rates) or (self.escapes and not self.left):
            raise ValueError("the runs that left are not told for each method and rate")
        law = self.escape_law
        known = [one.batch_size / one.learning_rate for one in self.escapes if one.time]
        if law and (not known or not all(_has_exponential(law, ratio) for ratio in known)):
            raise ValueError("the law of the times to leave does not fit them")


def _has_exponential(law: EscapeLaw, ratio: float) -> bool:
    return abs(law.intercept + law.slope * ratio) < LARGEST_EXPONENT
