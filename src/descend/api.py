"""The public functions: train, resume, fit, advise, compare, predict, evaluate, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from descend.commands.advise import advise as find_advice
from descend.commands.compare import Comparison
from descend.commands.compare import compare as compare_methods
from descend.commands.evaluate import evaluate as evaluate_model
from descend.commands.landscape import landscape_of
from descend.commands.predict import predict as write_predictions
from descend.commands.resume import resume as resume_run
from descend.commands.train import train as train_run
from descend.custom.fit import fit_custom
from descend.custom.problem import CustomParts, custom_setup
from descend.custom.result import CustomRun
from descend.errors import SettingsError
from descend.io.paths import named_path
from descend.keywords import NetworkKeywords, TableKeywords, TrainKeywords
from descend.model import Model, load
from descend.reporting.notebook import ShownAdvice
from descend.reporting.progress import progress_for
from descend.runs.folder import find_model
from descend.runtime.own_metrics import Asked
from descend.runtime.run import Options
from descend.runtime.table_run import Named, Run
from descend.runtime.trial_setup import MakeSetup, table_setup
from descend.runtime.user_callbacks import Evaluation
from descend.settings import TEXTBOOK_DEFAULTS, Settings, settings_from
from descend.types import Advice

FunctionOfEvaluation = Callable[[Evaluation], object]

__all__ = [
    "advise",
    "compare",
    "evaluate",
    "export",
    "fit",
    "landscape",
    "load_model",
    "predict",
    "resume",
    "train",
]


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
        quiet: show no progress; None shows it in a notebook alone.
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
        settings_from({"target": _target(data, target), **options}),
        asked,
        Asked(metrics or {}, validation_sets or {}),
    )


def advise(
    model_or_data: Any = None,
    /,
    data: Any = None,
    *,
    target: str | None = None,
    model: Any = "tabular",
    loss: Any = "auto",
    optimizer: Any = "auto",
    trainable: Any = None,
    class_weight: Any = None,
    precision: Literal["bfloat16", "float16"] | None = None,
    validation: Any = 0.1,
    out: str | Path | None = None,
    force: bool = False,
    quiet: bool | None = None,
    **options: Unpack[NetworkKeywords],
) -> Advice:
    """Which batch size and learning rate to take, by measuring.

    Args:
        model_or_data: the data; or a model before the data, as in `fit`.
        data: whatever `train` takes; for a custom model, what `fit` takes.
        target: the column to predict; needed where `data` is no pair of arrays `(X, y)`.
        model: `tabular`, `mlp`, `linear`, or a custom model as `fit` takes it.
        loss: the name of a loss; for a custom model also `(outputs, y) -> [B]`.
        optimizer: the name of an update rule; for a custom model also one of Optax. The rate of
            `optax.adam` is found; that of `optax.adam(1e-3)` is settled, and only the batch size
            is.
        trainable: which weights of a custom model are trained, as in `fit`.
        class_weight: of the classes that a custom model learns, as in `fit`.
        precision: in which a custom model computes, as in `fit`.
        validation: the fraction of the rows to hold out, a file, or validation rows.
        out: a folder for `advice.json` and `advice.html`; None writes nothing.
        force: replace an earlier advice in that folder.
        quiet: show no progress; None shows it in a notebook alone.
        **options: any field of `Settings`; a `batch_size` or `learning_rate` that is given is
            kept, and the other is found.

    Returns:
        The batch size, the learning rate, the region in which the choice makes little
        difference, and the evidence.

    Raises:
        InputError: the data, the model or an option cannot be used; the message says what to
            change.
        DivergedError: the loss became NaN or infinite at every learning rate tried.

    Examples:
        >>> import numpy as np, descend
        >>> X = np.random.default_rng(0).normal(size=(500, 3))
        >>> advice = descend.advise((X, X @ [1.0, 2.0, 3.0]), model="linear", batch_size=16)
        >>> advice.batch_size
        16
    """
    model, data = _model_and_data(model_or_data, data, model, "tabular")
    make_setup, settings = _setup(
        CustomParts(
            model,
            loss,
            optimizer,
            data,
            validation,
            trainable=trainable,
            class_weight=class_weight,
            precision=precision,
        ),
        target,
        options,
    )
    progress = progress_for(quiet)
    advice, _ = find_advice(make_setup, settings, progress=progress, out=out, force=force)
    return ShownAdvice(**vars(advice))


def compare(
    model_or_data: Any = None,
    /,
    data: Any = None,
    *,
    target: str | None = None,
    model: Any = "mlp",
    loss: Any = "auto",
    optimizer: Any = "momentum",
    trainable: Any = None,
    class_weight: Any = None,
    precision: Literal["bfloat16", "float16"] | None = None,
    validation: Any = 0.1,
    sizes: Sequence[int] = (),
    methods: Sequence[str] = (),
    seeds: int | None = None,
    budget: float | None = None,
    one_rate: bool = True,
    out: str | Path | None = None,
    force: bool = False,
    play: bool = False,
    quiet: bool | None = None,
    **options: Unpack[NetworkKeywords],
) -> Comparison:
    """Gradient descent, stochastic and mini-batch, plain and with momentum, measured side by side.

    Args:
        model_or_data: the data; or a model before the data, as in `fit`.
        data: whatever `train` takes; for a custom model, what `fit` takes.
        target: the column to predict; needed where `data` is no pair of arrays `(X, y)`.
        model: `mlp`, `tabular`, `linear`, or a custom model as `fit` takes it. A model that comes
            with weights (Flax, Equinox, Keras) begins at them with every seed, and a custom model
            keeps the validation rows of the first seed.
        loss: the name of a loss; for a custom model also `(outputs, y) -> [B]`.
        optimizer: the rule that the advised batch size is found for; an Optax rule is run
            beside the others.
        trainable: which weights of a custom model are trained, as in `fit`.
        class_weight: of the classes that a custom model learns, as in `fit`.
        precision: in which a custom model computes, as in `fit`.
        validation: the fraction of the rows to hold out, a file, or validation rows.
        sizes: batch sizes besides all rows, one row and the advised one.
        methods: further update rules, and for small problems `coordinate-descent`,
            `conjugate-gradient` and `simulated-annealing`.
        seeds: runs of each method.
        budget: seconds of training for each run; None takes 2, or `epochs` alone where given.
        one_rate: also run all at one learning rate.
        out: the folder for compare.json and compare.html; None writes nothing.
        force: replace an existing comparison.
        play: also write play.html, which plays the runs over a plane of their weights.
        quiet: show no progress; None shows it in a notebook alone.
        **options: any field of `Settings`.

    Returns:
        `table`, `claims`, and everything in `record`.

    Raises:
        InputError: the data, the model or an option cannot be used.
        DivergedError: no learning rate was low enough for a method.

    Examples:
        >>> import numpy as np, descend
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> done = descend.compare(
        ...     (X, X @ [1.0, 2.0, 3.0]), model="linear", batch_size=16, epochs=3, seeds=1,
        ...     budget=0.1, one_rate=False,
        ... )
        >>> [line["method"]["batch_size"] for line in done.table][-4:]
        [16, 16, 1, 1]
    """
    model, data = _model_and_data(model_or_data, data, model, "mlp")
    make_setup, settings = _setup(
        CustomParts(
            model,
            loss,
            optimizer,
            data,
            validation,
            trainable=trainable,
            class_weight=class_weight,
            precision=precision,
        ),
        target,
        {**TEXTBOOK_DEFAULTS, **options},
    )
    return compare_methods(
        make_setup,
        settings,
        sizes=sizes,
        methods=methods,
        seeds=seeds,
        budget=budget,
        same_rate=one_rate,
        out=out,
        write=out is not None,
        force=force,
        play=play,
        progress=progress_for(quiet),
    )


def landscape(
    model_or_data: Any = None,
    /,
    data: Any = None,
    *,
    target: str | None = None,
    model: Any = "mlp",
    loss: Any = "auto",
    optimizer: Any = "momentum",
    trainable: Any = None,
    class_weight: Any = None,
    precision: Literal["bfloat16", "float16"] | None = None,
    validation: Any = 0.1,
    directions: str = "path",
    out: str | Path | None = None,
    force: bool = False,
    quiet: bool | None = None,
    **options: Unpack[NetworkKeywords],
) -> dict[str, Any]:
    """The loss on a plane through the paths of gradient descent, stochastic and mini-batch.

    All begin at the same weights. A model with batch normalization is evaluated as it is while it
    is trained, over the validation rows together, since its running means exist along its path
    alone.

    Args:
        model_or_data: the data; or a model before the data, as in `fit`.
        data: whatever `train` takes; for a custom model, what `fit` takes.
        target: the column to predict; needed where `data` is no pair of arrays `(X, y)`.
        model: `mlp`, `linear`, or a custom model as `fit` takes it.
        loss: the name of a loss; for a custom model also `(outputs, y) -> [B]`.
        optimizer: the rule of the first path; for a custom model also one of Optax.
        trainable: which weights of a custom model are trained, as in `fit`.
        class_weight: of the classes that a custom model learns, as in `fit`.
        precision: in which a custom model computes, as in `fit`.
        validation: the fraction of the rows to hold out, a file, or validation rows.
        directions: of the plane: `path`, the principal directions of the paths, or `random`.
        out: the folder for landscape.json and landscape.html; None writes nothing.
        force: replace an earlier landscape in that folder.
        quiet: show no progress; None shows it in a notebook alone.
        **options: any field of `Settings`; a batch size or rate that is not given is found.

    Returns:
        The record: `grid` with the losses, `paths`, and how much of the paths the plane explains.

    Raises:
        InputError: the data, the model or an option cannot be used.

    Examples:
        >>> import numpy as np, descend
        >>> X = np.random.default_rng(0).normal(size=(100, 2))
        >>> found = descend.landscape(
        ...     (X, X @ [1.0, 2.0]), model="linear", batch_size=10, learning_rate=0.05,
        ...     advice_budget=0.1,
        ... )
        >>> np.shape(found["grid"]["loss"]), found["paths"][0]["method"]
        ((25, 25), 'Mini-batch 10 + momentum')
    """
    model, data = _model_and_data(model_or_data, data, model, "mlp")
    make_setup, settings = _setup(
        CustomParts(
            model,
            loss,
            optimizer,
            data,
            validation,
            trainable=trainable,
            class_weight=class_weight,
            precision=precision,
        ),
        target,
        {**TEXTBOOK_DEFAULTS, **options},
    )
    return landscape_of(
        make_setup,
        settings,
        directions=directions,
        out=out,
        force=force,
        progress=progress_for(quiet),
    )


def _model_and_data(model_or_data: Any, data: Any, model: Any, default: str) -> tuple[Any, Any]:
    """The model and the data of a call that takes `(data)`, `(model, data)`, or both by name."""
    if model_or_data is None:
        if data is None:
            raise SettingsError("Expected data: give the table, or a model and its data.")
        return model, data
    if data is None:
        return model, model_or_data
    if model != default:
        raise SettingsError("The model is given twice: give (model, data), or the data and model=.")
    return model_or_data, data


def _setup(
    own: CustomParts, target: str | None, options: Mapping[str, Any]
) -> tuple[MakeSetup, Settings]:
    """What is to be measured, a network on a table or a custom model, and the settings."""
    model, loss, optimizer, data, validation = own[:5]
    if not isinstance(model, str):
        return custom_setup(own), _custom_settings(own, target, options)
    for name, value in (("loss", loss), ("optimizer", optimizer)):
        if not isinstance(value, str):
            raise SettingsError(
                f"A custom {name} needs a custom model: give model=(init, apply), or a Flax, "
                f"Equinox or Keras model. Found model={model!r}."
            )
    for name in ("trainable", "class_weight", "precision"):
        if getattr(own, name) is not None:
            raise SettingsError(f"{name}= is for custom models; found model={model!r}.")
    named = {"model": model, "loss": loss, "optimizer": optimizer, "validation": validation}
    return table_setup(data), settings_from({"target": _target(data, target), **named, **options})


def _target(data: Any, target: str | None) -> str:
    """The column to predict; of a pair of arrays it is `y`. Empty where it has to be named.

    A table may have a column `y` that nobody wants to predict.
    """
    return target or ("y" if isinstance(data, tuple) else "")


def _custom_settings(own: CustomParts, target: str | None, options: Mapping[str, Any]) -> Settings:
    named = {"optimizer": own.optimizer} if isinstance(own.optimizer, str) else {}
    unnamed = "" if isinstance(own.data, str | Path) else "y"
    return settings_from({"target": target or unnamed, **named, **options})


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
        quiet: show no progress; None shows it in a notebook alone.
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
    own = CustomParts(
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
    return fit_custom(
        own,
        _custom_settings(own, target, options),
        asked,
        resume=resume,
    )


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


def resume(
    run: str | Path,
    *,
    data: str | Path | None = None,
    validation: str | Path | None = None,
    store: str | Path | None = None,
    callbacks: Sequence[FunctionOfEvaluation] = (),
    metrics: Mapping[str, Any] | None = None,
    validation_sets: Mapping[str, Any] | None = None,
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
        quiet: show no progress; None shows it in a notebook alone.

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
    options = Options(progress_for(quiet), callbacks)
    named = Named(*(None if one is None else str(one) for one in (data, validation, store)))
    asked = Asked(metrics or {}, validation_sets or {})
    return resume_run(named_path(run), options, named, asked)


def load_model(path: str | Path) -> Model:
    """A trained model from its file or its run directory.

    Args:
        path: a run directory, or the `model.safetensors` in it. Loading it runs no code.

    Returns:
        The model: `predict`, `predict_proba`, `evaluate`, `save`, `export`.

    Raises:
        InputError: there is no model there, or it is one that only your program can build.
        FileFormatError: the file is truncated, altered, or of a newer version.

    Examples:
        >>> import descend
        >>> model = descend.load_model("runs/bikes")
        >>> model
        <descend.Model: linear for regression of count>
        >>> model.predict("bikes.csv").shape
        (240,)
    """
    return load(find_model(named_path(path)))


def predict(
    model: Model | str | Path,
    data: Any,
    output: str | Path | None = None,
    *,
    keep: Sequence[str] | str = (),
    interval: float | None = None,
    memory: int | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    skip_lines: int | None = None,
    force: bool = False,
) -> int:
    """Write predictions for raw rows, in their order, to a CSV or Parquet file.

    Args:
        model: a model, its file, or its run directory.
        data: whatever `train` takes; columns in any order, others ignored.
        output: a name ending in .csv or .parquet; None writes CSV to stdout.
        keep: columns of the input to write before the predictions; `"all"` is every one.
        interval: such as 0.95: also write `<target>_low` and `<target>_high`, bounds that hold so
            many of the targets.
        memory: bytes that the whole process may use; None takes what is free, less a reserve.
        delimiter: between the fields of text files; None takes that of training.
        header: whether their first line holds the names of the columns; None: as in training.
        skip_lines: lines above the header; None: as in training.
        force: replace another file that `descend` wrote. A file of somebody else, and the table
            that is read, are never replaced.

    Returns:
        The number of rows written.

    Raises:
        InputError: there is no model, a needed column is absent, or the file cannot be written.

    Examples:
        >>> import descend
        >>> descend.predict("runs/bikes", "bikes.csv", "predictions.csv")
        240
    """
    kept = None if keep == "all" else [keep] if isinstance(keep, str) else keep
    options = {"delimiter": delimiter, "header": header, "skip_lines": skip_lines}
    return write_predictions(
        _as_model(model),
        data,
        output,
        keep=kept,
        interval=interval,
        memory=memory,
        force=force,
        options=options,
    )


def evaluate(
    model: Model | str | Path,
    data: Any,
    *,
    memory: int | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    skip_lines: int | None = None,
) -> dict[str, dict[str, float]]:
    """Metrics on raw rows that have the target, beside those of the trivial prediction.

    Args:
        model: a model, its file, or its run directory.
        data: whatever `train` takes, with the target.
        memory: bytes that the whole process may use; None takes what is free, less a reserve.
        delimiter: between the fields of text files; None takes that of training.
        header: whether their first line holds the names of the columns; None: as in training.
        skip_lines: lines above the header; None: as in training.

    Returns:
        `{"model": {"r2": ..., "rmse": ..., "mae": ...}, "baseline": {...}}` for regression (of
        several targets `"rmse (price)"` and so on for each, and the mean of their R²);
        accuracy, log_loss and (two classes) auc for classification.

    Raises:
        InputError: there is no model, or a needed column is absent.

    Warns:
        DataWarning: the model was trained on these rows, or many values are new to it.

    Examples:
        >>> import descend
        >>> metrics = descend.evaluate("runs/bikes", "bikes.csv")
        >>> metrics["model"]["rmse"] < metrics["baseline"]["rmse"]
        True
    """
    options = {"delimiter": delimiter, "header": header, "skip_lines": skip_lines}
    if isinstance(model, Model):
        return model.evaluate(data, memory=memory, options=options)
    return evaluate_model(named_path(model), data, memory=memory, options=options)


def export(model: Model | str | Path, path: str | Path, *, force: bool = False) -> None:
    """Write a model as one ONNX graph, from raw columns to predictions; see `Model.export`.

    Args:
        model: a model, its file, or its run directory.
        path: a name ending in .onnx.
        force: replace another kind of file that `descend` wrote.

    Raises:
        InputError: the onnx package is not installed, or the file cannot be written.
    """
    _as_model(model).export(path, force=force)


def _as_model(model: Model | str | Path) -> Model:
    return model if isinstance(model, Model) else load_model(model)
