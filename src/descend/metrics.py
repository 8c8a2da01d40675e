"""Metrics of a model, each beside that of the trivial prediction.

Sums are kept, not rows, so that a table of any length needs little memory; only the AUC
keeps scores: each of them, and of more than a million rows counts in bins of log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_EXACT = 1 << 20
"""Most rows whose scores are kept for the AUC."""
BINS = 1 << 20
WIDEST = 32.0
"""The bins reach from -32 to 32 in log-odds: probabilities of 1e-14 to 1 - 1e-14."""
LEAST_PROBABILITY = 1e-15


def of_target(metric: str, target: str) -> str:
    """What the metric of one of several targets is called.

    >>> of_target("rmse", "price")
    'rmse (price)'
    """
    return f"{metric} ({target})"


@dataclass
class RegressionScore:
    """R², RMSE and MAE of numbers, added up part by part.

    Args:
        mean: the trivial prediction: the mean of the training rows by their weights, `[k]`.
        one_unit: whether the targets are the parts of one, such as the pixels of an image.
        names: of several targets, which have a unit each.
    """

    mean: Floats
    one_unit: bool = False
    names: tuple[str, ...] = ()
    weight: float = 0.0
    squared: Floats = field(init=False)
    absolute: Floats = field(init=False)
    squared_trivial: Floats = field(init=False)
    absolute_trivial: Floats = field(init=False)
    total: Floats = field(init=False)
    total_squared: Floats = field(init=False)
    origin: Floats | None = None

    def __post_init__(self) -> None:
        """Begin at nothing."""
        for name in (
            *("squared", "absolute", "squared_trivial", "absolute_trivial"),
            *("total", "total_squared"),
        ):
            setattr(self, name, np.zeros_like(self.mean))

    def add(self, truth: Floats, predicted: Floats, weight: Floats) -> None:
        """Count rows: `[n, k]`, `[n, k]`, `[n]`."""
        w = weight[:, None]
        self.weight += float(weight.sum())
        self.squared += np.sum(w * (predicted - truth) ** 2, axis=0)
        self.absolute += np.sum(w * np.abs(predicted - truth), axis=0)
        trivial = truth - self.mean
        self.squared_trivial += np.sum(w * trivial**2, axis=0)
        self.absolute_trivial += np.sum(w * np.abs(trivial), axis=0)
        if not np.any(weight > 0):
            return
        first = truth[int(np.argmax(weight > 0))]
        origin = self.origin = first if self.origin is None else self.origin
        # From a value of these rows itself: no digits are lost if their spread is small beside
        # their distance from the mean of training, and equal values have exactly no spread.
        centred = truth - origin
        self.total += np.sum(w * centred, axis=0)
        self.total_squared += np.sum(w * centred**2, axis=0)

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with r2, rmse and mae.

        Of several targets, R² is the mean of theirs: no target outweighs another by its unit. Of
        the parts of one, it compares their sums. It is NaN where all values of a target are equal:
        it has no value there. RMSE and MAE of several targets stand for each by itself, as
        `rmse (price)`: numbers of different units have no common mean.
        """
        cells = self.weight * len(self.mean)
        several = len(self.names) > 1
        spread = self.total_squared - self.total**2 / self.weight
        varies = spread > 0

        def figures(squared: Floats, absolute: Floats) -> dict[str, float]:
            if not varies.any():
                r2 = float("nan")
            elif self.one_unit:
                r2 = 1.0 - float(np.sum(squared) / np.sum(spread[varies]))
            else:
                r2 = float(np.mean(1.0 - squared[varies] / spread[varies]))
            if several:
                each = {
                    of_target(metric, name): float(value)
                    for place, name in enumerate(self.names)
                    for metric, value in (
                        ("rmse", np.sqrt(squared[place] / self.weight)),
                        ("mae", absolute[place] / self.weight),
                    )
                }
                return {"r2": r2, **each}
            return {
                "r2": r2,
                "rmse": float(np.sqrt(np.sum(squared) / cells)),
                "mae": float(np.sum(absolute) / cells),
            }

        return {
            "model": figures(self.squared, self.absolute),
            "baseline": figures(self.squared_trivial, self.absolute_trivial),
        }


