"""The scikit-learn face: a regressor and a classifier."""

from __future__ import annotations

from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray

try:
    from sklearn.base import ClassifierMixin, RegressorMixin
except ImportError as error:
    raise ImportError(
        "The estimators need scikit-learn. Type: pip install 'descend[sklearn]'"
    ) from error
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from descend.data.schema.columns import ClassificationTarget, RegressionTarget
from descend.sklearn.arrays import weighted_moments
from descend.sklearn.base import MiniBatchEstimator


@final
class MiniBatchRegressor(RegressorMixin, MiniBatchEstimator):  # type: ignore[misc]  # no types
    """Regression by mini-batch gradient descent, on an array or a frame.

    Inputs and targets are scaled, missing numbers are allowed, and a frame may hold text and
    dates. For the parameters see `MiniBatchEstimator`.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> estimator = MiniBatchRegressor(model="linear", max_epochs=50, random_state=0)
        >>> estimator.fit(X, X @ [1.0, 2.0, 3.0]).coef_.round(2)
        array([1., 2., 3.])
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from the beginning; with `warm_start` from the weights of the last fit.

        Args:
            X: `[rows, columns]`, an array of numbers or a frame; NaN is a missing value.
            y: `[rows]` or `[rows, targets]`.
            sample_weight: `[rows]`, 0 or more.

        Raises:
            ValueError: the data or a parameter cannot be used.
            DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates.
        """
        X, y = self._checked(X, y, reset=not self._goes_on)
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
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
            sample_weight: as for `fit`.
        """
        X, y = self._checked(X, y, reset=not hasattr(self, "model_"))
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predictions: `[rows]`, or `[rows, targets]` where y had two dimensions and several."""
        values = self._predicted(X).values
        return np.asarray(values[:, 0] if values.shape[1] == 1 else values, np.float64)

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights of a linear model in the units of X: `[columns]`, `[targets, columns]`."""
        coef, _ = self._linear()
        return coef[0] if len(coef) == 1 else coef

    @property
    def intercept_(self) -> Any:
        """Where a linear model stands at X = 0: a number, or one for each target."""
        _, intercept = self._linear()
        return float(intercept[0]) if len(intercept) == 1 else intercept

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        X, y = self._checked_input(X, y, reset=reset, multi_output=True, y_numeric=True)
        y = np.asarray(y, np.float64)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError("Expected counts of 0 or more in y for loss='poisson', found others.")
        return X, y.reshape(len(y), -1)

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> RegressionTarget:
        moments = [weighted_moments(column, weight) for column in y.T]
        return RegressionTarget(
            names=("y",) if y.shape[1] == 1 else tuple(f"y{one}" for one in range(y.shape[1])),
            mean=tuple(mean for mean, _ in moments),
            deviation=tuple(deviation for _, deviation in moments),
            minimum=tuple(y.min(axis=0).tolist()),
            maximum=tuple(y.max(axis=0).tolist()),
            standardised=self.loss != "poisson",
        )


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
        hidden: tuple[int, ...] | None = None,
        activation: str = "relu",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        optimizer: str = "auto",
        momentum: float = 0.9,
        schedule: str = "auto",
        loss: str = "auto",
        l2: float = 0.0,
        class_weight: Any = None,
        max_epochs: int | None = None,
        patience: int = 5,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            effort=effort,
            members=members,
            hidden=hidden,
            activation=activation,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            schedule=schedule,
            loss=loss,
            l2=l2,
            max_epochs=max_epochs,
            patience=patience,
            validation_fraction=validation_fraction,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
        )
        self.class_weight = class_weight

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from the beginning; with `warm_start` from the weights of the last fit.

        Args:
            X: `[rows, columns]`, an array of numbers or a frame; NaN is a missing value.
            y: `[rows]`, the classes.
            sample_weight: `[rows]`, 0 or more.

        Raises:
            ValueError: the data or a parameter cannot be used.
            DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates.
        """
        X, y = self._checked_labels(X, y, reset=not self._goes_on)
        classes = np.unique(y)
        if self._goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start goes on with the classes of the last fit, {self.classes_.tolist()}; "
                f"found {classes.tolist()}."
            )
        self.classes_ = classes
        return self._fit(X, self._codes(y), sample_weight)

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
            self.classes_ = np.unique(y if classes is None else np.asarray(classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"`classes={classes}` is not the same as on last call to partial_fit, "
                f"was: {self.classes_.tolist()}"
            )
        return self._partial_fit(X, self._codes(y), sample_weight)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row."""
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, `[rows, classes]` in the order of `classes_`."""
        probabilities = self._predicted(X).probabilities
        assert probabilities is not None
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """The logarithm of `predict_proba`."""
        return np.log(np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny))

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Weights of a linear model in the units of X: `[1 or classes, columns]`."""
        return self._linear()[0]

    @property
    def intercept_(self) -> NDArray[np.float64]:
        """Log-odds of a linear model at X = 0: `[1 or classes]`."""
        return self._linear()[1]

    def _checked_labels(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        X, y = self._checked_input(X, y, reset=reset)
        check_classification_targets(y)
        return X, np.asarray(column_or_1d(y, warn=True))

    def _codes(self, y: NDArray[Any]) -> NDArray[np.int32]:
        if len(self.classes_) < 2:
            raise ValueError(
                f"Expected at least two classes in y, found one class: {self.classes_[0]!r}."
            )
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        strange = self.classes_[codes] != y
        if strange.any():
            raise ValueError(
                f"y has the class {y[strange][0]!r}, which is not among the classes "
                f"{self.classes_.tolist()}."
            )
        return codes.astype(np.int32)

    def _class_weights(self, y: NDArray[Any]) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        return np.asarray(compute_sample_weight(self.class_weight, self.classes_[y]))

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> ClassificationTarget:
        check_is_fitted(self, "classes_")
        kind = {"b": "boolean", "i": "number", "u": "number", "f": "number"}
        sums = np.bincount(y, weights=weight, minlength=len(self.classes_))
        if (sums != np.round(sums)).any() or (sums == 0).any():
            # Only the shares matter; a class that is still to come gets a small one.
            sums = np.round(1e6 * sums / sums.sum()) + 1
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
