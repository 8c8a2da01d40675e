"""Export a trained custom model to a file that predicts without the program that made it.

A name ending in .onnx is written by jax2onnx and checked against the model on a few rows; one
ending in .jax is the compiled program as JAX itself keeps it, for any number of rows:

    program = jax.export.deserialize(Path("model.jax").read_bytes())
    program.call(x)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from descend.custom.trees import Form
from descend.data.rows.store_header import Group
from descend.errors import InputError, SettingsError
from descend.io.ownership import GRAPH, PROGRAM, check_replaceable, output_file
from descend.io.units import percent_text

ENDINGS = {".onnx": GRAPH, ".jax": PROGRAM}
TOLERANCE = 1e-3
"""Largest difference of an ONNX graph from the model, as a part of the largest output."""
TRIED_ROWS = 3
OTHERWISE = "A name ending in .jax keeps the model as a program of JAX instead."


def export_model(
    path: str | Path,
    predict: Callable[[Mapping[str, Any]], Any],
    inputs: Form,
    groups: Mapping[str, Group],
    *,
    force: bool = False,
) -> None:
    """Write a model and its weights to a file.

    Args:
        path: a name ending in .onnx or .jax.
        predict: from the arrays of some rows by name to what `run.predict` gives.
        inputs: how the arrays hang together.
        groups: shape and type of a row of each array.
        force: replace another kind of file that `descend` wrote.

    Raises:
        SettingsError: the name ends in something else.
        InputError: jax2onnx is not installed or cannot write the model, or the file cannot be
            written.
    """
    kind = ENDINGS.get(Path(path).suffix.lower())
    if kind is None:
        raise SettingsError(f"Expected a name ending in .onnx or .jax; found {str(path)!r}.")
    place = check_replaceable(path, kind, "The path of the model", force=force)
    (rows,) = jax.export.symbolic_shape("rows")
    shapes = {
        name: jax.ShapeDtypeStruct((rows, *groups[name].shape), groups[name].dtype)
        for name in inputs.names
    }
    content = _program(predict, inputs, shapes) if kind == PROGRAM else _graph(predict, shapes)
    with output_file(place, kind) as sink:
        sink.write(content)


def _program(
    predict: Callable[[Mapping[str, Any]], Any], inputs: Form, shapes: Mapping[str, Any]
) -> bytes:
    """The model as a serialized JAX program that takes inputs in the user's form."""

    def of_tree(x: Any) -> Any:
        return predict(dict(zip(inputs.names, jax.tree.leaves(x), strict=True)))

    try:
        exported = jax.export.export(jax.jit(of_tree))(inputs.assembled(shapes))
    except Exception as error:
        raise InputError(
            "The model cannot be exported for any number of rows: "
            f"{type(error).__name__}: {_first_line(error)}.{_hint(error)}"
        ) from error
    return bytes(exported.serialize())


def _graph(predict: Callable[[Mapping[str, Any]], Any], shapes: Mapping[str, Any]) -> bytes:
    """The model as an ONNX graph with one input per input array and one output per output array."""
    try:
        import jax2onnx
    except ImportError:
        raise InputError(
            "An ONNX graph of a custom model needs jax2onnx. Type: pip install jax2onnx. "
            f"{OTHERWISE}"
        ) from None

    def of_arrays(*arrays: Any) -> Any:
        leaves = jax.tree.leaves(predict(dict(zip(shapes, arrays, strict=True))))
        return leaves[0] if len(leaves) == 1 else tuple(leaves)

    try:
        found = jax2onnx.to_onnx(of_arrays, list(shapes.values()), input_names=list(shapes))
        found.producer_name = "descend"
        content = bytes(found.SerializeToString())
        apart = _difference(content, of_arrays, shapes)
    except Exception as error:
        raise InputError(
            "jax2onnx cannot write this model as ONNX: "
            f"{type(error).__name__}: {_first_line(error)}.{_hint(error)} {OTHERWISE}"
        ) from error
    if apart > TOLERANCE:
        raise InputError(
            "The ONNX graph that jax2onnx wrote differs from the model by "
            f"{percent_text(apart)} of its largest output, so it is not kept. {OTHERWISE}"
        )
    return content


def _difference(content: bytes, predict: Callable[..., Any], shapes: Mapping[str, Any]) -> float:
    """Largest difference between graph and model on a few made-up rows; 0 without ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        return 0.0
    random = np.random.default_rng(0)
    x = {name: _make_numbers(random, one.shape[1:], one.dtype) for name, one in shapes.items()}
    onnxruntime.set_default_logger_severity(3)
    found = onnxruntime.InferenceSession(content).run(None, x)
    expected = jax.tree.leaves(predict(*x.values()))
    apart = 0.0
    for one, other in zip(found, expected, strict=True):
        values = np.asarray(other, np.float64)
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        apart = max(apart, float(np.abs(np.asarray(one, np.float64) - values).max()) / largest)
    return apart if np.isfinite(apart) else 1.0


def _make_numbers(random: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    """Numbers that any model accepts: small integers, so that they are valid token ids."""
    size = (TRIED_ROWS, *shape)
    if np.dtype(dtype).kind == "f":
        return random.normal(size=size).astype(dtype)
    return random.integers(0, 2, size=size).astype(dtype)


def _hint(error: BaseException) -> str:
    """What to write instead if a model uses the number of rows as a Python number."""
    if "_DimExpr" in str(error) or "InconclusiveDimension" in type(error).__name__:
        return " Write x.shape[0] in place of len(x), and x.reshape(x.shape[0], -1)."
    return ""


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")[:300].rstrip(".")
