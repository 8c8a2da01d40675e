"""Measure a problem: which batch size to take, how methods compare, where their paths lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from descend.api.call_settings import custom_settings, table_settings
from descend.commands.advise import advise as find_advice
from descend.commands.compare import Comparison
from descend.commands.compare import compare as compare_methods
from descend.commands.landscape import landscape_of
from descend.custom.problem import CustomParts, custom_setup
from descend.defaults import TEXTBOOK_DEFAULTS
from descend.errors import SettingsError
from descend.keywords import CUSTOM_NAMES, MeasureKeywords
from descend.reporting.notebook import ShownAdvice
from descend.reporting.progress import progress_for
from descend.runtime.trial_setup import MakeSetup, table_setup
from descend.settings import Settings
from descend.types import Advice


def advise(
    model_or_data: Any = None,
    /,
    data: Any = None,
    *,
    target: str | None = None,
    model: Any = "tabular",
    loss: Any = "auto",
    optimizer: Any = "auto",
    validation: Any = 0.1,
    out: str | Path | None = None,
    force: bool = False,
    quiet: bool | None = None,
    **options: Unpack[MeasureKeywords],
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
        validation: the fraction of the rows to hold out, a file, or validation rows.
        out: a folder for `advice.json` and `advice.html`; None writes nothing.
        force: replace an earlier advice in that folder.
        quiet: show no progress, warnings alone; None shows it in a notebook alone.
        **options: any field of `Settings`; a `batch_size` or `learning_rate` that is given is
            kept, and the other is found. Of a custom model also `trainable`, `class_weight` and
            `precision`, as in `fit`.

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
    parts = CustomParts(model, loss, optimizer, data, validation)
    make_setup, settings = _setup(parts, target, options)
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
    **options: Unpack[MeasureKeywords],
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
        quiet: show no progress, warnings alone; None shows it in a notebook alone.
        **options: any field of `Settings`; of a custom model also `trainable`, `class_weight` and
            `precision`, as in `fit`.

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
    parts = CustomParts(model, loss, optimizer, data, validation)
    make_setup, settings = _setup(parts, target, {**TEXTBOOK_DEFAULTS, **options})
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
    validation: Any = 0.1,
    directions: str = "path",
    out: str | Path | None = None,
    force: bool = False,
    quiet: bool | None = None,
    **options: Unpack[MeasureKeywords],
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
        validation: the fraction of the rows to hold out, a file, or validation rows.
        directions: of the plane: `path`, the principal directions of the paths, or `random`.
        out: the folder for landscape.json and landscape.html; None writes nothing.
        force: replace an earlier landscape in that folder.
        quiet: show no progress, warnings alone; None shows it in a notebook alone.
        **options: any field of `Settings`; a batch size or rate that is not given is found. Of a
            custom model also `trainable`, `class_weight` and `precision`, as in `fit`.

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
    parts = CustomParts(model, loss, optimizer, data, validation)
    make_setup, settings = _setup(parts, target, {**TEXTBOOK_DEFAULTS, **options})
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
    parts: CustomParts, target: str | None, options: Mapping[str, Any]
) -> tuple[MakeSetup, Settings]:
    """What is to be measured, a network on a table or a custom model, and the settings.

    Args:
        parts: what the function names in its own signature.
        target: the column to predict, if it is named.
        options: the `MeasureKeywords` of the call.
    """
    custom = {name: value for name, value in options.items() if name in CUSTOM_NAMES}
    options = {name: value for name, value in options.items() if name not in CUSTOM_NAMES}
    parts = parts._replace(**custom)
    if not isinstance(parts.model, str):
        return custom_setup(parts), custom_settings(parts, target, options)
    for name in ("loss", "optimizer"):
        if not isinstance(getattr(parts, name), str):
            raise SettingsError(
                f"A custom {name} needs a custom model: give model=(init, apply), or a Flax, "
                f"Equinox or Keras model. Found model={parts.model!r}."
            )
    named = {name: getattr(parts, name) for name in ("model", "loss", "optimizer", "validation")}
    named["class_weight"] = custom.pop("class_weight", None)
    for name, value in custom.items():
        if value is not None:
            raise SettingsError(f"{name}= is for custom models; found model={parts.model!r}.")
    return table_setup(parts.data), table_settings(parts.data, target, {**named, **options})
