"""Metrics of a model, each beside that of the trivial prediction.

Sums are kept, not rows, so that a table of any length needs little memory; only the AUC
keeps scores, in bins of 1/65,536 of probability.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 1 << 16
LEAST_PROBABILITY = 1e-15


@dataclass
class RegressionScore:
    """R², RMSE and MAE of numbers, added up part by part.

    Args:
        mean: the trivial prediction: the mean of the training rows by their weights, `[k]`.
    """

    mean: Floats
    weight: float = 0.0
    squared: float = 0.0
    absolute: float = 0.0
    squared_trivial: float = 0.0
    absolute_trivial: float = 0.0
    total: Floats = field(init=False)
    total_squared: Floats = field(init=False)

    def __post_init__(self) -> None:
        """Begin at nothing."""
        self.total = np.zeros_like(self.mean)
        self.total_squared = np.zeros_like(self.mean)

    def add(self, truth: Floats, predicted: Floats, weight: Floats) -> None:
        """Count rows: `[n, k]`, `[n, k]`, `[n]`."""
        w = weight[:, None]
        self.weight += float(weight.sum())
        self.squared += float(np.sum(w * (predicted - truth) ** 2))
        self.absolute += float(np.sum(w * np.abs(predicted - truth)))
        centred = truth - self.mean
        self.squared_trivial += float(np.sum(w * centred**2))
        self.absolute_trivial += float(np.sum(w * np.abs(centred)))
        self.total += np.sum(w * centred, axis=0)
        self.total_squared += np.sum(w * centred**2, axis=0)

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with r2, rmse and mae."""
        cells = self.weight * len(self.mean)
        spread = float(np.sum(self.total_squared - self.total**2 / self.weight))

        def figures(squared: float, absolute: float) -> dict[str, float]:
            return {
                "r2": 1.0 - squared / spread if spread > 0 else float("nan"),
                "rmse": float(np.sqrt(squared / cells)),
                "mae": absolute / cells,
            }

        return {
            "model": figures(self.squared, self.absolute),
            "baseline": figures(self.squared_trivial, self.absolute_trivial),
        }


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
    bins: Floats = field(default_factory=lambda: np.zeros((2, BINS)))

    def add(self, truth: npt.NDArray[np.int32], predicted: Floats, weight: Floats) -> None:
        """Count rows: class codes `[n]`, probabilities `[n, K]`, weights `[n]`."""
        rows = np.arange(len(truth))
        self.weight += float(weight.sum())
        self.right += float(np.sum(weight * (predicted.argmax(axis=1) == truth)))
        self.right_trivial += float(np.sum(weight * (truth == self.priors.argmax())))
        self.log_loss -= float(np.sum(weight * _log(predicted[rows, truth])))
        self.log_loss_trivial -= float(np.sum(weight * _log(self.priors[truth])))
        if len(self.priors) == 2:
            place = np.minimum((predicted[:, 1] * BINS).astype(np.int64), BINS - 1)
            for label in (0, 1):
                chosen = truth == label
                self.bins[label] += np.bincount(place[chosen], weight[chosen], minlength=BINS)

    def result(self) -> dict[str, dict[str, float]]:
        """`{"model": {...}, "baseline": {...}}` with accuracy, log_loss and auc."""
        model = {"accuracy": self.right / self.weight, "log_loss": self.log_loss / self.weight}
        baseline = {
            "accuracy": self.right_trivial / self.weight,
            "log_loss": self.log_loss_trivial / self.weight,
        }
        if len(self.priors) == 2:
            model["auc"] = _area(self.bins)
            baseline["auc"] = 0.5
        return {"model": model, "baseline": baseline}


def _log(probability: Floats) -> Floats:
    return np.log(np.maximum(probability, LEAST_PROBABILITY))


def _area(bins: Floats) -> float:
    """The chance that a row of class 1 scores above one of class 0, ties counting half."""
    first, second = bins
    below = np.cumsum(first) - first
    pairs = first.sum() * second.sum()
    return float(np.sum(second * (below + 0.5 * first)) / pairs) if pairs else float("nan")
