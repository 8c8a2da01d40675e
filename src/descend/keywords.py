"""The options of the Python functions as typed keywords, for editors and type checkers.

`Settings` says what each means, and `fit` what those of custom models mean; a test holds the names
here equal to its fields and parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class RunKeywords(TypedDict, total=False):
    """How a run goes, whatever is trained."""

    batch_size: int | Literal["auto", "all"]
    batch_schedule: Literal["constant", "auto"]
    learning_rate: float | Literal["auto"]
    momentum: float
    schedule: str
    warmup: float | Literal["auto"]
    averaging: bool
    quantiles: float | Sequence[float]
    l2: float
    weight_decay: float | None
    clip: float | None
    epochs: int | None
    time_budget: float | None
    patience: int
    seed: int
    goal: Literal["time", "examples", "quality"]
    advice_budget: float | None
    memory: int | None
    sync_every: int | Literal["auto"]
    store: str | None


class TableKeywords(RunKeywords, total=False):
    """And what a table means."""

    share_rows: Literal["auto", "yes", "no"]
    task: Literal["auto", "regression", "classification"]
    exclude: Sequence[str]
    categorical: Sequence[str]
    numeric: Sequence[str]
    datetime: Sequence[str]
    missing: Sequence[str]
    date_order: Literal["auto", "dmy", "mdy"]
    decimal: Literal["auto", "point", "comma"]
    weight: str | None
    delimiter: str | None
    header: bool
    skip_lines: int | None


class NetworkKeywords(TableKeywords, total=False):
    """And the form of descend's own networks."""

    effort: Literal["quick", "default", "thorough"]
    members: int | None
    networks: int | None
    hidden: int | Sequence[int] | None
    activation: str


class CustomKeywords(TypedDict, total=False):
    """How a custom model is trained."""

    trainable: Any
    class_weight: Any
    precision: Literal["bfloat16", "float16"] | None


CUSTOM_NAMES = CustomKeywords.__optional_keys__


class MeasureKeywords(NetworkKeywords, CustomKeywords, total=False):
    """The options of functions that measure any model, descend's own or a custom one."""


class TrainKeywords(NetworkKeywords, total=False):
    """And what other functions name in their own signatures."""

    model: str
    loss: str
    class_weight: str | Sequence[str] | Mapping[Any, float]
    optimizer: str
    validation: object
