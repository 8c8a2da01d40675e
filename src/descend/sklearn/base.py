"""What both estimators do: check, split, train, go on, and tell what was learned."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing, check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from descend.data.schema.columns import LeftOutColumn, Schema, Target
from descend.defaults import ESTIMATOR_EPOCHS, PARTIAL_FIT_BATCH
from descend.errors import SettingsError, parameters_named
from descend.model import Model, Predicted
from descend.reporting.progress import Progress, make_progress
from descend.runtime.together import agreed
from descend.settings import Settings
from descend.sklearn.arrays import (
    Rows,
    Trained,
    encoded,
    learned_schema,
    prepared_rows,
    train_prepared,
)
from descend.sklearn.partial_fit import Stream, go_on
from descend.sklearn.validation import (
    held_out,
    holds_words,
    linear_weights,
    part,
    seed_of,
    to_numpy,
)
from descend.training.build import default_learning_rate, with_model_defaults
from descend.training.losses import resolve_loss
from descend.types import Advice, History, StopReason

NETWORK = ("model", "members", "hidden", "activation", "loss")
"""Parameters that decide what weights there are: fixed once there are any."""
ELSEWHERE = {
    "alpha": "l2",
    "early_stopping": "validation_fraction and patience",
    "eta0": "learning_rate",
    "hidden_layer_sizes": "hidden",
    "learning_rate_init": "learning_rate",
    "max_iter": "max_epochs",
    "n_iter_no_change": "patience",
    "penalty": "l2",
    "solver": "optimizer",
}
"""Parameters of scikit-learn's SGD and MLP estimators, and what they are called here."""
PARAMETERS = {"epochs": "max_epochs", "seed": "random_state", "validation": "validation_fraction"}
"""Settings whose parameter has scikit-learn's name instead of ours."""


class MiniBatchEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What `MiniBatchRegressor` and `MiniBatchClassifier` have in common.

    Args:
        model: `tabular`, the network made for tables; `mlp`, a small plain one; or `linear`.
        effort: how much the tabular network trains: `quick`, `default` or `thorough`.
        members: of the tabular network, trained at once; None is 1, 4 or 16 by the effort.
        hidden: units of each hidden layer; None is (128, 128) for tabular and (128, 64) for mlp.
        activation: `relu`, `gelu` or `tanh`.
        batch_size: rows per update, or `all` for gradient descent. `auto` is measured from 20,000
            training rows on; with fewer, and for tabular, it is a power of two, 256 at most, that
            makes 64 updates an epoch.
        learning_rate: peak learning rate. `auto` is measured together with the batch size, or
            with fewer rows the usual rate of the optimizer.
        optimizer: the name of an update rule, as for `descend.train`; `auto` is adamw for tabular,
            else momentum.
        momentum: of momentum and nesterov.
        schedule: `constant`, `cosine`, `one-cycle` or `inverse-time`; `auto` is one-cycle for
            tabular, else constant.
        loss: the loss of one row, or `auto`.
        l2: penalty, l2/2 · |weights|², the same at every batch size.
        max_epochs: most passes over the training rows; None is by the effort for tabular, and 200
            for the others.
        patience: evaluations without improvement before the learning rate is lowered, and in the
            end training stops; under one-cycle half the epochs at the least.
        validation_fraction: of the rows, kept to judge by. 0, or where that would be fewer than
            ten rows, all rows are learned from and judge too.
        random_state: of the split, the initial weights and the order of rows.
        warm_start: whether `fit` goes on from the weights, columns and scaling of the last fit.
        verbose: whether to show progress.

    Attributes:
        model_: a `descend.Model`: save it, or export it.
        n_iter_: epochs made.
        loss_curve_: mean loss of the batches before each evaluation.
        validation_scores_: minus the loss over the validation rows, at each evaluation.
        best_validation_score_: the highest of them, that of the weights that are kept.
        batch_size_: rows per update, as decided.
        learning_rate_: as decided.
        advice_: what was measured for `auto`, or None.
        stop_reason_: why training ended.
        n_features_in_: columns of X.
        feature_names_in_: their names, where X was a frame.
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
        max_epochs: int | None = None,
        patience: int = 5,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.effort = effort
        self.members = members
        self.hidden = hidden
        self.activation = activation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.schedule = schedule
        self.loss = loss
        self.l2 = l2
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Editors and scikit-learn's checks ask for it, and would find that of `__new__`.
        signature = inspect.signature(cls.__init__)
        parameters = list(signature.parameters.values())[1:]
        cls.__signature__ = signature.replace(parameters=parameters, return_annotation=cls)

    __signature__: ClassVar[inspect.Signature]

    def __new__(cls, *args: Any, **parameters: Any) -> Self:
        """A name that another library uses is answered with the one used here."""
        for name in parameters.keys() & ELSEWHERE.keys():
            raise TypeError(f"{cls.__name__} has no {name}; it takes {ELSEWHERE[name]} instead.")
        made: Self = super().__new__(cls)
        return made

    model_: Model
    advice_: Advice | None
    _stream: Stream | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def _goes_on(self) -> bool:
        return bool(self.warm_start) and hasattr(self, "model_")

    def _checked_input(
        self, X: Any, y: Any, *, reset: bool, multi_output: bool = False, y_numeric: bool = False
    ) -> tuple[Any, Any]:
        """X as an array of numbers, or as the frame it is where it holds text or dates."""
        if not holds_words(X):
            return validate_data(  # type: ignore[no-any-return]
                self,
                X,
                y,
                reset=reset,
                dtype="numeric",
                ensure_all_finite="allow-nan",
                ensure_min_samples=2 if reset else 1,
                multi_output=multi_output,
                y_numeric=y_numeric,
            )
        validate_data(self, X, reset=reset, skip_check_array=True)
        y = check_array(y, ensure_2d=False, dtype="numeric" if y_numeric else None, input_name="y")
        check_consistent_length(X, y)
        return X, y

    def _rows(self, X: Any, y: NDArray[Any], sample_weight: Any) -> tuple[Rows, NDArray[Any]]:
        """The rows that count, and their sample weights alone, without class weights."""
        weight = np.ones(len(y))
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
            )
        used = weight > 0
        if not used.any():
            raise ValueError("Every sample_weight is 0; there are no rows to learn from.")
        if not used.all():
            X, y, weight = _safe_indexing(X, np.flatnonzero(used)), y[used], weight[used]
        classes = self._class_weights(y)
        return Rows(X, y, weight if classes is None else weight * classes), weight

    def _class_weights(self, y: NDArray[Any]) -> NDArray[np.float64] | None:
        return None

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> Target:
        raise NotImplementedError

    def _fit(self, X: Any, y: NDArray[Any], sample_weight: Any) -> Self:
        settings = self._settings(y)
        rows, weight = self._rows(X, y, sample_weight)
        if rows.y.ndim == 1 and len(np.unique(rows.y)) < 2:
            raise ValueError("The rows whose sample_weight is above 0 have one class only.")
        held = held_out(rows.y, self.validation_fraction, settings.seed)
        training, judging = (part(rows, which) for which in (~held, held))
        before: Model | None = self.model_ if self._goes_on else None
        if before is not None:
            _check_same_network(settings, before.settings, "warm_start=True")
            schema = before.schema
        else:
            target = self._target(training.y, training.weight)
            scaling = training._replace(weight=weight[~held])
            schema = learned_schema(scaling, target, settings, self._names())
        prepared = prepared_rows(schema, training, judging if held.any() else None)
        params = None if before is None else before.params
        trained = train_prepared(prepared, settings, self._progress(), params=params)
        if trained.reason is StopReason.INTERRUPTED:
            warnings.warn(
                "Training was interrupted; the best weights so far are kept.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._stream = None
        self.model_ = Model(schema, trained.settings, to_numpy(trained.loop.best.mean))
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] = []
        self._remember(trained)
        return self

    def _partial_fit(self, X: Any, y: NDArray[Any], sample_weight: Any) -> Self:
        stream: Stream = getattr(self, "_stream", None) or Stream()
        rows, weight = self._rows(X, y, sample_weight)
        params = None
        settings = self._settings(y)
        if self.schedule == "auto":
            # A course to an end is nothing for rows that go on coming.
            settings = settings.replace(schedule="constant")
        if not hasattr(self, "model_"):
            settings = _with_numbers(
                settings, PARTIAL_FIT_BATCH, default_learning_rate(settings.optimizer)
            )
            target = self._target(rows.y, rows.weight)
            schema = learned_schema(rows._replace(weight=weight), target, settings, self._names())
            self.loss_curve_, self.validation_scores_ = [], []
            self.n_iter_ = 0
            self.advice_ = None
            _warn_of_constant_columns(schema)
        else:
            before = self.model_.settings
            _check_same_network(settings, before, "partial_fit")
            if settings.optimizer != before.optimizer and stream.loop is not None:
                raise ValueError(
                    f"partial_fit goes on with the state of optimizer={before.optimizer!r}; found "
                    f"{settings.optimizer!r}. Set it back, or call fit to begin anew."
                )
            settings = _with_numbers(settings, before.batch_size, before.learning_rate)
            settings = settings.replace(seed=before.seed)
            schema, params = self.model_.schema, self.model_.params
        stream = go_on(
            stream,
            schema,
            settings,
            rows,
            self.validation_fraction,
            self._progress(),
            params,
        )
        self._stream = stream
        if stream.loop is None:
            raise ValueError("The first call of partial_fit needs at least two rows.")
        self.model_ = Model(schema, settings, stream.params)
        self.converged_ = stream.stale >= self.patience
        self.n_iter_ += 1
        self.batch_size_, self.learning_rate_ = settings.batch_size, settings.learning_rate
        self._note(stream.lines)
        return self

    def _settings(self, y: NDArray[Any]) -> Settings:
        """The parameters as settings, checked."""
        task = "classification" if y.ndim == 1 else "regression"
        loss = resolve_loss(self.loss, task)
        if (loss == "cross_entropy") != (task == "classification"):
            raise ValueError(f"loss={self.loss!r} does not fit {task}.")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                "validation_fraction must be at least 0 and less than 1; "
                f"found {self.validation_fraction!r}."
            )
        settings = _checked_settings(
            target="y",
            task=task,
            model=self.model,
            effort=self.effort,
            members=self.members,
            hidden=None if self.hidden is None else tuple(np.atleast_1d(self.hidden).tolist()),
            activation=self.activation,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            momentum=self.momentum,
            schedule=self.schedule,
            loss=loss,
            l2=self.l2,
            epochs=self._most_epochs(),
            patience=self.patience,
            seed=agreed(seed_of(self.random_state)),
        )
        return with_model_defaults(settings)

    def _most_epochs(self) -> int | None:
        if self.max_epochs is None and self.model != "tabular":
            return ESTIMATOR_EPOCHS
        return self.max_epochs

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    def _progress(self) -> Progress:
        return make_progress("auto" if self.verbose else "silent")

    def _remember(self, trained: Trained) -> None:
        self._note(trained.loop.history)
        self.n_iter_ = max(1, math.ceil(trained.loop.history[-1].epoch))
        self.best_validation_score_ = -trained.loop.progress.best
        self.batch_size_ = trained.settings.batch_size
        self.learning_rate_ = trained.settings.learning_rate
        self.advice_ = trained.advice
        self.stop_reason_ = trained.reason

    def _note(self, history: History) -> None:
        known = [line for line in history if not math.isnan(line.train_loss)]
        self.loss_curve_ += [line.train_loss for line in known]
        self.validation_scores_ += [-line.validation_loss for line in known]

    def _predicted(self, X: Any) -> Predicted:
        check_is_fitted(self, "model_")
        if holds_words(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, dtype="numeric", ensure_all_finite="allow-nan")
        return self.model_.decoded(self.model_.outputs(encoded(self.model_.encoder, X)))

    def _linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        check_is_fitted(self, "model_")
        return linear_weights(self.model_)


