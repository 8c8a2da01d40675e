"""Train a model: on a table, a custom one, or further where a run was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from descend.api.call_settings import custom_settings, table_settings
from descend.commands.resume import resume as resume_run
from descend.commands.train import train as train_run
from descend.custom.fit import fit_custom
from descend.custom.problem import CustomParts
from descend.custom.result import CustomRun
from descend.errors import SettingsError
from descend.io.paths import named_path
from descend.keywords import TableKeywords, TrainKeywords
from descend.reporting.progress import progress_for
from descend.runtime.own_metrics import Asked
from descend.runtime.run import Options
from descend.runtime.table_run import Named, Run
from descend.runtime.user_callbacks import Evaluation, check_callbacks

FunctionOfEvaluation = Callable[[Evaluation], object]


def train(
    data: Any,
    *,
    target: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    callbacks: Sequence[FunctionOfEvaluation] = (),
    name: str | None = None,
    note: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    validation_sets: Mapping[str, Any] | None = None,
    stop: Callable[[Evaluation], object] | None = None,
    quiet: bool | None = None,
    **options: Unpack[TrainKeywords],
) -> Run:
    """Train a model on a table by mini-batch gradient descent.

    Args:
        data: a path, glob, URL or SQL query; a pandas, Polars or PyArrow table; or arrays (X, y).
        target: the column to predict; needed where `data` is no pair of arrays `(X, y)`.
        out: the run directory to write; None writes nothing.
        force: replace an existing run directory.
        callbacks: functions called with an `Evaluation` after each evaluation; they may ask for
            params and metrics, stop the run and change the learning rate.
        name: the title of the page of the run; None names it after its target and data.
        note: a remark to keep with the run.
        metrics: figures of your own by name, `f(predictions, y) -> number` over all validation
            rows, both as `model.predict` gives them: in the units of the target, or labels. They
            are measured at each evaluation and stand in `line.metrics` of the history, in
            history.csv, progress and event files, on the page and in `run.metrics`.
        validation_sets: further tables by name, `{"winter": "winter.csv"}`, whose loss and
            metrics are measured beside, as `winter/loss`; `validation` alone decides which
            weights are kept.
        stop: a stopping rule of your own, `f(evaluation) -> bool`, in place of `patience`: the
            run ends where it says so, and the learning rate is not lowered. A resumed run does
            not know it; pass it again as a callback that calls `evaluation.stop()`.
        quiet: show no progress, warnings alone; None shows it in a notebook alone.
        **options: any field of `Settings`, such as `batch_size=64` or `exclude=["id"]`;
            `validation` is a fraction of the rows, or rows of their own in any form of `data`.

    Returns:
        The run: its model, history, metrics and the reason why it ended.

    Raises:
        InputError: the table or an option cannot be used; the message says what to change.
        DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates; the
            message names the probable cause.
        InterruptedRunError: Ctrl-C, with everything saved where `out` was given.

    Examples:
        >>> import descend
        >>> run = descend.train("bikes.csv", target="count", batch_size=16, learning_rate=0.05)
        >>> run.metrics["model"]["r2"] > 0.9
        True
        >>> run.model.predict("bikes.csv").shape
        (240,)
    """
    asked = _run_options(out, force, quiet, callbacks, name, note, stop)
    return train_run(
        data,
        table_settings(data, target, options),
        asked,
        Asked(metrics or {}, validation_sets or {}),
    )


def fit(
    model: Any,
    data: Any,
    *,
    loss: Any = "auto",
    optimizer: Any = "momentum",
    trainable: Any = None,
    class_weight: Any = None,
    precision: Literal["bfloat16", "float16"] | None = None,
    target: str | None = None,
    validation: Any = 0.1,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    callbacks: Sequence[FunctionOfEvaluation] = (),
    name: str | None = None,
    note: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    validation_sets: Mapping[str, Any] | None = None,
    stop: Callable[[Evaluation], object] | None = None,
    quiet: bool | None = None,
    **options: Unpack[TableKeywords],
) -> CustomRun:
    """Train a custom model by mini-batch gradient descent.

    The objective is the weighted mean of the rows' losses, so every row has a loss of its own: a
    model or a loss that couples rows is refused with the reason, except batch normalization,
    which does so in training alone. Batch size and learning rate are found by measuring where
    they are not given, as `train` does; `advise` and `compare` take the same `model`, `loss`,
    `optimizer` and `validation`.

    Args:
        model: functions `(init, apply)` with `init(key) -> params` and
            `apply(params, x) -> outputs [B, ...]`, or with `init(key) -> (params, state)` and
            `apply(params, state, x, key, training) -> (outputs, state)`; a Flax module (NNX or
            Linen) or a Keras model on JAX, which take a batch; or an Equinox module, or
            `(module, state)` of Equinox, which take a row.
        data: arrays `(X, y)` or `(X, y, weight)` of any shape, rows first; `X` alone, which is
            then its own target; mappings, lists or tuples of arrays for X and for y; one mapping
            with `target` among its arrays; an iterator, a data loader or a data set (PyTorch,
            Grain, Keras, Hugging Face) of such chunks or of single rows, which are written to a
            row store on disk where they are more than `memory` allows; or a table with `target`,
            of which the model gets a mapping of `numeric [B, d]` and `category [B, c]`. Arrays
            are taken as they are, a table is scaled.
        loss: `(outputs, y) -> [B]`, or the name of a loss; `auto` is cross-entropy for whole
            numbers `[B]`, else squared error. For several outputs a mapping or list of these,
            each by itself or as `(loss, weight)`.
        optimizer: the name of an update rule; an Optax transformation with a rate of its own,
            such as `optax.adam(1e-3)`, which `learning_rate` multiplies, 1 for `auto`; or a
            function of the rate, such as `optax.adam`, whose updates are in proportion to it.
        trainable: which weights are trained; None: all that the framework does not mark
            otherwise. Booleans in the form of the weights, where one may stand for a branch, or a
            function of the weights that gives them; of NNX also a filter such as `nnx.LoRAParam`;
            of Equinox a `filter_spec`.
        class_weight: of arrays whose y are class codes: `{0: 1.0, 1: 5.0}` or a list by code
            multiplies the weights of the rows of a class, in training and validation; "balanced"
            gives every class the same sum of weights. Classes that are not named have 1.
        precision: `bfloat16` or `float16`: the model computes in 16 bits, of which its weights and
            float inputs are rounded copies, in training, validation and `predict`; loss, updates
            and the weights that they change have 32 bits. None: the types of layers and weights.
        target: of a table or a mapping, the column or array to predict; of a mapping `y` where it
            is not named.
        validation: the fraction of the rows to hold out, or validation rows.
        out: the run directory to write, with checkpoints and a report; None writes nothing.
        resume: go on with the run in `out`, with the same model, data and settings; `epochs`,
            `time_budget` and `patience` may be others. A run that is finished comes back as it is.
        force: replace an existing run directory.
        callbacks: functions called with an `Evaluation` after each evaluation; they may ask for
            params and metrics, stop the run and change the learning rate.
        metrics: figures of your own by name, `f(predictions, y) -> number` over all validation
            rows. They are measured at each evaluation and stand in `line.metrics` of the history,
            in history.csv, progress and event files, on the page and in `run.metrics`.
        validation_sets: further rows by name, `{"winter": (X, y)}`, whose loss and metrics are
            measured beside, as `winter/loss`; `validation` alone decides which weights are kept.
        stop: a stopping rule of your own, `f(evaluation) -> bool`, in place of `patience`: the
            run ends where it says so, and the learning rate is not lowered.
        name: the title of the page of the run; None names it after its target and data.
        note: a remark to keep with the run.
        quiet: show no progress, warnings alone; None shows it in a notebook alone.
        **options: other fields of `Settings`: batch_size, learning_rate, schedule, warmup,
            averaging, l2, epochs, time_budget, patience, seed, goal, advice_budget, memory, store.

    Returns:
        The run: `params`, `model`, `history`, `stop_reason`, `metrics`, and `predict`.

    Raises:
        InputError: the model, the data or an option cannot be used.
        DivergedError: the loss kept becoming NaN or infinite, even at lower learning rates; the
            message names the probable cause.
        InterruptedRunError: Ctrl-C, with everything saved where `out` was given.

    Examples:
        >>> import jax.numpy as jnp, numpy as np, descend
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> model = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
        >>> data = (X, X @ [1.0, 2.0, 3.0])
        >>> run = descend.fit(model, data, batch_size=16, learning_rate=0.05, epochs=40)
        >>> run.params.round(1).ravel().tolist()
        [1.0, 2.0, 3.0]
    """
    parts = CustomParts(
        model,
        loss,
        optimizer,
        data,
        validation,
        metrics,
        validation_sets,
        trainable,
        class_weight,
        precision,
    )
    asked = _run_options(out, force, quiet, callbacks, name, note, stop)
    return fit_custom(parts, custom_settings(parts, target, options), asked, resume=resume)


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    validation: str | Path | None = None,
    store: str | Path | None = None,
    callbacks: Sequence[FunctionOfEvaluation] = (),
    metrics: Mapping[str, Any] | None = None,
    validation_sets: Mapping[str, Any] | None = None,
    stop: Callable[[Evaluation], object] | None = None,
    quiet: bool | None = None,
) -> Run:
    """Continue an interrupted run as if it had never been interrupted.

    Args:
        run: the run directory; one that is finished comes back as it is, one that a callback
            stopped goes on.
        data: the table, needed where the run was trained on a query or an address: a run may come
            from somebody else, so that what stands in its record is not executed.
        validation: the validation rows, needed likewise.
        store: the folder for converted rows, where the one of the run is gone.
        callbacks: as for `train`; those of the interrupted run are not saved with it.
        metrics: as for `train`; they are not saved with the run either.
        validation_sets: likewise.
        stop: likewise; a run that its rule ended is finished unless this one says otherwise.
        quiet: show no progress, warnings alone; None shows it in a notebook alone.

    Returns:
        The run.

    Raises:
        InputError: there is no such run, or its model is a custom one: call `fit` again.
        DataError: its data changed since.

    Examples:
        >>> import descend
        >>> descend.resume("runs/bikes").stop_reason.name
        'EPOCHS'
    """
    check_callbacks(callbacks, stop)
    options = Options(progress_for(quiet), callbacks, stop=stop)
    named = Named(*(None if one is None else str(one) for one in (data, validation, store)))
    asked = Asked(metrics or {}, validation_sets or {})
    return resume_run(named_path(run), options, named, asked)


def _run_options(
    out: str | Path | None,
    force: bool,
    quiet: bool | None,
    callbacks: Sequence[FunctionOfEvaluation],
    name: str | None,
    note: str | None,
    stop: Callable[[Evaluation], object] | None,
) -> Options:
    for option, text in (("name", name), ("note", note)):
        if text is not None and not isinstance(text, str):
            raise SettingsError(f"{option} must be a text; found {text!r}.")
    check_callbacks(callbacks, stop)
    return Options(
        progress_for(quiet),
        callbacks,
        out,
        write=out is not None,
        force=force,
        title=name,
        stop=stop,
        note=note,
    )
