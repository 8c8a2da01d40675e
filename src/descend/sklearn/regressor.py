"""The regressor of the scikit-learn face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score

from descend.choices import OWN_SCALE
from descend.data.schema.columns import RegressionTarget
from descend.errors import SettingsError
from descend.io.units import count_text
from descend.model import Model
from descend.model.intervals import interval
from descend.sklearn.arrays import (
    check_range,
    weighted_moments,
    weighted_quantiles,
)
from descend.sklearn.base import SCORED_ROWS, MiniBatchEstimator
from descend.sklearn.checked_rows import check_new_rows, check_rows
from descend.sklearn.prediction import encode_rows, predict_rows
from descend.sklearn.settings_of import levels_of
from descend.sklearn.validation import validation_parts
from descend.training.evaluation import blocks


@final
class MiniBatchRegressor(RegressorMixin, MiniBatchEstimator):  # type: ignore[misc]  # no types
    """Regression by mini-batch gradient descent, on an array or a frame.

    Inputs and targets are scaled, missing numbers are allowed, and a frame may hold text and
    dates. For the parameters see `MiniBatchEstimator`; beside them,
    `quantiles` is one level or several between 0 and 1, and selects the quantile loss.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> estimator = MiniBatchRegressor(model="linear", max_epochs=50, random_state=0)
        >>> estimator.fit(X, X @ [1.0, 2.0, 3.0]).coef_.round(2)
        array([1., 2., 3.])
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
        quantiles: float | Sequence[float] | None = None,
        l2: float = 0.0,
        weight_decay: float | None = None,
        clip: float | None = None,
        averaging: bool = True,
        warmup: float | Literal["auto"] = "auto",
        time_budget: float | None = None,
        goal: Literal["time", "examples", "quality"] = "time",
        categorical: Sequence[str] = (),
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
        self.quantiles = quantiles

    def fit(self, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None) -> Self:
        """Train from the beginning; with `warm_start` from the weights of the last fit.

        Args:
            X: `[rows, columns]`, an array of numbers or a frame; NaN is a missing value.
            y: `[rows]` or `[rows, targets]`.
            sample_weight: `[rows]`, 0 or more.
            validation_data: `(X, y)` or `(X, y, sample_weight)` to stop by, in place of a part
                of the rows.

        Raises:
            ValueError: the data or a parameter cannot be used.
            DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates.
        """
        X, y = self._checked(X, y, reset=not self._goes_on)
        if self._goes_on:
            self._check_width(y)
        given = None
        if validation_data is not None:
            rows = validation_parts(validation_data)
            given = (*self._checked(rows[0], rows[1], reset=False), rows[2])
            if given[1].shape[1] != y.shape[1]:
                raise ValueError(
                    f"validation_data has {count_text(given[1].shape[1], 'target')} to a row, "
                    f"y has {y.shape[1]}."
                )
        return self._fit(X, y, sample_weight, given)

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
        first = not hasattr(self, "model_")
        X, y = self._checked(X, y, reset=first)
        if not first:
            self._check_width(y)
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predictions: `[rows]`, or `[rows, targets]` where y had two dimensions and several."""
        X = check_new_rows(self, X)
        values = predict_rows(self.model_, X).values
        return np.asarray(self.model_.shaped(values), np.float64)

    def predict_interval(self, X: Any, level: float = 0.95) -> NDArray[np.float64]:
        """The bounds between which the target of a row lies with a given probability.

        They are calibrated on the rows held out for validation (or `validation_data`, or after
        `partial_fit` the reservoir): see `descend.training.intervals`.

        Args:
            X: as for `predict`.
            level: the part of unseen rows whose targets lie within.

        Returns:
            `[rows, 2]`, lower and upper bound; `[rows, targets, 2]` for several targets.

        Raises:
            ValueError: there were no rows to calibrate with, or too few for this level.
        """
        X = check_new_rows(self, X)
        try:
            bounds = [interval(self._calibrated(), x, level) for x in encode_rows(self.model_, X)]
        except SettingsError as error:
            raise ValueError(f"{error} (predict_interval, level={level})") from None
        found = np.concatenate(bounds)
        return found[:, 0] if found.shape[1] == 1 else found

    def _calibrated(self) -> Model:
        stream = getattr(self, "_stream", None)
        if self.model_.calibration is None and stream is not None and stream.validated:
            self.model_ = self.model_.with_calibration(blocks(stream.held_out, SCORED_ROWS))
        return self.model_

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R²; of quantiles the part of the pinball loss of constant quantiles that is saved."""
        levels = levels_of(self)
        if not levels:
            return float(super().score(X, y, sample_weight))
        told = self.predict(X).reshape(len(y), -1, len(levels))
        each = [
            d2_pinball_score(y, told[:, :, place].squeeze(), sample_weight=sample_weight, alpha=one)
            for place, one in enumerate(levels)
        ]
        return float(np.mean(each))

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
        X, y = check_rows(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        y = np.asarray(y, np.float64)
        check_range(y.reshape(len(y), -1))
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError("Expected counts of 0 or more in y for loss='poisson', found others.")
        return X, y.reshape(len(y), -1)

    def _check_width(self, y: NDArray[Any]) -> None:
        """Raise ValueError where y has another number of targets than those of the model."""
        width = len(self.model_.schema.target.names)
        if y.shape[1] != width:
            raise ValueError(
                f"y has {count_text(y.shape[1], 'target')} to a row; the model goes on from "
                f"{count_text(width, 'target')}. Give y as before, or make a new estimator."
            )

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> RegressionTarget:
        moments = [weighted_moments(column, weight) for column in y.T]
        return RegressionTarget(
            names=("y",) if y.shape[1] == 1 else tuple(f"y{one}" for one in range(y.shape[1])),
            mean=tuple(mean for mean, _ in moments),
            deviation=tuple(deviation for _, deviation in moments),
            minimum=tuple(y.min(axis=0).tolist()),
            maximum=tuple(y.max(axis=0).tolist()),
            standardised=self.loss not in OWN_SCALE,
            counts=tuple(bool((one >= 0).all() and (one % 1 == 0).all()) for one in y.T),
            quantiles=tuple(weighted_quantiles(one, weight, levels_of(self)) for one in y.T)
            if levels_of(self)
            else (),
        )
