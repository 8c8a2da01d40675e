"""The assessment of a finished model, as the record that its page is drawn from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from descend.assessment import linear, scores
from descend.assessment.column_effects import dependence, importances
from descend.assessment.copies import MOST_LEARNED, share_of_copies
from descend.assessment.explained import strongest
from descend.assessment.failures import slices, worst_rows
from descend.assessment.sample import (
    Inputs,
    Numbers,
    Sample,
    class_names,
    draw,
    to_precision,
)
from descend.assessment.table_hints import sounds_late
from descend.data.encoding.places import Places, places_of
from descend.data.rows.store import RowStore
from descend.data.schema.columns import ClassificationTarget, RegressionTarget
from descend.model import Model
from descend.training.network.tabular import FIXED
from descend.types import Batch

MOST_PROBABILITIES = 2_000_000
LEAST_ROWS = 256
MOST_ROWS = 20_000
"""Rows of the validation sample whose metrics and curves are computed."""
MOST_PERMUTED = 2_000
"""Rows on which columns are shuffled and set."""
MOST_DRAWN = 400
"""Points of a scatter plot."""
BINS = 30
MOST_AVERAGED = 250
"""Rows over which predictions are averaged for each value of a column."""
DEPENDENCES = 4
PIECE = 2_048
"""Rows whose features the linear model sees at once."""
SECONDS = 2.0
"""After these no further column is shuffled, but for the first 20, or set. They are those of the
processor, so that other work on the machine leaves nothing out."""


def assess(
    model: Model,
    training: RowStore,
    validation: RowStore,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """How good a model is, on which rows it fails, and which columns it uses.

    The work is bounded by the numbers of rows above; `SECONDS` is a second bound, for very wide
    tables and very large models, beyond which columns are left out.

    Args:
        model: the best model of a run.
        training: the rows it was trained on; a sample of them fits the linear model.
        validation: the validation rows; every figure comes from a sample of them.
        seed: of the samples and of the bootstrap.

    Returns:
        A record that JSON can hold. Of several targets, only the first is assessed; of quantiles,
        the median. Empty where the model gives neither numbers nor probabilities: quantiles
        without a median, and the scores of the loss hinge.
    """
    if _place_of_numbers(model) is None or model.settings.loss == "hinge":
        return {}
    began = time.process_time()
    most = _most_rows(model)
    drawn = draw(validation, most, seed)
    sample = _sample_of(model, drawn)
    if not len(sample):
        return {}
    places = places_of(model.schema)
    target = model.schema.target
    trivial = _trivial(model, sample)
    small = sample.first(min(MOST_PERMUTED, most))
    learned = draw(training, MOST_ROWS // 2, seed)
    alone = strongest(_sample_of(model, learned, predict=False), places)
    # Where time ends it, the columns that say most by themselves are measured.
    found, left_out = importances(
        small, _rank_columns(places, alone), seed, lambda: time.process_time() - began > SECONDS
    )
    ranked = _rank_columns(places, found)
    averaged = sample.spread(MOST_AVERAGED)
    coded = _coded_columns(model, places)
    dependences: list[dict[str, Any]] = []
    began = time.process_time()
    for place in ranked[: 2 * DEPENDENCES]:
        if len(dependences) == DEPENDENCES or time.process_time() - began > SECONDS:
            break
        one = dependence(averaged, place, coded=place.column.name in coded)
        dependences += [one] if one is not None and len(one["x"]) > 1 else []
    features = linear.features_of(places, linear.most_features(len(class_names(model.schema))))
    fitted = None if features is None else _fitted_linear(model, training, features, seed)
    beside = fitted(sample.x) if fitted is not None else None
    record = {
        "rows": {
            "validation": len(validation),
            "used": len(sample),
            "permuted": len(small),
            "averaged": len(averaged),
        },
        "task": model.schema.task,
        "target": target.names[0],
        "weighted": sample.weighted,
        "metrics": _metrics(sample, trivial, beside, seed),
        "linear_values": None if features is None else features.most_values,
        "importance": found,
        "columns_left_out": left_out,
        "dependence": dependences,
        "slices": slices(sample, places),
        "strongest": alone[:5],
        "copies": share_of_copies(drawn, draw(training, MOST_LEARNED, seed), len(training)),
        "coded": coded,
        "late": [p.column.name for p in ranked if sounds_late(p.column.name)],
        "worst": worst_rows(sample, ranked),
        **(_class_figures(sample) if sample.classes else _number_figures(model, sample)),
    }
    known: dict[str, Any] = _without_nan(record)
    return known


def _coded_columns(model: Model, places: Sequence[Places]) -> list[str]:
    """The columns of numbers whose values the network learns each by itself, too."""
    fixed = model.params.get(FIXED) or {} if isinstance(model.params, Mapping) else {}
    coded = set(np.asarray(fixed.get("coded", ()), int).tolist())
    return [place.column.name for place in places if coded & set(place.numeric[:1])]


def _place_of_numbers(model: Model) -> int | None:
    """Which column of the predictions is assessed as numbers: that of the median, of quantiles."""
    levels = model.settings.quantiles
    if not levels:
        return 0
    return levels.index(0.5) if 0.5 in levels else None


def _most_rows(model: Model) -> int:
    """Rows to assess: fewer where there are many classes, whose probabilities take memory."""
    return max(
        LEAST_ROWS, min(MOST_ROWS, MOST_PROBABILITIES // max(1, len(class_names(model.schema))))
    )


def _sample_of(model: Model, batch: Batch, *, predict: bool = True) -> Sample:
    """Rows with their predictions; without them where they are not needed."""
    target = model.schema.target
    classes = class_names(model.schema)
    place = _place_of_numbers(model)

    def predict_first(x: Inputs) -> Numbers:
        outputs = model.outputs(x)
        if classes:
            return outputs
        return np.asarray(model.decoded(outputs).values[:, place])

    if isinstance(target, RegressionTarget):
        truth = to_precision(model.encoder.decode_regression(batch.y)[:, 0], target.mean[0])
    else:
        truth = np.asarray(batch.y, np.float64)
    weight = np.asarray(batch.weight, np.float64)
    found = predict_first(batch.x) if predict and len(weight) else np.zeros(len(weight))
    return Sample(batch.x, truth, found, weight, predict_first, classes)


def _trivial(model: Model, sample: Sample) -> Numbers:
    """The trivial prediction of every row: the mean, or how frequent each class is."""
    target = model.schema.target
    if isinstance(target, ClassificationTarget):
        counts = np.asarray(target.counts, np.float64)
        return np.tile(counts / counts.sum(), (len(sample), 1))
    return np.full(len(sample), target.mean[0])


def _fitted_linear(
    model: Model, training: RowStore, features: linear.Features, seed: int
) -> Callable[[Inputs], Numbers] | None:
    """`encoded rows -> predictions` of a linear model; None where there are no rows to fit it."""
    classes = class_names(model.schema)
    batch = draw(training, linear.most_rows(len(features.columns), len(classes)), seed)
    matrix, weight = features.matrix(batch.x), np.asarray(batch.weight, np.float64)
    if len(weight) < 2:
        return None
    if classes:
        predict = linear.fit_classes(matrix, np.asarray(batch.y, np.int64), weight, len(classes))
    else:
        predict = linear.fit_numbers(matrix, model.encoder.decode_regression(batch.y)[:, 0], weight)

    def in_pieces(x: Inputs) -> Numbers:
        rows = len(next(iter(x.values())))
        pieces = [
            {name: values[start : start + PIECE] for name, values in x.items()}
            for start in range(0, rows, PIECE)
        ]
        return np.concatenate([predict(features.matrix(piece)) for piece in pieces])

    return in_pieces


def _metrics(
    sample: Sample, trivial: Numbers, beside: Numbers | None, seed: int
) -> dict[str, dict[str, Any]]:
    model = scores.scores(sample, sample.predicted, trivial)
    ends = scores.score_intervals(sample, sample.predicted, trivial, seed)
    simple = scores.scores(sample, trivial, trivial)
    straight = None if beside is None else scores.scores(sample, beside, trivial)
    return {
        name: {
            "model": value,
            "low": ends[name][0],
            "high": ends[name][1],
            "trivial": simple[name],
            "linear": None if straight is None else straight[name],
        }
        for name, value in model.items()
    }


def _rank_columns(places: list[Places], found: list[dict[str, Any]]) -> list[Places]:
    """The columns by importance, then the others."""
    order = {one["column"]: place for place, one in enumerate(found)}
    return sorted(places, key=lambda place: order.get(place.column.name, len(order)))


def _number_figures(model: Model, sample: Sample) -> dict[str, Any]:
    target = model.schema.target
    assert isinstance(target, RegressionTarget)
    residual = sample.predicted - sample.truth
    drawn = sample.first(MOST_DRAWN)
    order = np.argsort(sample.predicted, kind="stable")
    along = [
        {
            "predicted": float(np.mean(sample.predicted[part])),
            **{
                name: float(np.quantile(residual[part], q))
                for name, q in (("low", 0.05), ("middle", 0.5), ("high", 0.95))
            },
        }
        for part in np.array_split(order, min(12, max(1, len(order) // 20)))
    ]
    return {
        "points": {"truth": drawn.truth.tolist(), "predicted": drawn.predicted.tolist()},
        "residuals": {**_histogram(residual), "along": along},
        "target_values": _histogram(sample.truth),
        "below_minimum": {
            "minimum": target.minimum[0],
            "share": float(np.mean(sample.predicted < target.minimum[0])),
            "negative": float(np.mean(sample.predicted < 0.0)),
            "lowest": float(sample.predicted.min()),
            "whole": _whole(sample.truth, target.deviation[0]),
        },
    }


def _class_figures(sample: Sample) -> dict[str, Any]:
    counts = np.bincount(sample.truth.astype(int), minlength=len(sample.classes))
    order = np.argsort(-counts, kind="stable")[: 2 * scores.MOST_CLASSES]
    return {
        "classes": len(sample.classes),
        "class_counts": [[sample.classes[int(one)], int(counts[one])] for one in order],
        "confusion": scores.confusion(sample),
        "per_class": scores.per_class(sample),
        "calibration": scores.calibration(sample),
        "curves": scores.curves(sample),
    }


def _whole(values: Numbers, deviation: float) -> bool:
    """Whether all are whole numbers, but for the rounding of standardised float32."""
    return bool(np.all(np.abs(values - np.round(values)) < 1e-5 * max(1.0, deviation)))


def _histogram(values: Numbers) -> dict[str, Any]:
    """Counts between the 0.5 % and the 99.5 % quantile; what lies beyond is in the end bins."""
    low, high = np.quantile(values, [0.005, 0.995])
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        return {"edges": [low - 0.5, low + 0.5], "counts": [len(values)]}
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
