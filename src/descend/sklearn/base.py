"""What both estimators do: check, split, train, go on, and tell what was learned."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from descend.data.encoding.encoder import Encoder
from descend.data.schema.columns import LeftOutColumn, Schema, Target
from descend.defaults import PARTIAL_FIT_BATCH
from descend.errors import warn_user
from descend.model import Model
from descend.reporting.progress import Progress, make_progress
from descend.settings import Settings
from descend.sklearn.arrays import (
    Rows,
    Trained,
    learn_array_schema,
    prepare_rows,
    train_prepared,
)
from descend.sklearn.other_names import answering_names, unknown_parameter
from descend.sklearn.partial_fit import Stream, go_on
from descend.sklearn.settings_of import check_same_network, levels_of, settings_of, with_numbers
from descend.sklearn.validation import (
    choose_held_out,
    linear_weights,
    part,
    read_array,
)
from descend.training.build import (
    PLANNED,
    default_learning_rate,
    stable_rate,
)
from descend.training.evaluation import blocks
from descend.training.network.tabular import count_networks
from descend.training.several_networks import kept_weights
from descend.types import Advice, History, StopReason

SCORED_ROWS = 65536
"""Validation rows from which intervals are calibrated at a time."""


class MiniBatchEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What `MiniBatchRegressor` and `MiniBatchClassifier` have in common.

    Args:
        model: `tabular`, the network made for tables; `mlp`, a small plain one; or `linear`.
        effort: how much the tabular network trains: `quick`, `default` or `thorough`.
        members: of a tabular network, trained at once; None is 1, 4 or 2 by the effort.
        networks: of the tabular model, trained one after another, which predict their mean; None
            is 1, and 8 for `thorough`. `partial_fit` trains one.
        hidden: units of each hidden layer; None is (128, 128, 128) for tabular and
            (128, 64) for mlp.
        activation: `relu`, `gelu` or `tanh`.
        batch_size: rows per update, or `all` for gradient descent. `auto` is measured from 20,000
            training rows on; with fewer, and for tabular, it is a power of two, 256 at most, that
            makes 64 updates an epoch.
        batch_schedule: `constant`, or `auto`: `fit` lets the batch grow by measured gradient noise,
            at the same learning rate.
        learning_rate: peak learning rate. `auto` is measured together with the batch size, or
            with fewer rows the usual rate of the optimizer.
        optimizer: the name of an update rule, as for `descend.train`; `auto` is adamw for tabular,
            else momentum.
        momentum: of momentum and nesterov.
        schedule: `constant`, `cosine`, `one-cycle`, `warmup-stable-decay` or `inverse-time`;
            `auto` is warmup-stable-decay for tabular, else constant.
        loss: the loss of one row, or `auto`: for numbers `squared_error`, `absolute_error`,
            `huber`, `poisson` or `quantile`; for classes `cross_entropy` or `hinge`; for several
            labels `binary_cross_entropy`.
        l2: penalty, l2/2 · |weights|², the same at every batch size.
        weight_decay: of the update rule; None is 0.1 for tabular, 0.01 for adamw, else 0.
        clip: largest gradient norm; longer gradients are scaled down. None: no limit.
        averaging: whether a running average of the weights is evaluated and kept.
        warmup: fraction of the updates over which the learning rate rises; `auto` is a few at the
            beginning, for rules that need it.
        time_budget: seconds after which `fit` ends; `partial_fit` goes through its rows whatever.
        goal: what is looked for where `auto` is measured: `time` to a good validation loss,
            `examples` to it, or `quality` whatever the time.
        categorical: columns of a frame whose numbers are codes of categories.
        max_epochs: most passes over the training rows; None is by the effort for tabular, and 200
            for the others.
        patience: evaluations without improvement before the learning rate is lowered, and in the
            end training stops; with the schedule of tabular half the epochs at the least.
        early_stopping: False learns from all rows, makes all epochs and keeps the last weights.
        validation_fraction: of the rows, held out for validation. 0, or where that would be fewer
            than ten rows, all rows are both learned from and validated on.
        random_state: of the split, the initial weights and the order of rows.
        warm_start: whether `fit` goes on from the weights, columns and scaling of the last fit.
        verbose: whether to show progress on stderr: a bar on a terminal, else a line for each
            evaluation.

    Attributes:
        model_: a `descend.Model`: save it, or export it.
        n_iter_: epochs made.
        loss_curve_: mean loss of the batches before each evaluation.
        validation_scores_: minus the loss over the validation rows, at each evaluation.
        best_validation_score_: the highest of them, that of the weights that are kept.
        batch_size_: rows per update, as decided; the first where it grows.
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
        max_epochs: int | None = None,
        patience: int = 5,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.effort = effort
        self.members = members
        self.networks = networks
        self.hidden = hidden
        self.activation = activation
        self.batch_size = batch_size
        self.batch_schedule = batch_schedule
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.schedule = schedule
        self.loss = loss
        self.l2 = l2
        self.weight_decay = weight_decay
        self.clip = clip
        self.averaging = averaging
        self.warmup = warmup
        self.time_budget = time_budget
        self.goal = goal
        self.categorical = categorical
        self.early_stopping = early_stopping
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
        for name in ("fit", "partial_fit"):
            if name in vars(cls):
                setattr(cls, name, answering_names(cls, vars(cls)[name]))

    __signature__: ClassVar[inspect.Signature]
    quantiles: float | Sequence[float] | None = None
    """Of a regressor, one of its parameters."""

    def __new__(cls, *args: Any, **parameters: Any) -> Self:
        """A name that another library uses is answered with the one used here."""
        known = cls.__signature__.parameters
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
            for name in parameters.keys() - known.keys():
                raise TypeError(unknown_parameter(cls.__name__, name, list(known)))
        made: Self = super().__new__(cls)
        return made

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters; a name that another library uses is answered with the one used here."""
        known = self.get_params(deep=False)
        for name in parameters.keys() - known.keys():
            if "__" not in name:
                raise ValueError(unknown_parameter(type(self).__name__, name, list(known)))
        changed: Self = super().set_params(**parameters)
        return changed

    model_: Model
    advice_: Advice | None
    _stream: Stream | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @property
    def _goes_on(self) -> bool:
        return bool(self.warm_start) and hasattr(self, "model_")

    def _rows(self, X: Any, y: NDArray[Any], sample_weight: Any, *, learned: bool = True) -> Rows:
        """The rows that count, with the product of their sample weights and class weights.

        Args:
            X: checked inputs.
            y: checked targets, or class codes.
            sample_weight: as a user gives it.
            learned: whether they are learned from; if not, they only judge.
        """
        weight = np.ones(len(y))
        if sample_weight is not None:
            weight = _check_sample_weight(
                read_array(sample_weight, "sample_weight"),
                np.empty((len(y), 1)),
                dtype=np.float64,
                ensure_non_negative=True,
            )
        if not weight.any():
            raise ValueError("Every sample_weight is 0; there are no rows to learn from.")
        weight = self._weighted(y, weight, learned=learned)
        used = weight > 0
        if not used.any():
            raise ValueError("The class_weight of every row is 0; there are none to learn from.")
        if not used.all():
            X, y, weight = _safe_indexing(X, np.flatnonzero(used)), y[used], weight[used]
        return Rows(X, y, weight)

    def _weighted(
        self, y: NDArray[Any], weight: NDArray[np.float64], *, learned: bool
    ) -> NDArray[np.float64]:
        """The weights with which rows count, from their sample weights."""
        return weight

    def _target(self, y: NDArray[Any], weight: NDArray[np.float64]) -> Target:
        raise NotImplementedError

    def _fit(
        self, X: Any, y: NDArray[Any], sample_weight: Any, given: tuple[Any, ...] | None
    ) -> Self:
        """Train; `given` are checked validation rows `(X, y)` or `(X, y, weight)`, or None."""
        settings = self._settings(y)
        rows = self._rows(X, y, sample_weight)
        if rows.y.ndim == 1 and len(np.unique(rows.y)) < 2:
            raise ValueError("The rows whose weight is above 0 have one class only.")
        fraction = self.validation_fraction if self.early_stopping and given is None else 0.0
        held = choose_held_out(rows.y, fraction, settings.seed)
        training, validation = (part(rows, which) for which in (~held, held))
        if given is not None:
            validation = self._rows(*given, learned=False)
        has_validation = given is not None or bool(held.any())
        before: Model | None = self.model_ if self._goes_on else None
        if before is not None:
            check_same_network(settings, before.settings, "warm_start=True")
            if has_validation and self.early_stopping:
                _warn_of_another_penalty(settings, before.settings)
            schema = before.schema
        else:
            target = self._target(training.y, training.weight)
            schema = learn_array_schema(training, target, settings, self._names())
        prepared = prepare_rows(schema, training, validation if has_validation else None)
        params = None if before is None else before.params
        keep_last = not self.early_stopping
        trained = train_prepared(
            prepared, settings, self._progress(), params=params, keep_last=keep_last
        )
        if trained.reason is StopReason.INTERRUPTED:
            warn_user(
                "Training was interrupted; the best weights so far are kept.",
                ConvergenceWarning,
            )
        elif trained.reason is StopReason.EPOCHS and self._ends_early(trained.settings):
            warn_user(
                f"max_epochs={trained.settings.epochs} was reached before the validation loss "
                "stopped improving. Raise max_epochs if the predictions are not good enough.",
                ConvergenceWarning,
            )
        self._stream = None
        weights = kept_weights(trained.loop, last=keep_last)
        self.model_ = Model(schema, trained.settings, weights)
        if has_validation:
            self.model_ = self.model_.with_calibration(blocks(prepared.validation, SCORED_ROWS))
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] = []
        self._remember(trained)
        return self

    def _partial_fit(self, X: Any, y: NDArray[Any], sample_weight: Any) -> Self:
        """One pass over these rows, from where the last call or `fit` ended.

        The first call decides on columns, scaling, batch size and learning rate.
        """
        stream: Stream = getattr(self, "_stream", None) or Stream()
        rows = self._rows(X, y, sample_weight)
        params = None
        settings = self._settings(y)
        settings = settings.replace(time_budget=None)  # It counts all calls, and rows still come.
        if self.schedule == "auto":
            # A course to an end is nothing for rows that go on coming.
            settings = settings.replace(schedule="constant")
        if not hasattr(self, "model_"):
            target = self._target(rows.y, rows.weight)
            schema = learn_array_schema(rows, target, settings, self._names())
            size = settings.batch_size
            size = size if isinstance(size, int) else PARTIAL_FIT_BATCH
            inputs = len(Encoder(schema).numeric_names)
            rate = default_learning_rate(settings.optimizer)
            rate = min(rate, stable_rate(settings, size, inputs))
            settings = with_numbers(settings, PARTIAL_FIT_BATCH, rate)
            self.loss_curve_, self.validation_scores_ = [], []
            self.n_iter_ = 0
            self.advice_ = None
            _warn_of_constant_columns(schema)
        else:
            before = self.model_.settings
            check_same_network(settings, before, "partial_fit")
            if settings.optimizer != before.optimizer and stream.loop is not None:
                raise ValueError(
                    f"partial_fit goes on with the state of optimizer={before.optimizer!r}; found "
                    f"{settings.optimizer!r}. Set it back, or call fit to begin anew."
                )
            settings = with_numbers(settings, before.batch_size, before.learning_rate)
            settings = settings.replace(seed=before.seed)
            schema, params = self.model_.schema, self.model_.params
            if (count := count_networks(params)) is not None:
                raise ValueError(
                    f"partial_fit goes on with one network; found {count}, whose mean fit made "
                    "the model. Call fit with networks=1 first, or partial_fit from the start."
                )
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
        """The parameters as settings, for checked targets."""
        task = "classification" if y.ndim == 1 else "regression"
        return settings_of(self, task, self._named_loss(y))

    def _named_loss(self, y: NDArray[Any]) -> str:
        """The loss that the parameters name, for checked targets; or `auto`."""
        return "quantile" if self.loss == "auto" and levels_of(self) else self.loss

    def _ends_early(self, settings: Settings) -> bool:
        """Whether a fit is meant to end before its last epoch."""
        return bool(self.early_stopping) and settings.schedule not in PLANNED

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    def _progress(self) -> Progress:
        return make_progress("each" if self.verbose else "silent")

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

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """The columns of X that the weights in `coef_` belong to, in their order.

        Args:
            input_features: ignored; as other estimators take it.

        Raises:
            AttributeError: the model has no `coef_`.
        """
        self._linear()
        return np.asarray([column.name for column in self.model_.schema.columns], object)

    def _linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        check_is_fitted(self, "model_")
        return linear_weights(self.model_)


def _warn_of_another_penalty(now: Settings, before: Settings) -> None:
    """Say that held-out rows may keep the weights of the last fit whatever the penalty is now."""
    for name in ("l2", "weight_decay"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            warn_user(
                f"{name} was {old!r} in the last fit and is {new!r} now. The held-out rows choose "
                "among the weights that training passes, beginning with those of the last fit, and "
                "do not count the penalty. early_stopping=False goes on to the end with the new "
                "one.",
                UserWarning,
            )


def _warn_of_constant_columns(schema: Schema) -> None:
    """Say which columns the first call of `partial_fit` cannot learn from, now or later."""
    left_out = [column.name for column in schema.columns if isinstance(column, LeftOutColumn)]
    if left_out:
        names = ", ".join(map(repr, left_out[:5]))
        warn_user(
            f"The first call of partial_fit decides what each column is. {names} held "
            "nothing to learn from there and will not be used later either; begin with more rows.",
            UserWarning,
        )
