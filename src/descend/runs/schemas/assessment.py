"""What assessment.json holds: the figures of a finished model."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from descend.runs.schemas.parts import Count, Labelled, NotNegative, Number

Some = Annotated[list[float], Meta(min_length=1)]


class SampleRows(Struct, kw_only=True):
    """How many rows the figures come from."""

    validation: Count
    used: Count
    permuted: Count = 0
    averaged: Count = 0


class Metric(Struct, kw_only=True):
    """A metric with its interval, beside simpler predictions."""

    model: Number
    low: Number
    high: Number
    trivial: Number
    linear: Number = None


class Importance(Struct, kw_only=True):
    """The growth of the loss when a column is shuffled."""

    column: str
    importance: float
    low: float
    high: float


class Dependence(Struct, kw_only=True):
    """The mean prediction over the values of a column."""

    column: str
    kind: str
    x: Annotated[list[float | str], Meta(min_length=1)]
    y: Annotated[list[list[float]], Meta(min_length=1)]
    classes: list[str] = field(default_factory=list)
    apart: bool = False

    def __post_init__(self) -> None:
        """Refuse lines that do not fit."""
        if any(len(line) != len(self.x) for line in self.y):
            raise ValueError("a dependence has not a prediction for each value")
        if len(self.y) != max(1, len(self.classes)):
            raise ValueError("a dependence has not a line for each class")


class Part(Struct, kw_only=True):
    """The error of the rows with one value."""

    value: float | str | None
    rows: Annotated[int, Meta(ge=1)]
    error: float
    low: float
    high: float


class Slice(Struct, kw_only=True, rename={"overall": "all"}):
    """The errors by the value of a column."""

    column: str
    parts: Annotated[list[Part], Meta(min_length=1)]
    time: bool = False
    overall: float | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse a time that is text."""
        if self.time and any(isinstance(part.value, str) for part in self.parts):
            raise ValueError("a time is not a number of days")


class Strongest(Struct, kw_only=True):
    """How much of the target a column alone explains."""

    column: str
    explained: float


class WorstRow(Struct, kw_only=True):
    """A row with a large loss."""

    truth: float | str
    predicted: float | str
    values: dict[str, float | str | None]
    error: Number = None
    probability: Number = None


class Points(Struct, kw_only=True):
    """Rows of a scatter plot."""

    truth: Some
    predicted: Some

    def __post_init__(self) -> None:
        """Refuse points without a partner."""
        if len(self.truth) != len(self.predicted):
            raise ValueError("a point has no partner")


class Histogram(Struct, kw_only=True):
    """Counts between edges."""

    edges: list[float]
    counts: Annotated[list[Count], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse edges that do not fit."""
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError("a histogram has not an edge more than counts")


class Along(Struct, kw_only=True):
    """Errors of the rows with predictions of one size."""

    predicted: float
    low: float
    middle: float
    high: float


class Residuals(Histogram, kw_only=True):
    """The errors, and how they depend on the prediction."""

    along: Annotated[list[Along], Meta(min_length=1)]


class BelowMinimum(Struct, kw_only=True):
    """Predictions below what the target can be."""

    minimum: float
    share: float
    negative: float
    lowest: float
    whole: bool


class Confusion(Struct, kw_only=True):
    """Rows by true and predicted class."""

    classes: Annotated[list[str], Meta(min_length=1)]
    counts: list[list[Count]]
    weights: list[list[NotNegative]] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse what is no square."""
        for rows in (self.counts, self.counts if self.weights is UNSET else self.weights):
            if [len(row) for row in rows] != [len(self.classes)] * len(self.classes):
                raise ValueError("the confusion matrix is no square")


class ClassScore(Struct, kw_only=True, rename={"name": "class"}):
    """Precision and recall of a class."""

    name: str
    rows: Count
    precision: Number
    recall: Number


class CalibrationBin(Struct, kw_only=True):
    """A predicted probability and how often it was right."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: Count


class Curves(Struct, kw_only=True):
    """ROC and precision-recall of the second class; absent where there are more."""

    positive: str | UnsetType = UNSET
    share: float = 0.0
    roc: tuple[Some, Some] | UnsetType = UNSET
    precision_recall: tuple[Some, Some] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse a curve that is incomplete."""
        given = [one is not UNSET for one in (self.positive, self.roc, self.precision_recall)]
        if any(given) and not all(given):
            raise ValueError("a curve is absent")
        for curve in (self.roc, self.precision_recall):
            if not isinstance(curve, UnsetType) and len(curve[0]) != len(curve[1]):
                raise ValueError("a point of a curve has no partner")


class AssessmentRecord(Labelled, kw_only=True):
    """assessment.json; empty but for its label where nothing could be assessed."""

    descend: str
    failed: str = ""
    target: str = ""
    task: str = ""
    weighted: bool = False
    rows: SampleRows | UnsetType = UNSET
    metrics: dict[str, Metric] = field(default_factory=dict)
    linear_values: Count | None = None
    importance: list[Importance] = field(default_factory=list)
    columns_left_out: Count = 0
    dependence: list[Dependence] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    strongest: list[Strongest] = field(default_factory=list)
    copies: Number = None
    coded: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    worst: list[WorstRow] = field(default_factory=list)
    points: Points | UnsetType = UNSET
    residuals: Residuals | UnsetType = UNSET
    target_values: Histogram | UnsetType = UNSET
    below_minimum: BelowMinimum | UnsetType = UNSET
    classes: Count = 0
    class_counts: list[tuple[str, NotNegative]] | UnsetType = UNSET
    confusion: Confusion | UnsetType = UNSET
    per_class: list[ClassScore] = field(default_factory=list)
    calibration: list[CalibrationBin] = field(default_factory=list)
    curves: Curves = field(default_factory=Curves)

    def __post_init__(self) -> None:
        """Refuse what a page could not be drawn from."""
        super().__post_init__()
        if (self.points is UNSET) != (self.residuals is UNSET):
            raise ValueError("points and residuals belong together")
        if self.confusion is not UNSET and not self.calibration:
            raise ValueError("a confusion matrix has no calibration beside it")
        if self.worst and self.target_values is UNSET and self.class_counts is UNSET:
            raise ValueError("the values of the target are absent")
        names = [set(one.values) for one in self.worst]
        if any(one != names[0] for one in names):
            raise ValueError("the worst rows have not the same columns")
