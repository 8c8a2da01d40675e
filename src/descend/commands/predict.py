"""Predictions for raw rows, written to a file in the order of the input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from descend.data.encoding.encoder import EncodedRows
from descend.data.encoding.labels import decode_classes
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.find_source import local_files
from descend.data.rows.prefetch import read_ahead
from descend.data.schema.columns import ClassificationTarget
from descend.errors import InputError, SettingsError, option_text
from descend.io.ownership import PARQUET_MARK, PREDICTIONS, check_replaceable, output_file
from descend.io.paths import check_writable
from descend.model import Model, Predicted
from descend.model.intervals import check_interval
from descend.model.intervals import interval as interval_of


def predict(
    model: Model,
    data: Any,
    output: str | Path | None,
    *,
    keep: Sequence[str] | None = (),
    probabilities: bool = True,
    interval: float | None = None,
    memory: int | None = None,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
) -> int:
    """Predict every row of a table and write a table of predictions.

    The columns are those of the input that are kept, then `<target>` for each target, and for
    classification a `probability_<label>` for each label, which the loss `hinge` does not give.
    Of quantiles there is a column `<target>_q<level>` for each. Where a column of the input that
    is kept has that name, the prediction is called `<target>_predicted`.
    With an interval each target is followed by `<target>_low` and `<target>_high`.

    Args:
        model: what predicts.
        data: whatever `open_table` takes.
        output: a name ending in .csv or .parquet; None writes CSV to stdout.
        keep: columns of the input to write before the predictions; None is all of them.
        probabilities: whether to write them.
        interval: part of the rows whose target the bounds are to hold; None writes no bounds.
        memory: bytes that the whole process may use; None takes what is free, less a reserve.
        options: `delimiter`, `header` and `skip_lines`, where they are not as in training.
        force: replace another file of ours, or one that looks like ours.

    Returns:
        The number of rows written.

    Raises:
        SettingsError: the name ends in something else.
        DataError: the table lacks a column that the model needs.
    """
    kind = _kind(output)
    if interval is not None:
        check_interval(model, interval)
    path = None if output is None else _check_output(model, data, output, force, probabilities)
    unseen = UnseenValues(model.schema)
    encoded = model.encoded(
        data, target=False, memory=memory, options=options, unseen=unseen, keep=keep
    )
    if path is None:
        if sys.stdout is None:
            raise InputError("There is no output to write to: it is closed. Name a file with -o.")
        rows = _write_predictions(model, encoded, kind, sys.stdout.buffer, probabilities, interval)
    else:
        with output_file(path, PREDICTIONS) as sink:
            rows = _write_predictions(model, encoded, kind, sink, probabilities, interval)
    unseen.warn()
    return rows


def _check_output(
    model: Model, data: Any, output: str | Path, force: bool, probabilities: bool
) -> Path:
    """The file to write, where it may be written."""
    reads = local_files(data)
    headers = [
        _header(pa.schema(_fields(model, probabilities, bounds))) for bounds in (False, True)
    ]

    def looks_alike(path: Path) -> bool:
        with path.open("rb") as source:
            begun = source.read(max(map(len, headers)))
        return any(begun.startswith(header) for header in headers)

    path = check_replaceable(
        output,
        PREDICTIONS,
        option_text("output"),
        reads=reads,
        force=force,
        looks_alike=looks_alike,
    )
    if not path.exists():
        check_writable(path.parent)
    return path


def _header(schema: pa.Schema) -> bytes:
    """The first line of CSV with these columns."""
    sink = io.BytesIO()
    pyarrow.csv.write_csv(schema.empty_table(), sink)
    return sink.getvalue()


def _kind(output: str | Path | None) -> str:
    if output is None:
        return "csv"
    ending = Path(output).suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise SettingsError(
            f"-o must name a .csv or a .parquet file; found {str(output)!r}. "
            "Leave it out to write CSV to the screen."
        )
    return ending[1:]


def _write_predictions(
    model: Model,
    encoded: Iterator[EncodedRows],
    kind: str,
    sink: Any,
    probabilities: bool,
    interval: float | None,
) -> int:
    rows = 0
    writer: Any = None
    # Reading and encoding run in a thread of their own, beside the network.
    with ExitStack() as stack:
        parts = stack.enter_context(closing(read_ahead(encoded, lambda part: part)))
        for part in parts:
            start = 0
            for piece in model.pieces([part.batch]):
                predicted = model.decoded(model.outputs(piece.x))
                bounds = None if interval is None else interval_of(model, piece.x, interval)
                count = len(predicted.values)
                kept = part.kept.slice(start, count) if part.kept is not None else None
                batch = _record_batch(model, predicted, bounds, kept, probabilities)
                if writer is None:
                    make = pyarrow.csv.CSVWriter if kind == "csv" else pyarrow.parquet.ParquetWriter
                    writer = stack.enter_context(make(sink, batch.schema))
                writer.write_batch(batch)
                start += count
            rows += start
    return rows


def _record_batch(
    model: Model,
    predicted: Predicted,
    bounds: Any,
    kept: pa.RecordBatch | None,
    probabilities: bool,
) -> pa.RecordBatch:
    names = list(kept.schema.names) if kept is not None else []
    arrays = list(kept.columns) if kept is not None else []
    for (name, type_), column in zip(
        _fields(model, probabilities, bounds is not None),
        _columns(predicted, bounds),
        strict=False,
    ):
        values = [str(value) for value in column] if pa.types.is_string(type_) else column
        arrays.append(pa.array(values, type=type_))
        names.append(f"{name}_predicted" if name in names else name)
    return pa.RecordBatch.from_arrays(arrays, names).replace_schema_metadata(PARQUET_MARK)


def _fields(model: Model, probabilities: bool, bounds: bool) -> list[tuple[str, pa.DataType]]:
    """Names and types of the columns of predictions."""
    target = model.schema.target
    if isinstance(target, ClassificationTarget):
        labels = decode_classes(target, np.arange(len(target.labels)))
        # Numbers that no type holds side by side are written as they stand.
        kind = pa.string() if labels.dtype == object else pa.array(labels).type
        fields = [(target.names[0], kind)]
        if probabilities and model.settings.loss != "hinge":
            fields += [(f"probability_{label}", pa.float32()) for label in target.labels]
        return fields
    endings = ("", "_low", "_high") if bounds else ("",)
    names = model.prediction_names
    return [(f"{name}{ending}", pa.float64()) for name in names for ending in endings]


def _columns(predicted: Predicted, bounds: Any) -> Iterator[Any]:
    if predicted.values.ndim == 1:
        yield predicted.values
        yield from () if predicted.probabilities is None else predicted.probabilities.T
        return
    for place, column in enumerate(predicted.values.T):
        yield column
        if bounds is not None:
            yield from bounds[:, place].T
