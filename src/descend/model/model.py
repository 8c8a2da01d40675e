"""A trained model: predicts from raw rows, and keeps all it needs in one file."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

import msgspec
import numpy as np
import numpy.typing as npt

import descend
from descend.data.encoding.encoder import EncodedRows, Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.reading.options import reading_options
from descend.data.reading.table import Table
from descend.data.rows.budget import keep_to
from descend.data.schema.columns import (
    ClassificationTarget,
    LeftOutColumn,
    RegressionTarget,
    Schema,
)
from descend.errors import (
    SettingsError,
)
from descend.io.units import count_text
from descend.model.intervals import calibration_on, check_interval, interval
from descend.model.scores import score
from descend.runs.model_file import save_model_file
from descend.settings import Settings
from descend.training.forward import LEAST_ROWS, Forward
from descend.training.intervals import Calibration
from descend.types import Batch, Params

OUTPUT_BYTES = 8 << 20
"""Outputs that are computed at a time, as float32; on the way they take five times as much."""

Numbers = npt.NDArray[np.float64]


class Predicted(NamedTuple):
    """Predictions for consecutive rows.

    Attributes:
        values: regression `[n, k]` in the target's units, with Q quantiles `[n, k·Q]`;
            classification labels `[n]`.
        probabilities: `[n, K]` for classification; None for numbers, and for the loss hinge.
    """

    values: npt.NDArray[Any]
    probabilities: Numbers | None


@final
class Model:
    """A network with its weights, and the schema that turns raw rows into its inputs.

    Attributes:
        schema: the columns, and what was learned from the training rows.
        settings: the settings it was trained with, resolved.
        params: the weights, as NumPy arrays.
        calibration: what intervals are made from; None for classes, and for models of files that
            were written before there were intervals.
    """

    def __init__(
        self,
        schema: Schema,
        settings: Settings,
        params: Params,
        calibration: Calibration | None = None,
    ) -> None:
        self.schema = schema
        self.settings = settings
        self.params = params
        self.calibration = calibration
        self.encoder = Encoder(schema)

    def __repr__(self) -> str:
        names = ", ".join(self.schema.target.names)
        return f"<descend.Model: {self.settings.model} for {self.schema.task} of {names}>"

    def _repr_html_(self) -> str:
        from descend.reporting.notebook import card

        used = [one for one in self.schema.columns if not isinstance(one, LeftOutColumn)]
        facts = [
            ("predicts", ", ".join(self.schema.target.names)),
            ("from", ", ".join(f"{column.name} ({column.kind})" for column in used)),
            ("loss", self.settings.loss),
            ("learned from", count_text(self.schema.rows.training, "row")),
        ]
        return card(f"descend.Model: {self.settings.model} for {self.schema.task}", facts)

    def __reduce__(self) -> tuple[Any, ...]:
        # What was compiled cannot be copied to another process, and is soon compiled again.
        return Model, (self.schema, self.settings, self.params, self.calibration)

    def predict(self, data: Any) -> npt.NDArray[Any]:
        """Predictions for raw rows, in their order.

        Args:
            data: whatever `descend.train` takes; columns in any order, others ignored.

        Returns:
            float64 `[n]` in the target's units (`[n, k]` for k targets), or labels `[n]`; with Q
            quantiles `[n, Q]` (`[n, k, Q]` for k targets).

        Raises:
            DataError: a needed column is absent or of another type.
        """
        parts = [part.values for part in self._told(data)]
        values = np.concatenate(parts) if parts else np.zeros((0, len(self.prediction_names)))
        return self.shaped(values)

    def shaped(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Predictions `[n, k·Q]` or labels `[n]` as `predict` gives them."""
        if values.ndim == 1:
            return values
        targets, levels = len(self.schema.target.names), max(1, len(self.settings.quantiles))
        kept = [size for size in (targets, levels) if size > 1]
        return values.reshape(len(values), *kept)

    @property
    def prediction_names(self) -> tuple[str, ...]:
        """A name for each column of predictions: the targets, or `<target>_q<level>`."""
        names = self.schema.target.names
        if not self.settings.quantiles:
            return names
        return tuple(f"{name}_q{level:g}" for name in names for level in self.settings.quantiles)

    def predict_interval(self, data: Any, level: float = 0.95) -> Numbers:
        """The bounds between which the target of a raw row lies with a given probability.

        Args:
            data: as for `predict`.
            level: that probability; the part of unseen rows that intervals cover, about.

        Returns:
            float64 `[n, 2]`, lower and upper bound (`[n, k, 2]` for k targets).

        Raises:
            SettingsError: the model predicts classes or has no calibration, or the level is
                higher than its validation rows can tell.
            DataError: a needed column is absent or of another type.
        """
        check_interval(self, level)
        found = [
            interval(self, part.batch.x, level)
            for part in self.encoder.encode(open_table(data), target=False)
        ]
        count = len(self.schema.target.names)
        bounds = np.concatenate(found) if found else np.zeros((0, count, 2))
        return bounds[:, 0] if bounds.shape[1] == 1 else bounds

    def with_calibration(self, parts: Iterator[Batch]) -> Model:
        """The model with intervals calibrated on rows that it has not learned from."""
        found = calibration_on(self, parts)
        return self if found is None else Model(self.schema, self.settings, self.params, found)

    @functools.cached_property
    def counted(self) -> list[int]:
        """Which columns of predictions are of counts, and never below 0."""
        target = self.schema.target
        if self.settings.model != "tabular" or not isinstance(target, RegressionTarget):
            return []
        counted = np.repeat(target.counts, max(1, len(self.settings.quantiles)))
        return [int(place) for place in np.flatnonzero(counted)]

    def predict_proba(self, data: Any) -> Numbers:
        """The probability of each class for raw rows: `[n, K]`, classes in sorted order.

        Raises:
            DataError: a needed column is absent, or the model predicts numbers.
            SettingsError: it was trained with the loss hinge, which knows no probabilities.
        """
        self.classes  # noqa: B018 - raises for regression
        if self.settings.loss == "hinge":
            raise SettingsError(
                "A model trained with the loss hinge gives classes without probabilities. "
                "Train it with the loss cross_entropy for these."
            )
        parts = [part.probabilities for part in self._told(data)]
        return np.concatenate([part for part in parts if part is not None])

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels, in the order of the columns of `predict_proba`."""
        if not isinstance(self.schema.target, ClassificationTarget):
            raise AttributeError("This model predicts numbers; it has no classes.")
        return self.schema.target.labels

    def _table(
        self,
        data: Any,
        memory: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Table:
        """Whatever the user calls a table, read as in training where he says nothing else."""
        return open_table(data, memory=memory, options=reading_options(self.settings, options))

    def evaluate(
        self,
        data: Any,
        *,
        memory: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, float]]:
        """Metrics on raw rows that have the target, beside those of the trivial prediction.

        Args:
            data: whatever `descend.train` takes, with the target.
            memory: bytes that the whole process may use.
            options: `delimiter`, `header` and `skip_lines`, where they are not as in training.

        Returns:
            `{"model": {"r2": ..., ...}, "baseline": {...}}`.

        Raises:
            DataError: the table cannot be read, lacks a column, or has no row to be scored on.
        """
        unseen = UnseenValues(self.schema)
        parts = self.encoded(data, target=True, memory=memory, options=options, unseen=unseen)
        try:
            return score(self, (part.batch for part in parts))
        finally:
            unseen.warn()

    def encoded(
        self,
        data: Any,
        *,
        target: bool,
        memory: int | None = None,
        options: Mapping[str, Any] | None = None,
        unseen: UnseenValues | None = None,
        keep: Sequence[str] | None = (),
    ) -> Iterator[EncodedRows]:
        """The rows of a table as the network reads them, in bounded memory.

        Args:
            data: whatever `descend.train` takes.
            target: whether the target is read too.
            memory: bytes that the whole process may use.
            options: how a text file is written, where it is not as in training.
            unseen: is told of values that training did not have.
            keep: columns to hand on as they are; None is all of them.

        Raises:
            DataError: the table cannot be read, or lacks a column.
            SettingsError: the memory is less than the least.
        """
        budget = keep_to(memory)
        table = self._table(data, budget.reading, options)
        rows = budget.encoded_rows(self.encoder.row_bytes)
        return self.encoder.encode(
            table,
            target=target,
            rows=rows,
            most_bytes=budget.batch_bytes,
            unseen=unseen,
            keep=keep,
        )

    def predicted(self, table: Table, unseen: UnseenValues | None = None) -> Iterator[Predicted]:
        """Predictions for a table, some rows at a time, in order."""
        parts = self.encoder.encode(table, target=False, unseen=unseen)
        for piece in self.pieces(part.batch for part in parts):
            yield self.decoded(self.outputs(piece.x))

    def _told(self, data: Any) -> Iterator[Predicted]:
        """Predictions for a table; in the end a warning of values that training did not have."""
        unseen = UnseenValues(self.schema)
        yield from self.predicted(self._table(data), unseen)
        unseen.warn()

    def decoded(self, outputs: Numbers) -> Predicted:
        """Predictions from what the network puts out through its link, `[n, k]`."""
        if isinstance(self.schema.target, ClassificationTarget):
            labels = self.encoder.decode_classes(outputs.argmax(axis=1).astype(np.int32))
            if self.settings.loss == "hinge":
                return Predicted(labels, None)
            # A softmax of float32 sums to 1 within 1e-7; scikit-learn warns beyond 1.5e-8.
            return Predicted(labels, outputs / outputs.sum(axis=1, keepdims=True))
        values = self.encoder.decode_regression(outputs)
        for place in self.counted:
            values[:, place] = np.maximum(values[:, place], 0.0)
        return Predicted(values, None)

    def pieces(self, parts: Iterable[Batch]) -> Iterator[Batch]:
        """The rows of batches in pieces whose outputs fit in OUTPUT_BYTES: few where K is large."""
        target = self.schema.target
        classes = len(target.labels) if isinstance(target, ClassificationTarget) else 1
        step = max(LEAST_ROWS, 1 << (OUTPUT_BYTES // (4 * classes)).bit_length() - 1)
        for batch in parts:
            rows = len(next(iter(batch.x.values())))
            for start in range(0, rows, step) if rows > step else ():
                place = slice(start, start + step)
                x = {name: values[place] for name, values in batch.x.items()}
                yield Batch(x, batch.y[place], batch.weight[place])
            if rows <= step:
                yield batch

    def outputs(self, x: Mapping[str, npt.NDArray[Any]]) -> Numbers:
        """What the network puts out for encoded rows, through its link: `[n, k]`."""
        return self._forward.outputs(x)

    def scores(self, x: Mapping[str, npt.NDArray[Any]]) -> Numbers:
        """What the network puts out for encoded rows, before its link: log-odds, for classes."""
        return self._forward.raw_outputs(x)

    def outputs_and_members(
        self, x: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[Numbers, Numbers | None]:
        """As `outputs`, and those of each member `[n, members, k]`, where there are several."""
        return self._forward.outputs_and_members(x)

    @functools.cached_property
    def _forward(self) -> Forward:
        return Forward(self.settings, self.schema, self.encoder, self.params)

    def save(self, path: str | Path) -> None:
        """Write the model to one safetensors file, whole or not at all."""
        # Where its rows stood is no part of what was learned: equal runs give equal files.
        settings = self.settings.replace(memory=None, store=None)
        save_model_file(
            Path(path),
            self.params,
            {
                "kind": "table",
                "descend": descend.__version__,
                "schema": self.schema.as_json(),
                "settings": settings.as_json(),
                "calibration": msgspec.to_builtins(self.calibration),
            },
        )

    def export(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model as one ONNX graph, from raw columns to predictions.

        The graph has an input `[N, 1]` for each column that is used: float64 for numbers, with
        NaN for missing; strings for text, `true` and `false`, without spaces around them and
        empty for missing; and int64 microseconds since 1970-01-01 UTC for dates and times (since
        midnight for times of day), NumPy's NaT for missing. It gives `prediction` `[N, k]`, or
        `label` `[N]` and `probabilities` `[N, K]`.

        Args:
            path: a name ending in .onnx.
            force: replace another kind of file that `descend` wrote.

        Raises:
            InputError: the onnx package is not installed, or the file cannot be written.
            SettingsError: the name ends in something else.
        """
        from descend.export.onnx_model import onnx_bytes
        from descend.io.ownership import GRAPH, check_replaceable, output_file

        if Path(path).suffix.lower() != ".onnx":
            raise SettingsError(f"Expected a name ending in .onnx, found {str(path)!r}.")
        place = check_replaceable(path, GRAPH, "The path of the graph", force=force)
        content = onnx_bytes(self.schema, self.settings, self.params)
        with output_file(place, GRAPH) as sink:
            sink.write(content)