@dataclass
class Ranks:
    """The chance that a row of class 1 scores above one of class 0 (the AUC), part by part.

    It is exact up to `MOST_EXACT` rows. Of more, rows whose log-odds differ by less than 6e-5 may
    count as equal. Bins of probability would hold all rows of a rare class in a few.
    """

    parts: list[tuple[Floats, Floats]] = field(default_factory=list)
    rows: int = 0
    bins: Floats | None = None

    def add(self, probability: Floats, positive: npt.NDArray[np.bool_], weight: Floats) -> None:
        """Count rows: probabilities of class 1 `[n]`, whether they are of it, and weights."""
        self.parts.append((probability, np.stack([weight * ~positive, weight * positive])))
        self.rows += len(probability)
        if self.rows <= MOST_EXACT:
            return
        if self.bins is None:
            self.bins = np.zeros((2, BINS))
        for part, weights in self.parts:
            with np.errstate(divide="ignore"):
                odds = np.clip(np.log(part) - np.log1p(-part), -WIDEST, WIDEST)
            place = ((odds + WIDEST) * ((BINS - 1) / (2 * WIDEST))).astype(np.int64)
            for label in (0, 1):
                self.bins[label] += np.bincount(place, weights[label], minlength=BINS)
        self.parts.clear()

    def area(self) -> float:
        """The area under the ROC curve; NaN where one of the classes has no weight."""
        counts = self.bins
        if counts is None:
            if not self.parts:
                return float("nan")
            scores = np.concatenate([part for part, _ in self.parts])
            weights = np.concatenate([part for _, part in self.parts], axis=1)
            known, place = np.unique(scores, return_inverse=True)
            counts = np.stack([np.bincount(place, one, len(known)) for one in weights])
        first, second = counts
        below = np.cumsum(first) - first
        pairs = first.sum() * second.sum()
        return float(np.sum(second * (below + 0.5 * first)) / pairs) if pairs else float("nan")


@dataclass
class ClassificationScore:
    """Accuracy, log loss and, for two classes, AUC, added up part by part.

    Args:
        priors: the trivial prediction: the share of each class among the training rows by their
            weights, `[K]`.
    """

    priors: Floats
    weight: float = 0.0
    right: float = 0.0
    right_trivial: float = 0.0
    log_loss: float = 0.0
    log_loss_trivial: float = 0.0
    ranks: Ranks = field(default_factory=Ranks)

    def add(self, truth: npt.NDArray[np.int32], predicted: Floats, weight: Floats) -> None:
        """Count rows: class codes `[n]`, probabilities `[n, K]`, weights `[n]`."""
        rows = np.arange(len(truth))
        self.weight += float(weight.sum())
        self.right += float(np.sum(weight * (predicted.argmax(axis=1) == truth)))
        self.right_trivial += float(np.sum(weight * (truth == self.priors.argmax())))
        self.log_loss -= float(np.sum(weight * _log(predicted[rows, truth])))
        self.log_loss_trivial -= float(np.sum(weight * _log(self.priors[truth])))
        if len(self.priors) == 2:
            self.ranks.add(np.array(predicted[:, 1]), truth == 1, weight)

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with accuracy, log_loss and auc."""
        model = {"accuracy": self.right / self.weight, "log_loss": self.log_loss / self.weight}
        baseline = {
            "accuracy": self.right_trivial / self.weight,
            "log_loss": self.log_loss_trivial / self.weight,
        }
        if len(self.priors) == 2:
            model["auc"] = self.ranks.area()
            # Of rows of one class there are no pairs to put in order.
            baseline["auc"] = float("nan") if np.isnan(model["auc"]) else 0.5
        return {"model": model, "baseline": baseline}


@dataclass
class SoftScore(ClassificationScore):
    """Accuracy, log loss and, for two classes, AUC of classes that are given as probabilities.

    A row counts in each class by its probability, as many rows of these classes would. So one-hot
    rows have the metrics of their classes.
    """

    def add(self, truth: npt.NDArray[Any], predicted: Floats, weight: Floats) -> None:
        """Count rows: probabilities `[n, K]`, of the truth and predicted, and weights `[n]`."""
        rows = np.arange(len(truth))
        self.weight += float(weight.sum())
        self.right += float(np.sum(weight * truth[rows, predicted.argmax(axis=1)]))
        self.right_trivial += float(np.sum(weight * truth[:, self.priors.argmax()]))
        self.log_loss -= float(weight @ np.sum(truth * _log(predicted), axis=1))
        self.log_loss_trivial -= float(weight @ (truth @ _log(self.priors)))
        if len(self.priors) == 2:
            for label in (0, 1):
                of_label = np.full(len(truth), label == 1)
                self.ranks.add(np.array(predicted[:, 1]), of_label, weight * truth[:, label])


@dataclass
class HingeScore(ClassificationScore):
    """Accuracy, hinge loss and, for two classes, AUC of classes that are told by scores."""

    hinge: float = 0.0

    def add(self, truth: npt.NDArray[np.int32], predicted: Floats, weight: Floats) -> None:
        """Count rows: class codes `[n]`, scores `[n, K]`, weights `[n]`."""
        # The AUC counts pairs in order: any rising function of the score keeps it.
        super().add(truth, 1.0 / (1.0 + np.exp(-np.clip(predicted, -500.0, 500.0))), weight)
        true = truth[:, None] == np.arange(len(self.priors))
        losses = np.maximum(0.0, 1.0 - np.where(true, predicted, -predicted))
        # Two classes share one output, whose scores are opposites.
        each = losses[:, :1] if len(self.priors) == 2 else losses
        self.hinge += float(np.sum(weight * each.sum(axis=1)))

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with accuracy, hinge and auc."""
        found = super().result()
        rarer = np.minimum(self.priors, 1.0 - self.priors)
        trivial = 2.0 * float(rarer[0] if len(self.priors) == 2 else rarer.sum())
        for part, hinge in (("model", self.hinge / self.weight), ("baseline", trivial)):
            del found[part]["log_loss"]
            found[part]["hinge"] = hinge
        return found


