"""Predictions for raw rows, written to a file in the order of the input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from descend.data.encoding.encoder import EncodedRows
from descend.data.reading.sources import local_files
from descend.data.rows.prefetch import prefetched
from descend.data.schema.columns import ClassificationTarget
from descend.errors import InputError, SettingsError
from descend.io.ownership import PARQUET_MARK, PREDICTIONS, check_replaceable, output_file
from descend.io.paths import check_writable
from descend.model import Model, Predicted


def predict(
    model: Model,
    data: Any,
    output: str | Path | None,
    *,
    probabilities: bool = True,
    memory: int | None = None,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
) -> int:
    """Predict every row of a table and write a table of predictions.

    The columns are `<target>` for each target, and for classification a `probability_<label>`
    for each label.

    Args:
        model: what predicts.
        data: whatever `open_table` takes.
        output: a name ending in .csv or .parquet; None writes CSV to stdout.
        probabilities: whether to write them.
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
    path = None if output is None else _checked(model, data, output, force, probabilities)
    encoded = model.encoded(data, target=False, memory=memory, options=options)
    if path is None:
        if sys.stdout is None:
            raise InputError("There is no output to write to: it is closed. Name a file with -o.")
        return _written(model, encoded, kind, sys.stdout.buffer, probabilities)
    with output_file(path, PREDICTIONS) as sink:
        return _written(model, encoded, kind, sink, probabilities)


def _checked(model: Model, data: Any, output: str | Path, force: bool, probabilities: bool) -> Path:
    """The file to write, where it may be written."""
    reads = local_files(data)
    header = _header(_schema(model, probabilities))

    def looks_alike(path: Path) -> bool:
        with path.open("rb") as source:
            return source.read(len(header)) == header

    path = check_replaceable(
        output, PREDICTIONS, "-o", reads=reads, force=force, looks_alike=looks_alike
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


def _written(
    model: Model, encoded: Iterator[EncodedRows], kind: str, sink: Any, probabilities: bool
) -> int:
    schema = _schema(model, probabilities)
    writer: Any
    if kind == "csv":
        writer = pyarrow.csv.CSVWriter(sink, schema)
    else:
        writer = pyarrow.parquet.ParquetWriter(sink, schema)
    rows = 0
    # Reading and encoding run in a thread of their own, beside the network.
    with writer, closing(prefetched(encoded, lambda part: part)) as parts:
        for piece in model.pieces(part.batch for part in parts):
            predicted = model.decoded(model.outputs(piece.x))
            writer.write_batch(_record_batch(predicted, schema))
            rows += len(predicted.values)
    return rows


def _schema(model: Model, probabilities: bool) -> pa.Schema:
    target = model.schema.target
    if isinstance(target, ClassificationTarget):
        label = pa.array(list(target.labels)).type
        fields = [pa.field(target.names[0], label)]
        if probabilities:
            fields += [pa.field(f"probability_{name}", pa.float32()) for name in target.labels]
        return pa.schema(fields, metadata=PARQUET_MARK)
    columns = [pa.field(name, pa.float64()) for name in target.names]
    return pa.schema(columns, metadata=PARQUET_MARK)


def _record_batch(predicted: Predicted, schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch(
        [
            pa.array(column, type=field.type)
            for column, field in zip(_columns(predicted), schema, strict=False)
        ],
        schema=schema,
    )


def _columns(predicted: Predicted) -> Iterator[Any]:
    if predicted.probabilities is None:
        yield from predicted.values.T
    else:
        yield predicted.values
        yield from predicted.probabilities.T
