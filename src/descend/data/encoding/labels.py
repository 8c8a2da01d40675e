"""Encode targets as the model learns them, and decode its outputs in the user's units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from descend.data.encoding.categories import as_text, other_widths, unicode_forms
from descend.data.reading.numpy_arrays import as_numpy
from descend.data.schema.columns import ClassificationTarget, Label, RegressionTarget, Target
from descend.data.schema.targets import read_label
from descend.errors import LONGEST_CELL, DataError, printable, quoted_cell

LARGEST = 1e18
"""Largest standardised target, and largest weight: their squares fit in float32."""


def encode_target(target: Target, y: NDArray[Any]) -> NDArray[Any]:
    """y of a Batch from an array of targets in their own units, or of labels.

    Raises:
        DataError: a label that training did not have.
    """
    values = np.asarray(y)
    if isinstance(target, RegressionTarget):
        matrix = values.reshape(len(values), len(target.names)).astype(np.float64)
        return standard_target(target, matrix)
    known, inverse = np.unique(values, return_inverse=True)
    labels = [read_label(as_text(value), target.type) for value in known.tolist()]
    codes = [_label_codes(target).get(label) for label in labels]
    if None in codes:
        _raise_label(target, str(known[codes.index(None)]), "y")
    return np.asarray(codes, np.int32)[inverse]


def decode_regression(target: RegressionTarget, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Predictions in the target's own units (exp is not applied for Poisson).

    Args:
        target: k targets.
        outputs: `[n, k]`, or `[n, k·Q]` with Q quantiles of each.
    """
    values = np.asarray(outputs, np.float64)
    if not target.standardised:
        return values
    each = values.shape[1] // len(target.names)
    deviation, mean = (np.repeat(one, each) for one in (target.deviation, target.mean))
    return np.asarray(values * deviation + mean)


def decode_classes(target: ClassificationTarget, codes: NDArray[Any]) -> NDArray[Any]:
    """The labels of class codes, with the type the user wrote; text as Python strings.

    Numbers that no type of NumPy holds side by side, such as 2⁵³ + 1 and 0.5, are Python numbers.
    """
    labels = np.asarray(target.labels, dtype=object if target.type == "text" else None)
    if labels.tolist() != list(target.labels):
        labels = np.asarray(target.labels, dtype=object)
    return np.asarray(labels[np.asarray(codes)])


def standard_target(target: RegressionTarget, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Numbers `[n, k]` as the model learns them."""
    scaled = values
    if target.standardised:
        scaled = (values - np.asarray(target.mean)) / np.asarray(target.deviation)
    if np.abs(scaled).max(initial=0.0) > LARGEST:
        row, place = np.unravel_index(int(np.abs(scaled).argmax()), scaled.shape)
        raise DataError(
            f"The target {target.names[place]!r} has the value {values[row, place]:g}, too far "
            f"from those it was learned from "
            f"({target.minimum[place]:g} to {target.maximum[place]:g}). "
            "Correct it, or leave the row out."
        )
    return np.asarray(scaled, np.float32)


def check_weight(values: NDArray[np.float64], name: str, table: str) -> NDArray[np.float32]:
    """Weights as the model takes them; DataError if one is negative, too small or too large."""
    positive = values[values > 0]
    if len(positive) and not (positive.min() > 1 / LARGEST and positive.max() < LARGEST):
        odd = positive.max() if positive.max() >= LARGEST else positive.min()
        raise DataError(
            f"{table}, column {name!r} (the weight): expected weights between {1 / LARGEST:g} and "
            f"{LARGEST:g}, or 0; found {odd:g}. Divide all of them by a constant."
        )
    return values.astype(np.float32)


def known_classes(
    target: ClassificationTarget, values: pa.Array
) -> tuple[pa.Array, dict[str, int]]:
    """Which rows have a class that training had, and the counts of all other classes."""
    encoded = values.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    known = _label_codes(target)
    flags = np.asarray([read_label(text, target.type) in known for text in texts], bool)
    places = as_numpy(encoded.indices)
    counts = np.bincount(places, minlength=len(texts))
    unknown = {
        text: int(count)
        for text, flag, count in zip(texts, flags, counts, strict=True)
        if not flag and count
    }
    return pa.array(flags[places]), unknown


def class_codes(target: ClassificationTarget, values: pa.Array, table: str) -> NDArray[np.int32]:
    """The class of each text of a column; `table` names the table in messages."""
    encoded = values.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    known = _label_codes(target)
    codes = [known.get(read_label(text, target.type)) for text in texts]
    if None in codes:
        _raise_label(target, texts[codes.index(None)], table)
    places = as_numpy(encoded.indices)
    return np.asarray(np.asarray(codes, np.int32)[places])


def code_of(target: ClassificationTarget, text: str) -> int | None:
    """The code of the class that a text stands for; None if training did not have it."""
    return _label_codes(target).get(read_label(text, target.type))


def _label_codes(target: ClassificationTarget) -> dict[Label | None, int]:
    known: dict[Label | None, int] = {label: code for code, label in enumerate(target.labels)}
    for label, code in list(known.items()):
        for other in other_widths(label) if isinstance(label, float) else ():
            known.setdefault(other, code)
        for form in unicode_forms(label) if isinstance(label, str) else []:
            known.setdefault(form, code)
    return known


def _raise_label(target: ClassificationTarget, found: str, table: str) -> None:
    shown = ", ".join(printable(label, LONGEST_CELL) for label in target.labels[:10])
    raise DataError(
        f"{table}, target {target.names[0]!r}: expected a class known from training ({shown}"
        f"{', ...' if len(target.labels) > 10 else ''}), found {quoted_cell(found)}. "
        "Leave the rows of this class out, or have it among the training rows, too."
    )
