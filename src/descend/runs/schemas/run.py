"""What run.json holds."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from descend.runs.schemas.advice import Advice
from descend.runs.schemas.parts import (
    Count,
    Labelled,
    Metrics,
    Number,
    Rows,
    Scalar,
    Settings,
    Size,
    Value,
)


class ColumnLine(Struct, kw_only=True):
    """A column in the table of a page."""

    name: str
    type: str
    becomes: str
    values: Scalar
    missing: Scalar
    distinct: Scalar
    remark: Scalar


class Windows(Struct, kw_only=True):
    """How an epoch goes through rows that stand on disk."""

    piece_rows: Size
    span: Size


class Layout(Struct, kw_only=True):
    """Where the rows of a run stand."""

    stored: bool
    windows: Windows | None


class Data(Struct, kw_only=True):
    """The data of a run."""

    rows: Rows
    source: str | None
    fingerprint: dict[str, Any]
    layout: Layout
    columns: list[ColumnLine]
    task_reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    leaking: list[str] = field(default_factory=list)


class Result(Struct, kw_only=True):
    """How a run ended."""

    stop_reason: str
    stop_text: str
    updates: Count
    epochs: float
    examples: Count
    seconds: float
    best_validation_loss: Number
    metrics: Metrics
    lowerings: Count = 0
    rescues: Count = 0
    networks: list[Number] = []
    cause: str = ""


class RunRecord(Labelled, kw_only=True):
    """run.json."""

    state: str
    asked: dict[str, Value]
    settings: Settings
    data: Data
    seal: str | UnsetType = UNSET
    advice: Advice | None = None
    result: Result | UnsetType = UNSET
    device: Scalar = ""

    def __post_init__(self) -> None:
        """Refuse a run on a table without the name of its target."""
        super().__post_init__()
        if not self.own and not self.settings.target:
            raise ValueError("a run on a table has no target")
