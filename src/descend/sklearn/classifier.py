"""The classifier of the scikit-learn face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from descend.data.schema.columns import ClassificationTarget, Target
from descend.defaults import UNSEEN_CLASS
from descend.sklearn.arrays import (
    labels_target,
)
from descend.sklearn.base import MiniBatchEstimator
from descend.sklearn.checked_rows import check_new_rows, check_rows
from descend.sklearn.prediction import encode_rows, predict_rows
from descend.sklearn.validation import validation_parts


def _gives_probabilities(estimator: Any) -> bool:
    if estimator.loss == "hinge":
        raise AttributeError(
            "loss='hinge' gives no probabilities; decision_function tells the margins, and "
            "loss='cross_entropy' learns probabilities."
        )
    return True


@final
class MiniBatchClassifier(ClassifierMixin, MiniBatchEstimator):  # type: ignore[misc]  # no types
    """Classification by mini-batch gradient descent, on an array or a frame.

    For the parameters see `MiniBatchEstimator`; `class_weight` is `"balanced"` or a weight for
    each class, and multiplies `sample_weight`.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> y = np.where(X[:, 0] > 0, "up", "down")
        >>> MiniBatchClassifier(random_state=0).fit(X, y).predict([[2.0, 0.0, 0.0]]).tolist()
        ['up']
    """

    def __init__(
        self,
        model: Literal["tabular", "mlp", "linear"] = "tabular",
        *,
        effort: Literal["quick", "default", "thorough"] = "default",
        members: int | None = None,
        networks: int | None = None,
        hidden: tuple[int, ...] | None = None,
        activation: str = "relu",
        batch_size: int | str = "auto",
        batch_schedule: Literal["constant", "auto"] = "constant",
        learning_rate: float | str = "auto",
        optimizer: str = "auto",
        momentum: float = 0.9,
        schedule: str = "auto",
        loss: str = "auto",
        l2: float = 0.0,
        weight_decay: float | None = None,
        clip: float | None = None,
        averaging: bool = True,
        warmup: float | Literal["auto"] = "auto",
        time_budget: float | None = None,
        goal: Literal["time", "examples", "quality"] = "time",
        categorical: Sequence[str] = (),
        class_weight: Any = None,
        max_epochs: int | None = None,
        patience: int = 5,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            effort=effort,
            members=members,
            networks=networks,
            hidden=hidden,
            activation=activation,
            batch_size=batch_size,
            batch_schedule=batch_schedule,
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            schedule=schedule,
            loss=loss,
            l2=l2,
            weight_decay=weight_decay,
            clip=clip,
            averaging=averaging,
            warmup=warmup,
            time_budget=time_budget,
            goal=goal,
            categorical=categorical,
            early_stopping=early_stopping,
            max_epochs=max_epochs,
            patience=patience,
            validation_fraction=validation_fraction,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
        )
        self.class_weight = class_weight

    classes_: NDArray[Any]
    _class_sums: NDArray[np.float64]

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Self:
        """Train from the beginning; with `warm_start` from the weights of the last fit.

        Args:
            X: `[rows, columns]`, an array of numbers or a frame; NaN is a missing value.
            y: `[rows]`, the classes; or `[rows, labels]` of 0 and 1, where a row may have several.
            sample_weight: `[rows]`, 0 or more.
            validation_data: `(X, y)` or `(X, y, sample_weight)` to stop by, in place of a part
                of the rows.

        Raises:
            ValueError: the data or a parameter cannot be used.
            DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates.
        """
        X, y = self._checked_labels(X, y, reset=not self._goes_on)
        given = None
        if validation_data is not None:
            rows = validation_parts(validation_data)
            given = (*self._checked_labels(rows[0], rows[1], reset=False), rows[2])
            if given[1].shape[1:] != y.shape[1:]:
                raise ValueError(
                    f"validation_data has y of shape {given[1].shape}, fit one of {y.shape}."
                )
        classes = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if self._goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start goes on with the classes of the last fit, {self.classes_.tolist()}; "
                f"found {classes.tolist()}."
            )
        self.classes_, self._class_sums = classes, np.zeros(len(classes))
        if given is not None:
            given = (given[0], self._codes(given[1], "validation_data"), given[2])
        return self._fit(X, self._codes(y), sample_weight, given)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go through some rows once, and keep what was learned before.

        The first call decides what each column is and how it is scaled; it should hold a fair
        sample. Every call learns, at the same learning rate: rows that come later may tell
        something new. A part of the rows of every call (`validation_fraction`) goes to a
        reservoir of 10,000 rows at most, a uniform sample of all that were held out. After each
        call the new weights are compared with the best ones before, on the same rows;
        `converged_` is True once `patience` calls in a row brought no improvement.

        Args:
            X: as for `fit`.
            y: as for `fit`.
            classes: all classes that will ever come; taken from y where the first call gives none.
            sample_weight: as for `fit`.
        """
        first = not hasattr(self, "model_")
        X, y = self._checked_labels(X, y, reset=first)
        if first:
            known = np.arange(y.shape[1]) if y.ndim == 2 else y
            if isinstance(classes, set | frozenset):
                classes = list(classes)
            self.classes_ = np.unique(known if classes is None else np.asarray(classes))
            self._class_sums = np.zeros(len(self.classes_))
        elif classes is not None and not np.array_equal(np.unique([*classes]), self.classes_):
            raise ValueError(
                f"`classes={classes}` is not the same as on last call to partial_fit, "
                f"was: {self.classes_.tolist()}"
            )
        return self._partial_fit(X, self._codes(y), sample_weight)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row; of several labels 0 or 1 for each."""
        scores = self.decision_function(X)
        if self._labels:
            return np.asarray(scores > 0, int)
        codes = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """How far each row is on the side of a class: log-odds, or margins of the loss hinge.

        Returns:
            `[rows]` for two classes, above 0 for the second; else `[rows, classes or labels]`.
        """
        X = check_new_rows(self, X)
        scores = np.concatenate([self.model_.scores(x) for x in encode_rows(self.model_, X)])
        single = scores.shape[1] == 1 and not self._labels
        return np.asarray(scores[:, 0] if single else scores)

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, `[rows, classes]` in the order of `classes_`.

        Of several labels that of each by itself, `[rows, labels]`.
        """
        X = check_new_rows(self, X)
        predicted = predict_rows(self.model_, X)
        if self._labels:
            return np.asarray(predicted.values, np.float64)
        probabilities = predicted.probabilities
        assert probabilities is not None
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithm of `predict_proba`."""
        return np.asarray(np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny)))

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights of a linear model in the units of X: `[1 or classes, columns]`."""
        return self._linear()[0]

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """Log-odds of a linear model at X = 0: `[1 or classes]`."""
        return self._linear()[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def _labels(self) -> bool:
        """Whether the fitted model tells several labels of a row."""
        check_is_fitted(self, "model_")
        return self.model_.settings.loss == "binary_cross_entropy"

    def _named_loss(self, y: NDArray[Any]) -> str:
        if y.ndim == 2 and self.loss == "auto":
            return "binary_cross_entropy"
        return self.loss

    def _checked_labels(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        X, y = check_rows(self, X, y, reset=reset, multi_output=True)
        check_classification_targets(y)
        if type_of_target(y) == "multilabel-indicator":
            if self.class_weight is not None:
                raise ValueError("class_weight is for one class to a row; y has several labels.")
            return X, np.asarray(y, np.float64)
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(
                f"Expected one class to a row, or several labels of 0 and 1; found y with "
                f"{y.shape[1]} columns of classes. Learn each by itself: "
                f"MultiOutputClassifier({type(self).__name__}())."
            )
        return X, np.asarray(column_or_1d(y, warn=True))

    def _codes(self, y: NDArray[Any], where: str = "y") -> NDArray[Any]:
        if y.ndim == 2:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"Expected {len(self.classes_)} labels in y, found {y.shape[1]}.")
            return y
        if len(self.classes_) < 2:
            (only,) = self.classes_.tolist()
            raise ValueError(f"Expected at least two classes in y, found one class: {only!r}.")
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        strange = self.classes_[codes] != y
        if strange.any():
            told = (
                "partial_fit is told of all of them at its first call: partial_fit(X, y, "
                "classes=[...])."
                if where == "y"
                else "Leave these rows out: the model cannot predict a class that y does not have."
            )
            raise ValueError(
                f"{where} has the class {y[strange][:1].tolist()[0]!r}, which is not among the "
                f"classes {self.classes_.tolist()}. {told}"
            )
        return codes.astype(np.int32)

    def _weighted(
        self, y: NDArray[Any], weight: NDArray[np.float64], *, learned: bool
    ) -> NDArray[np.float64]:
        if self.class_weight is None:
            return weight
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            # By all rows learned so far: the classes of one call of partial_fit may be few.
            if learned:
                # A row of weight 2 is two rows here too.
                here = np.bincount(y, weights=weight, minlength=len(self.classes_))
                self._class_sums = self._class_sums + here
            sums = self._class_sums
            share = sums.sum() / np.count_nonzero(sums)
            of_class = share / np.where(sums > 0, sums, share)
        else:
            of_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[y]
            )
            if not (np.isfinite(of_class).all() and (of_class >= 0).all()):
                raise ValueError(
                    "Expected finite weights of 0 or more in class_weight; found "
                    f"{self.class_weight!r}."
                )
        return np.asarray(weight * of_class[y])

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> Target:
        check_is_fitted(self, "classes_")
        if y.ndim == 2:
            return labels_target(y, weight)
        kind = {"b": "boolean", "i": "number", "u": "number", "f": "number"}
        sums = np.bincount(y, weights=weight, minlength=len(self.classes_))
        if (sums != np.round(sums)).any() or (sums == 0).any():
            # Only the shares matter. A class that is still to come gets that of half a row: with a
            # smaller one, its first rows would have to undo a bias far off.
            shares = np.where(sums > 0, sums / sums.sum(), UNSEEN_CLASS / len(y))
            sums = (np.round(1e6 * shares) + 1).astype(np.int64)
        return ClassificationTarget(
            names=("y",),
            type=kind.get(self.classes_.dtype.kind, "text"),
            labels=tuple(_plain(label) for label in self.classes_.tolist()),
            counts=tuple(int(one) for one in sums),
        )


def _plain(label: Any) -> Any:
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label if isinstance(label, bool | int | float) else str(label)