def _checked_settings(**options: Any) -> Settings:
    """Settings, or a ValueError that calls them as the parameters of an estimator are called."""
    try:
        with parameters_named(PARAMETERS):
            return Settings(**options)
    except SettingsError as error:
        raise ValueError(str(error)) from None


def _with_numbers(settings: Settings, batch_size: int | str, rate: float | str) -> Settings:
    """Settings with numbers in place of `auto`."""
    return settings.replace(
        batch_size=batch_size if settings.batch_size == "auto" else settings.batch_size,
        learning_rate=rate if settings.learning_rate == "auto" else settings.learning_rate,
    )


def _check_same_network(now: Settings, before: Settings, who: str) -> None:
    """Refuse parameters that the weights of an earlier fit do not belong to.

    Raises:
        ValueError: one of `NETWORK` changed.
    """
    for name in NETWORK:
        if getattr(now, name) != getattr(before, name):
            raise ValueError(
                f"{who} goes on from weights learned with {name}={getattr(before, name)!r}; "
                f"found {name}={getattr(now, name)!r}. Set it back, or begin anew: "
                "warm_start=False and fit."
            )


def _warn_of_constant_columns(schema: Schema) -> None:
    """Say which columns the first call of `partial_fit` cannot learn from, now or later."""
    left_out = [column.name for column in schema.columns if isinstance(column, LeftOutColumn)]
    if left_out:
        names = ", ".join(map(repr, left_out[:5]))
        warnings.warn(
            f"The first call of partial_fit decides what each column is. {names} held "
            "nothing to learn from there and will not be used later either; begin with more rows.",
            UserWarning,
            stacklevel=4,
        )
