"""Hints about a table before training: which columns explain the target, which look odd."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from descend.assessment import linear
from descend.assessment.explained import strongest
from descend.assessment.sample import Sample, class_names, rows_within
from descend.data.encoding.encoder import Encoder
from descend.data.encoding.places import places_of
from descend.data.reading.table import Table
from descend.data.schema.columns import (
    CategoryColumn,
    Column,
    NumberColumn,
    RegressionTarget,
    Schema,
)
from descend.errors import option_text

MOST_ROWS = 20_000
"""The first rows of the table; they are read anyway."""
EXACT = 0.9999
GIVES_AWAY = 0.98
SPLITS = {"train", "training", "test", "testing", "valid", "validation", "val", "dev", "holdout"}
CYCLES: dict[tuple[float, float], str] = {
    (0, 23): "hours",
    (1, 12): "months",
    (0, 6): "weekdays",
    (1, 7): "weekdays",
}
FEW_VALUES = 20
EXPLAINS_MUCH, NAMED_LATE = 0.8, 0.4
"""Share of the target that a column explains alone before we ask whether it is known in time; less
is enough where its name speaks of something that comes late."""
LATE = re.compile(
    r"(?<![a-z])(actual|after|arr|arrival|closed?|end(ed)?|final|finish(ed)?|outcome|paid|payment"
    r"|received|result|returned|settled|total)(?![a-z])"
)


def table_hints(table: Table, schema: Schema) -> dict[str, Any]:
    """How much of the target each column explains, and what to look at before training.

    Returns:
        `explains`: by the name of the column, the share of the target's variance (or of the
        classes' spread) between its values; `hints`: sentences.
    """
    encoder = Encoder(schema)
    width = len(encoder.numeric_names) + len(encoder.category_names)
    rows = rows_within(width, MOST_ROWS)
    first = next(iter(encoder.encode(table, target=True, rows=rows)), None)
    if first is None:
        return {"explains": {}, "hints": column_hints(schema.columns)}
    batch, places = first.batch, places_of(schema)
    numbers = isinstance(schema.target, RegressionTarget)
    truth = encoder.decode_regression(batch.y)[:, 0] if numbers else batch.y.astype(np.float64)
    weight = batch.weight.astype(np.float64)
    nothing = np.zeros(len(weight))
    sample = Sample(batch.x, truth, nothing, weight, lambda x: nothing, class_names(schema))
    found = strongest(sample, places)
    # The warnings of the schema say already what to type for these.
    warned = schema.leaking
    hints = [
        f"{one['column']} alone explains {100 * one['explained']:.3g} % of the target. If it is "
        f"not known when predicting, leave it out: {option_text('exclude', [one['column']])}."
        for one in found
        if one["explained"] >= GIVES_AWAY and one["column"] not in warned
    ]
    made = linear.features_of(places) if numbers else None
    if made is not None and made.most_values is None and not hints and not warned:
        hints += _sums(sample, made.matrix, made.columns)
    late = [f"{one['column']} ({100 * one['explained']:.0f} %)" for one in found if _late(one)]
    if late and not hints and not warned:
        hints.append(
            f"Are these known before the target is? Alone they explain much of it: "
            f"{', '.join(late)}. Leave out what is known only afterwards."
        )
    explains = {str(one["column"]): float(one["explained"]) for one in found}
    return {"explains": explains, "hints": [*hints, *column_hints(schema.columns)]}


def column_hints(known: Sequence[Column]) -> list[str]:
    """Hints that need no target: categories by number, train/test markers, cycles."""
    numbers = [one for one in known if isinstance(one, NumberColumn)]
    cycles = {one.name: cycle for one in numbers if (cycle := _cycle(one))}
    hints = [
        f"{one.name} seems to mark training and test rows. It says nothing about a new row: "
        f"{option_text('exclude', [one.name])}."
        for one in known
        if isinstance(one, CategoryColumn) and {v.lower() for v in one.values} <= SPLITS
    ]
    if cycles:
        named = ", ".join(f"{name} ({cycle})" for name, cycle in cycles.items())
        hints.append(
            f"The last value is next to the first in {named}. A number does not say so; a category "
            "learns it."
        )
    codes = [one.name for one in numbers if _few(one) or one.name in cycles]
    if codes:
        hints.append(
            "The default model learns numbers with few values as categories, too. For "
            f"{option_text('model', 'mlp')} or linear, add: {option_text('categorical', codes)}"
        )
    return hints


def _cycle(column: NumberColumn) -> str | None:
    """What the values of a column count, where the last one is next to the first."""
    name = CYCLES.get((column.minimum, column.maximum))
    full = (column.distinct or 0) >= 0.9 * (column.maximum - column.minimum + 1)
    return name if full else None


def sounds_late(name: str) -> bool:
    """Whether the name of a column speaks of something that comes late.

    >>> sounds_late("ActualElapsedTime"), sounds_late("arr_time"), sounds_late("Arrangement")
    (True, True, False)
    """
    words = re.sub("(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return LATE.search(words.lower()) is not None


def _late(found: Mapping[str, Any]) -> bool:
    """Whether a column may be known only after the target is, by its strength and its name."""
    least = NAMED_LATE if sounds_late(str(found["column"])) else EXPLAINS_MUCH
    return least <= float(found["explained"]) < GIVES_AWAY


def _few(column: NumberColumn) -> bool:
    return column.distinct is not None and 2 < column.distinct <= FEW_VALUES


def _sums(sample: Sample, design: linear.Design, features: list[str]) -> list[str]:
    """Whether the target is a sum of columns: a linear model that leaves nothing over."""
    rows = min(len(sample), linear.most_rows(len(features)))
    if rows < 3 * len(features):
        return []
    small = sample.first(rows)
    matrix = design(small.x)
    predict = linear.fit_numbers(matrix, small.truth, small.weight)
    rest = small.truth - predict(matrix)
    if np.var(rest) > (1 - EXACT) * np.var(small.truth):
        return []
    # What each feature adds: its coefficient times its spread.
    base = predict(np.zeros((1, matrix.shape[1])))[0]
    effects = [
        abs(predict(np.eye(matrix.shape[1])[[n]])[0] - base) * matrix[:, n].std()
        for n in range(matrix.shape[1])
    ]
    top: dict[str, float] = {}
    for name, effect in zip(features, effects, strict=True):
        top[name] = max(top.get(name, 0.0), float(effect))
    least = 0.05 * float(np.std(small.truth))
    parts = [name for name in sorted(top, key=lambda one: -top[one]) if top[name] > least]
    names = " and ".join(parts[:4])
    return [
        f"The target is a sum of columns, mainly {names}. A model would only add them up: "
        f"{option_text('exclude', parts[:4])}."
    ]