@dataclass
class QuantileScore:
    """The pinball loss of several quantiles, and how many targets lie below each.

    Args:
        levels: of the quantiles, `[Q]`.
        trivial: the trivial prediction: the quantiles of the training rows, `[k, Q]`.
    """

    levels: tuple[float, ...]
    trivial: Floats
    weight: float = 0.0
    sums: dict[str, Floats] = field(default_factory=dict)

    def add(self, truth: Floats, predicted: Floats, weight: Floats) -> None:
        """Count rows: `[n, k]`, `[n, k·Q]`, `[n]`."""
        self.weight += float(weight.sum())
        levels, share = np.asarray(self.levels), weight[:, None, None]
        told = predicted.reshape(*truth.shape, len(self.levels))
        for name, quantiles in (("model", told), ("baseline", self.trivial)):
            apart = truth[:, :, None] - quantiles
            lost = np.maximum(levels * apart, (levels - 1.0) * apart)
            added = np.stack([np.sum(share * part, axis=(0, 1)) for part in (lost, apart <= 0.0)])
            self.sums[name] = self.sums.get(name, 0.0) + added

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with pinball and below_<level> for each level."""
        cells = self.weight * len(self.trivial)
        return {
            name: {
                "pinball": float(np.mean(lost) / cells),
                **{
                    f"below_{level:g}": float(one / cells)
                    for level, one in zip(self.levels, below, strict=True)
                },
            }
            for name, (lost, below) in self.sums.items()
        }


@dataclass
class LabelScore:
    """Accuracy, rows that are right as a whole, and log loss of yes-or-no targets.

    Args:
        shares: the trivial prediction: the share of yes among the training rows, `[k]`.
    """

    shares: Floats
    weight: float = 0.0
    sums: dict[str, Floats] = field(default_factory=dict)

    def add(self, truth: Floats, predicted: Floats, weight: Floats) -> None:
        """Count rows: `[n, k]` from 0 to 1, `[n, k]` probabilities, `[n]`."""
        self.weight += float(weight.sum())
        for name, told in (
            ("model", predicted),
            ("baseline", np.tile(self.shares, (len(truth), 1))),
        ):
            right = (told > 0.5) == (truth > 0.5)
            lost = -truth * _log(told) - (1.0 - truth) * _log(1.0 - told)
            rows = np.stack([right.mean(axis=1), right.all(axis=1), lost.mean(axis=1)])
            self.sums[name] = self.sums.get(name, 0.0) + rows @ weight

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}`: accuracy, log_loss, exact_match of several."""
        found = {}
        for name, sums in self.sums.items():
            accuracy, exact, lost = (float(one) for one in sums / self.weight)
            found[name] = {"accuracy": accuracy, "log_loss": lost}
            if len(self.shares) > 1:
                found[name]["exact_match"] = exact
        return found


def _log(probability: Floats) -> Floats:
    return np.log(np.maximum(probability, LEAST_PROBABILITY))
