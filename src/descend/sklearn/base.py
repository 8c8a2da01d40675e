"""What both estimators do: check, split, train, go on, and tell what was learned."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing, check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.sparse import can_be_sparse, encode_sparse
from descend.data.schema.columns import LeftOutColumn, Schema, Target
from descend.defaults import ESTIMATOR_EPOCHS, PARTIAL_FIT_BATCH
from descend.errors import SettingsError, parameters_named, warn_user
from descend.model import Model, Predicted
from descend.peer_names import LOSS_NAMES, plain_name
from descend.reporting.progress import Progress, make_progress
from descend.runtime.together import same_number
from descend.settings import CLASS_LOSSES, Settings
from descend.sklearn.arrays import (
    Rows,
    Trained,
    encode_inputs,
    learn_array_schema,
    prepare_rows,
    train_prepared,
)
from descend.sklearn.other_names import PARAMETERS, answering_names, unknown_parameter
from descend.sklearn.partial_fit import NEVER, Stream, go_on
from descend.sklearn.validation import (
    as_read,
    choose_held_out,
    holds_words,
    linear_weights,
    part,
    read_array,
    seed_of,
)
from descend.training.build import (
    PLANNED,
    default_learning_rate,
    stable_rate,
    with_model_defaults,
)
from descend.training.evaluation import blocks
from descend.training.losses import resolve_loss
from descend.training.networks import kept_weights
from descend.training.tabular import count_networks
from descend.types import Advice, History, StopReason

SPARSE_ROWS, DENSE_NUMBERS = 8192, 8 << 20
"""Most rows of sparse X that are predicted at a time, and most numbers of them."""
SCORED_ROWS = 65536
"""Validation rows from which intervals are calibrated at a time."""
LEAST_ENTRIES = 32
"""Room for the entries of a sparse row that is predicted: sums over fewer are compiled otherwise
where the rows are few, and a prediction must not depend on the rows beside it."""
NETWORK = ("model", "members", "networks", "hidden", "activation", "loss", "quantiles")
"""Parameters that decide what weights there are: fixed once there are any."""


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

    def _checked_input(
        self, X: Any, y: Any, *, reset: bool, multi_output: bool = False, y_numeric: bool = False
    ) -> tuple[Any, Any]:
        """X as an array of numbers, or as the frame it is where it holds text or dates."""
        X, y = read_array(X, "X", missing=True), read_array(y, "y")
        shape: tuple[int, ...] = getattr(X, "shape", ())
        if reset and len(shape) == 2 and shape[0] == 1:
            raise ValueError(
                "Found 1 sample (n_samples = 1); fit and the first partial_fit learn from their "
                "rows how to scale them, and need at least 2. Collect some rows first."
            )
        if not self._reads_frame(X):
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse="csr",
                reset=reset,
                dtype="numeric",
                ensure_all_finite="allow-nan",
                ensure_min_samples=2 if reset else 1,
                multi_output=multi_output,
                y_numeric=y_numeric,
            )
            return as_read(X, self.model), y.toarray() if issparse(y) else y
        validate_data(self, X, reset=reset, skip_check_array=True)
        y = check_array(y, ensure_2d=False, dtype="numeric" if y_numeric else None, input_name="y")
        check_consistent_length(X, y)
        return X, y

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
            _check_same_network(settings, before.settings, "warm_start=True")
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
            settings = _with_numbers(settings, PARTIAL_FIT_BATCH, rate)
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
        """The parameters as settings, checked."""
        task = "classification" if y.ndim == 1 else "regression"
        levels = self._levels()
        named = self._named_loss(y)
        loss = resolve_loss(LOSS_NAMES.get(plain_name(named), named), task)
        if (loss in CLASS_LOSSES) != (task == "classification"):
            raise ValueError(f"loss={self.loss!r} does not fit {task}.")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                "validation_fraction must be at least 0 and less than 1; "
                f"found {self.validation_fraction!r}."
            )
        settings = _make_settings(
            target="y",
            task=task,
            model=self.model,
            effort=self.effort,
            members=self.members,
            networks=self.networks,
            hidden=None if self.hidden is None else tuple(np.atleast_1d(self.hidden).tolist()),
            activation=self.activation,
            batch_size=self.batch_size,
            batch_schedule=self.batch_schedule,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            momentum=self.momentum,
            schedule=self.schedule,
            loss=loss,
            quantiles=levels,
            l2=self.l2,
            weight_decay=self.weight_decay,
            clip=self.clip,
            averaging=self.averaging,
            warmup=self.warmup,
            time_budget=self.time_budget,
            goal=self.goal,
            categorical=self._categories(),
            epochs=self._most_epochs(),
            patience=self.patience if self.early_stopping else NEVER,
            seed=same_number(seed_of(self.random_state)),
        )
        return with_model_defaults(settings)

    def _categories(self) -> tuple[str, ...]:
        if isinstance(self.categorical, str):
            return (self.categorical,)
        return tuple(str(name) for name in self.categorical)

    def _reads_frame(self, X: Any) -> bool:
        """Whether X is read as a frame, column by column, and not as an array of numbers.

        Raises:
            ValueError: `categorical` names columns, and X has none of this name.
        """
        named = self._categories()
        if not named:
            return holds_words(X)
        if not hasattr(X, "columns"):
            raise ValueError(
                f"categorical={list(named)} names columns of a frame; found {type(X).__name__}."
            )
        lost = [name for name in named if name not in set(map(str, X.columns))]
        if lost:
            raise ValueError(
                f"categorical names {lost[0]!r}, which is no column of X; it has "
                f"{', '.join(map(str, list(X.columns)[:10]))}."
            )
        return True

    def _named_loss(self, y: NDArray[Any]) -> str:
        """The loss that the parameters name, for checked targets; or `auto`."""
        return "quantile" if self.loss == "auto" and self._levels() else self.loss

    def _levels(self) -> tuple[float, ...]:
        if self.quantiles is None:
            return ()
        return tuple(float(level) for level in np.atleast_1d(self.quantiles))

    def _ends_early(self, settings: Settings) -> bool:
        """Whether a fit is meant to end before its last epoch."""
        return bool(self.early_stopping) and settings.schedule not in PLANNED

    def _most_epochs(self) -> int | None:
        if self.max_epochs is None and self.model != "tabular":
            return ESTIMATOR_EPOCHS
        return self.max_epochs

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

    def _predicted(self, X: Any) -> Predicted:
        X = self._checked_new(X)
        parts = [self.model_.decoded(self.model_.outputs(x)) for x in self._encoded(X)]
        if len(parts) == 1:
            return parts[0]
        told = [part.probabilities for part in parts if part.probabilities is not None]
        return Predicted(
            np.concatenate([part.values for part in parts]), np.concatenate(told) if told else None
        )

    def _encoded(self, X: Any) -> Iterator[dict[str, NDArray[Any]]]:
        """Checked rows as the network reads them; of sparse ones a few at a time."""
        if not issparse(X):
            yield encode_inputs(self.model_.encoder, X)
            return
        schema = self.model_.schema
        entries = self.model_.settings.model != "tabular" and can_be_sparse(schema)
        step = SPARSE_ROWS if entries else max(1, min(SPARSE_ROWS, DENSE_NUMBERS // X.shape[1]))
        for start in range(0, X.shape[0], step):
            rows = X[start : start + step]
            if not entries:
                yield encode_inputs(self.model_.encoder, rows.toarray())
                continue
            inputs = encode_sparse(schema, rows)
            # The longest row of a part is as wide as all others of it.
            few = max(1, DENSE_NUMBERS // inputs.longest)
            for first in range(0, inputs.rows, few):
                some = np.arange(first, min(first + few, inputs.rows))
                yield inputs.padded(some, LEAST_ENTRIES)

    def _checked_new(self, X: Any) -> Any:
        """Rows to predict, checked against those of `fit`."""
        check_is_fitted(self, "model_")
        X = read_array(X, "X", missing=True)
        if self._reads_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            self._check_array_of_words(X)
            X = validate_data(
                self,
                X,
                accept_sparse="csr",
                reset=False,
                dtype="numeric",
                ensure_all_finite="allow-nan",
            )
        return X

    def _check_array_of_words(self, X: Any) -> None:
        """Refuse an array of objects or text where `fit` had a frame with such columns."""
        if not isinstance(X, np.ndarray) or X.dtype.kind not in "OUS":
            return
        kinds = {one.name: one.kind for one in self.model_.schema.columns}
        worded = [name for name, kind in kinds.items() if kind in ("category", "datetime")]
        if worded:
            raise ValueError(
                f"fit had a frame whose columns {', '.join(map(repr, worded[:5]))} hold text, "
                f"dates or categories; found an array. Give a frame with the columns "
                f"{', '.join(list(kinds)[:20])}."
            )

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


def _make_settings(**options: Any) -> Settings:
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
        warn_user(
            f"The first call of partial_fit decides what each column is. {names} held "
            "nothing to learn from there and will not be used later either; begin with more rows.",
            UserWarning,
        )
