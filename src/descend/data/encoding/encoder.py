"""Encode rows of a table as the arrays of a Batch, as a Schema says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.data.encoding import labels
from descend.data.encoding.categories import category_text, known_values
from descend.data.encoding.numbers import standard, standardise_array
from descend.data.encoding.read_plan import (
    ReadPlan,
    check_finite,
    check_readable,
    plan_reading,
)
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.batch_size import BATCH_BYTES
from descend.data.reading.numpy_arrays import as_numpy, fill_missing, without_nan
from descend.data.reading.staging import wide_columns
from descend.data.reading.table import Table
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
    RegressionTarget,
    Schema,
)
from descend.data.schema.dates import part_values
from descend.errors import DataError
from descend.types import Batch


class EncodedRows(NamedTuple):
    """Encoded rows, and which rows of the source they are.

    Attributes:
        batch: x `numeric` float32 `[n, d]` and `category` int32 `[n, c]`; y float32 `[n, k]`
            or int32 `[n]`; weight float32 `[n]`. NumPy arrays; d and c may be 0.
        row: int64 `[n]`, source row numbers from 0.
        kept: unencoded columns that were asked for.
    """

    batch: Batch
    row: NDArray[np.int64]
    kept: pa.RecordBatch | None = None


@final
class Encoder:
    """Encodes the columns of a Schema as the numbers that a model reads.

    A number x becomes (x - mean) / deviation in float64, then float32; a missing one becomes 0
    and, where the training rows had missing values, its indicator 1. Categories are compared by
    the one text of a value (`expressions.category_sql`): 3, 3.0 and "3" are one value.

    Attributes:
        schema: what was learned.
        numeric_names: of the d columns of `numeric`.
        category_names: of the c columns of `category`.
        category_sizes: number of codes of each; codes begin at 0.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._inputs = [one for one in schema.columns if not isinstance(one, LeftOutColumn)]
        categories = [one for one in self._inputs if isinstance(one, CategoryColumn)]
        self.category_names = tuple(column.name for column in categories)
        self.category_sizes = tuple(column.size for column in categories)
        self._codes = {column.name: known_values(column) for column in categories}
        names: list[str] = []
        for column in self._inputs:
            if isinstance(column, NumberColumn):
                names.append(column.name)
            elif isinstance(column, DatetimeColumn):
                names += [f"{column.name} {part.name}" for part in column.parts]
            if not isinstance(column, CategoryColumn) and column.missing > 0:
                names.append(f"{column.name} missing")
        self.numeric_names = tuple(names)

    @property
    def row_bytes(self) -> int:
        """Bytes of an encoded row, with its target and its weight."""
        target = self.schema.target
        outputs = 1 if isinstance(target, ClassificationTarget) else len(target.names)
        return 4 * (len(self.numeric_names) + len(self.category_names) + outputs + 1)

    def encode(
        self,
        table: Table,
        *,
        target: bool,
        rows: int = 65536,
        most_bytes: int = BATCH_BYTES,
        unseen: UnseenValues | None = None,
        keep: Sequence[str] | None = (),
        plan: ReadPlan | None = None,
    ) -> Iterator[EncodedRows]:
        """The rows of a table, encoded, in order.

        Args:
            table: with the columns of the schema, in any order; others are ignored.
            target: True encodes target and weight too, and drops rows where a target is missing
                or the weight is 0 or missing. False keeps every row, with y 0 and weight 1.
            rows: most rows at a time.
            most_bytes: most bytes of raw rows at a time.
            unseen: collects values that training did not have. Rows of such a class are left out
                if it says so; otherwise they are an error.
            keep: columns to return unencoded as well; None: all.
            plan: from `plan`, for the same table; None makes one.

        Raises:
            DataError: a needed column is missing, or has a value that cannot be read as its kind.
        """
        if plan is not None:
            yield from self._encoded(plan, target, rows, most_bytes, unseen)
            return
        with wide_columns(table, *self._names(table, target, keep)) as held:
            plan = self.plan(held, target=target, keep=keep)
            yield from self._encoded(plan, target, rows, most_bytes, unseen)

    def _encoded(
        self,
        plan: ReadPlan,
        target: bool,
        rows: int,
        most_bytes: int,
        unseen: UnseenValues | None,
    ) -> Iterator[EncodedRows]:
        """The rows of a table, encoded, as a plan says."""
        if unseen is not None:
            if plan.table.part is None:  # Whose note is on how the rows are shared out.
                unseen.add_notes(plan.table.notes)
            unseen.add_units(plan.units)
            unseen.add_zones(plan.zoned)
        for batch in plan.table.batches(
            plan.select, rows=rows, most_bytes=most_bytes, cells=plan.cells
        ):
            for needed in (*plan.targets, *([plan.weight] if plan.weight else [])):
                check_readable(plan, needed, batch)
            kept = _rows_with_targets(plan, batch) if target else batch
            if target and unseen is not None and unseen.drop_classes:
                kept = self._known_classes(plan, kept, unseen)
            if kept.num_rows == 0:
                continue
            x = self._encode_inputs(plan, kept, unseen)
            row = as_numpy(kept.column(kept.num_columns - 1))
            y, weight = self._encode_labels(plan, kept, target=target)
            if target and unseen is not None and isinstance(self.schema.target, RegressionTarget):
                values = {one.column.name: kept.column(one.place) for one in plan.targets}
                unseen.add_targets(self.schema.target, values)
            yield EncodedRows(Batch(x, y, weight), row, _kept_columns(plan, kept))

    def _names(
        self, table: Table, target: bool, keep: Sequence[str] | None
    ) -> tuple[set[str], set[str]]:
        """The columns that are read as they are written, and those that are read as numbers."""
        numbers = {one.name for one in self._inputs if isinstance(one, NumberColumn)}
        texts = {one.name for one in self._inputs} - numbers
        if target:
            found = {*self.schema.target.names, *filter(None, [self.schema.weight])}
            if isinstance(self.schema.target, RegressionTarget):
                numbers |= found
            else:
                texts |= found
        texts |= {one.name for one in table.columns} if keep is None else {*keep}
        return texts, numbers - texts

    def plan(self, table: Table, *, target: bool, keep: Sequence[str] | None = ()) -> ReadPlan:
        """How `encode` will read a table; of processes that share it, every one has to ask."""
        return plan_reading(self.schema, self._inputs, table, target=target, keep=keep)

    def target_rows(
        self, table: Table, unseen: UnseenValues | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """The numbers of the rows that `encode` gives with targets, some at a time.

        Args:
            table: with the targets, and the weight.
            unseen: as for `encode`.
        """
        plan = plan_reading(self.schema, [], table, target=True)
        for batch in plan.table.batches(plan.select):
            kept = _rows_with_targets(plan, batch)
            if unseen is not None and unseen.drop_classes:
                kept = self._known_classes(plan, kept, unseen)
            yield as_numpy(kept.column(kept.num_columns - 1))

    def no_rows(self) -> Batch:
        """Arrays of the shapes of encoded rows, without a row."""
        target = self.schema.target
        y: NDArray[Any] = np.zeros(0, np.int32)
        if isinstance(target, RegressionTarget):
            y = np.zeros((0, len(target.names)), np.float32)
        x = {
            "numeric": np.zeros((0, len(self.numeric_names)), np.float32),
            "category": np.zeros((0, len(self.category_names)), np.int32),
        }
        return Batch(x, y, np.zeros(0, np.float32))

    def encode_arrays(
        self, X: NDArray[Any], unseen: UnseenValues | None = None
    ) -> dict[str, NDArray[Any]]:
        """`numeric` and `category` of a 2-D array whose columns are those of the schema, in order.

        Args:
            X: the array.
            unseen: collects categories that training did not have.

        Raises:
            DataError: X has another number of columns, or an infinite value.
        """
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(self.schema.columns):
            raise DataError(
                f"Expected X with {len(self.schema.columns)} columns, as in training, "
                f"found the shape {X.shape}."
            )
        count = len(X)
        numeric = np.empty((count, len(self.numeric_names)), np.float32)
        category = np.empty((count, len(self.category_names)), np.int32)
        numbers = [
            (place, column)
            for place, column in enumerate(self.schema.columns)
            if isinstance(column, NumberColumn)
        ]
        if len(numbers) + len(self.category_names) < len(self._inputs):
            raise DataError("Dates cannot be read from an array; give a frame or a table.")
        standardise_array(X, numbers, numeric)
        for place, column in enumerate(self.schema.columns):
            if isinstance(column, CategoryColumn):
                code = self.category_names.index(column.name)
                category[:, code] = self._array_codes(column, X[:, place], unseen)
        return {"numeric": numeric, "category": category}

    def encode_target(self, y: NDArray[Any]) -> NDArray[Any]:
        """y of a Batch from an array of targets in their own units, or of labels.

        Raises:
            DataError: a label that training did not have.
        """
        return labels.encode_target(self.schema.target, y)

    def decode_regression(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Predictions `[n, k]` in the target's own units (exp is not applied for Poisson)."""
        assert isinstance(self.schema.target, RegressionTarget)
        return labels.decode_regression(self.schema.target, outputs)

    def decode_classes(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The labels of class codes, with the type the user wrote; text as Python strings."""
        assert isinstance(self.schema.target, ClassificationTarget)
        return labels.decode_classes(self.schema.target, codes)

    def _known_classes(
        self, plan: ReadPlan, batch: pa.RecordBatch, unseen: UnseenValues
    ) -> pa.RecordBatch:
        """The rows whose class training had."""
        if not isinstance(self.schema.target, ClassificationTarget):
            return batch
        known, unknown = labels.known_classes(
            self.schema.target, batch.column(plan.targets[0].place)
        )
        unseen.add_classes(unknown)
        return batch.filter(known) if unknown else batch

    def _encode_inputs(
        self, plan: ReadPlan, batch: pa.RecordBatch, unseen: UnseenValues | None
    ) -> dict[str, NDArray[Any]]:
        count = batch.num_rows
        # Filled by column and transposed at the end, which is faster than strided writes.
        numeric = np.empty((len(self.numeric_names), count), np.float32)
        category = np.empty((len(self.category_names), count), np.int32)
        number = code = 0
        for column, needed in zip(self._inputs, plan.inputs, strict=True):
            check_readable(plan, needed, batch)
            values = batch.column(needed.place)
            if unseen is not None and needed.lenient and needed.present is not None:
                flags = pc.and_(batch.column(needed.present), values.is_null())
                unseen.add_strays(column.name, int(pc.sum(flags).as_py() or 0), len(values))
            if isinstance(column, CategoryColumn):
                if unseen is not None:
                    unseen.add_missing(column.name, values.null_count, count)
                category[code] = self._category(column, values, unseen)
                code += 1
                continue
            if isinstance(column, NumberColumn):
                values = without_nan(values)
            if unseen is not None:
                unseen.add_values(column, values)
            if isinstance(column, NumberColumn):
                floats = as_numpy(values)
                check_finite(plan, needed, floats, batch)
                numeric[number] = standard(floats, column.mean, column.deviation)
                number += 1
            elif isinstance(column, DatetimeColumn):
                for part in _parts(column, values):
                    numeric[number] = part
                    number += 1
            if column.missing > 0:
                numeric[number] = as_numpy(values.is_null())
                number += 1
        return {
            "numeric": np.ascontiguousarray(numeric.T),
            "category": np.ascontiguousarray(category.T),
        }

    def _category(
        self, column: CategoryColumn, values: pa.Array, unseen: UnseenValues | None
    ) -> NDArray[np.int32]:
        encoded = values.dictionary_encode()
        known = self._codes[column.name]
        missing = 1 if column.missing > 0 else 0
        texts = encoded.dictionary.to_pylist()
        codes = [known.get(text, 0) for text in texts]
        places = encoded.indices
        if places.null_count:
            places = fill_missing(places, len(codes))
        table = np.asarray([*codes, missing], np.int32)
        chosen = as_numpy(places)
        if unseen is not None:
            unseen.add(column.name, texts, codes, np.bincount(chosen, minlength=len(table)))
        return np.asarray(table[chosen])

    def _array_codes(
        self, column: CategoryColumn, values: NDArray[Any], unseen: UnseenValues | None
    ) -> NDArray[np.int32]:
        known, inverse = np.unique(values, return_inverse=True)
        missing = 1 if column.missing > 0 else 0
        texts = [
            None
            if value is None or (isinstance(value, float) and math.isnan(value))
            else category_text(column, value)
            for value in known.tolist()
        ]
        codes = [missing if one is None else self._codes[column.name].get(one, 0) for one in texts]
        if unseen is not None:
            here = [place for place, one in enumerate(texts) if one is not None]
            counts = np.bincount(inverse, minlength=len(texts))[here]
            names, found = [str(texts[place]) for place in here], [codes[place] for place in here]
            unseen.add(column.name, names, found, counts)
        return np.asarray(codes, np.int32)[inverse]

    def _encode_labels(
        self, plan: ReadPlan, batch: pa.RecordBatch, *, target: bool
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """y and weight."""
        count = batch.num_rows
        learned = self.schema.target
        weight = np.ones(count, np.float32)
        if isinstance(learned, RegressionTarget):
            y: NDArray[Any] = np.zeros((count, len(learned.names)), np.float32)
        else:
            y = np.zeros(count, np.int32)
        if not target:
            return y, weight
        if plan.weight is not None:
            values = as_numpy(batch.column(plan.weight.place))
            check_finite(plan, plan.weight, values, batch)
            weight = labels.check_weight(values, plan.weight.column.name, plan.table.name)
        if isinstance(learned, ClassificationTarget):
            values = batch.column(plan.targets[0].place)
            return labels.class_codes(learned, values, plan.table.name), weight
        columns = []
        for needed in plan.targets:
            values = as_numpy(batch.column(needed.place))
            check_finite(plan, needed, values, batch)
            columns.append(values)
        return labels.standard_target(learned, np.stack(columns, axis=1)), weight


def _kept_columns(plan: ReadPlan, batch: pa.RecordBatch) -> pa.RecordBatch:
    names, first = plan.kept
    columns = [batch.column(first + place) for place in range(len(names))]
    return pa.RecordBatch.from_arrays(columns, list(names))


def _rows_with_targets(plan: ReadPlan, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with every target and a weight above 0."""
    tests = [batch.column(target.place).is_valid() for target in plan.targets]
    if plan.weight is not None:
        weight = batch.column(plan.weight.place)
        lowest = pc.min(weight).as_py()
        if lowest is not None and lowest < 0:
            raise DataError(
                f"{plan.table.name}, column {plan.weight.column.name!r} (the weight): expected "
                f"weights of 0 or more, found {lowest:g}."
            )
        tests.append(pc.fill_null(pc.greater(weight, 0.0), fill_value=False))
    kept = tests[0]
    for test in tests[1:]:
        kept = pc.and_(kept, test)
    return batch if pc.all(kept).as_py() else batch.filter(kept)


def _parts(column: DatetimeColumn, values: pa.Array) -> Iterator[NDArray[np.float64]]:
    """The standardised parts of dates or times; 0 where missing."""
    absent = as_numpy(values.is_null()) if values.null_count else None
    # Times repeat, and finding equal ones is cheaper than computing their sines.
    encoded = fill_missing(values, column.minimum).dictionary_encode()
    places = as_numpy(encoded.indices)
    microseconds = as_numpy(encoded.dictionary)
    found = part_values(microseconds, [part.name for part in column.parts])
    for part in column.parts:
        scaled = standard(found[part.name], part.mean, part.deviation)[places]
        if absent is not None:
            scaled[absent] = 0.0
        yield scaled
