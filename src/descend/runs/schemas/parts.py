"""What several records have in common.

Only what is read is named in a schema; further keys may stand beside it. None stands for a number
that JSON cannot hold (infinite, or not a number).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Size = Annotated[int, Meta(ge=1, le=1 << 62)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Number = float | None
Figures = dict[str, Number]
Scalar = str | int | float | bool | None
Value = Scalar | list[Scalar]
Span = tuple[float, Number]


class Rows(Struct, kw_only=True):
    """Where the rows of a table went."""

    training: Count
    validation: Count
    total: Count
    missing_target: Count = 0
    unweighted: Count = 0


class Metrics(Struct, kw_only=True):
    """A model's figures beside those of the trivial prediction; both empty where none fit."""

    model: Figures = {}
    baseline: Figures = {}

    def __post_init__(self) -> None:
        """Each figure has its counterpart."""
        if not self.model.keys() <= self.baseline.keys():
            raise ValueError("a metric of the model has no counterpart")


class Settings(Struct, kw_only=True):
    """The settings that pages and summaries name."""

    batch_size: Size
    learning_rate: Positive
    optimizer: str
    target: str = ""
    epochs: Count | None = None
    time_budget: NotNegative | None = None
    patience: Count | None = None


class PlainSettings(Struct, kw_only=True):
    """The settings of a record once more: each is a value that a page can show."""

    settings: dict[str, Value]
    machine: dict[str, Scalar] | None = None


class Machine(Struct, kw_only=True):
    """Where something was measured, as far as a page counts with it."""

    cores: Count | None = None
    memory: NotNegative | None = None


class Labelled(Struct, kw_only=True):
    """What every record says of itself."""

    descend: str | UnsetType = UNSET
    command: list[Scalar] | None = None
    own: dict[str, str] = {}
    versions: dict[str, Scalar] = {}
    machine: Machine | None = None

    def __post_init__(self) -> None:
        """Refuse a custom model without its name."""
        if self.own and "model" not in self.own:
            raise ValueError("a custom model has no name")
