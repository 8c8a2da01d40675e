"""Use a trained model: load it, predict, evaluate and export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from descend.commands.evaluate import evaluate as evaluate_model
from descend.commands.predict import predict as write_predictions
from descend.io.paths import named_path
from descend.model import Model, load
from descend.runs.folder import find_model


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
