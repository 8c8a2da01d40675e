"""A run of descend's own networks on a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from descend.data.encoding.whole_table import encode_whole
from descend.data.prepare import Prepared, prepare
from descend.data.reading.recorded_source import accept_recorded_source
from descend.data.rows.layout import Layout, layout_from
from descend.data.rows.store import RowStore
from descend.data.schema.columns import Schema, schema_from_json
from descend.data.schema.describe import describe
from descend.errors import FileFormatError, InputError, command_text, option_text
from descend.io.paths import named_path
from descend.io.secrets import without_secrets
from descend.model import Model
from descend.model.scores import predictions_and_targets, score
from descend.reporting.notebook import card, curve_svg
from descend.reporting.progress import Progress
from descend.runs.contents import RECORD, is_store
from descend.runtime.diagnosis import cause_at_start, cause_of_divergence, cause_of_rescue
from descend.runtime.early_reading import EarlyReading
from descend.runtime.own_metrics import Asked, OwnMetrics, losses_over
from descend.runtime.result import FinishedRun, Metrics
from descend.runtime.trainable import Trainable
from descend.settings import IN_MEMORY, Settings, settings_from
from descend.training.build import problem_of, resolve_task
from descend.training.evaluation import blocks
from descend.training.loop_state import LoopState
from descend.training.network.tabular import NEWEST_VERSION
from descend.training.problem import Problem
from descend.training.processes.messages import sharing_with_others
from descend.training.processes.watch import steps
from descend.training.several_networks import stack
from descend.types import Params, StopReason

SCORED_ROWS = 65536
"""Validation rows that are scored at once."""
NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Run(FinishedRun):
    """A finished run.

    Attributes:
        history: a line per evaluation.
        stop_reason: why it ended.
        record: what run.json holds.
        folder: the run directory, or None where nothing was written.
        model: the best model.
    """

    model: Model

    def __repr__(self) -> str:
        figures = (f"{name} {value:.4g}" for name, value in self.metrics["model"].items())
        return self._shown(", ".join(figures))

    def _repr_html_(self) -> str:
        predicts = ("predicts", ", ".join(self.model.schema.target.names))
        return card("descend.Run", self._facts([predicts])) + curve_svg(self.history)


@dataclass(frozen=True)
class TableRun(Trainable[Run]):
    """A network on the rows of a table.

    Attributes:
        settings: task and loss resolved.
        prepared: the rows.
        source: the path, URL or query of the table; None where it was in memory.
        asked: metrics and further rows that the user wants to be measured.
        version: of the tabular network.
    """

    prepared: Prepared
    source: str | Path | None = None
    asked: Asked = NOTHING_ASKED
    version: int = NEWEST_VERSION

    @cached_property
    def problem(self) -> Problem:
        """What is trained."""
        return problem_of(self.settings, self.prepared, version=self.version)

    def as_before(self) -> TableRun | None:
        """With the version of the tabular network before this one."""
        tabular = self.settings.model == "tabular" and self.version > 1
        return dataclasses.replace(self, version=self.version - 1) if tabular else None

    def described(self, settings: Settings) -> dict[str, Any]:
        """Settings, data and schema."""
        schema = self.prepared.schema
        data = {
            **self.facts,
            "layout": self.prepared.layout.as_json(),
            "task_reason": schema.task_reason,
            "columns": [dataclasses.asdict(line) for line in describe(schema)],
            "warnings": list(schema.warnings),
            "leaking": list(schema.leaking),
            "notes": list(schema.notes),
        }
        return {"settings": settings.as_json(), "data": data, "schema": schema.as_json()}

    @property
    def facts(self) -> dict[str, Any]:
        """What every record holds about the data."""
        schema = self.prepared.schema
        return {
            "source": self.source,
            "fingerprint": self.prepared.fingerprint,
            "rows": dataclasses.asdict(schema.rows),
            "task": schema.task,
        }

    def resume_hint(self, folder: Path) -> str:
        """The command to type."""
        return f"To go on: {command_text('resume', folder)}"

    def cause(self, settings: Settings, loop: LoopState, reason: StopReason) -> str:
        """The probable cause, from the ranges of the columns."""
        if not loop.history:
            return cause_at_start(self.prepared.schema)
        if reason is StopReason.DIVERGED:
            rows = blocks(self.prepared.validation, SCORED_ROWS)
            return cause_of_divergence(self.prepared.schema, settings, rows)
        return cause_of_rescue(self.prepared.schema, settings)

    def metrics(self, params: Params, settings: Settings) -> Metrics:
        """The metrics that `Model.evaluate` gives, and the user's own."""
        found = score(self._model(params, settings), blocks(self.prepared.validation, SCORED_ROWS))
        return self._own_metrics.beside(found, params)

    def watched(self, params: Params) -> Mapping[str, float]:
        """The user's metrics, and the figures on further validation sets."""
        return self._own_metrics.watched(params)

    @cached_property
    def _own_metrics(self) -> OwnMetrics:
        encoder, rows = self.prepared.encoder, self.prepared.validation
        sets = {
            name: encode_whole(encoder, data, f"validation_sets[{name!r}]", self.settings)
            for name, data in self.asked.sets.items()
        }
        losses = losses_over(self.problem, sets)
        return OwnMetrics(self.asked.metrics, rows, sets, losses, self._predicted)

    def check(self) -> None:
        """Read the further rows that are asked for, and raise DataError where they do not fit."""
        if self.asked.sets:
            _ = self._own_metrics

    def _predicted(self, params: Params, rows: RowStore) -> tuple[Any, Any]:
        """Predictions as `Model.predict` gives them, and the target in the same form."""
        return predictions_and_targets(
            self._model(params, self.settings), blocks(rows, SCORED_ROWS)
        )

    def assessment(self, params: Params, settings: Settings) -> Mapping[str, Any]:
        """On samples of the rows, in about two seconds."""
        from descend.assessment.assess import assess

        model = self._model(params, settings)
        return assess(model, self.prepared.sampled, self.prepared.validation, seed=settings.seed)

    def for_the_end(self, settings: Settings) -> Callable[[], object]:
        """The modules of the assessment and the page, and the program that predicts."""

        def get_ready() -> None:
            import descend.assessment.assess
            import descend.reporting.pages.train
            import descend.reporting.render  # noqa: F401 - `_finish` uses it

            if settings.model == "tabular":
                # One row is enough: all predictions of this network come from blocks of one size.
                row = self.prepared.validation.gather(np.zeros(1, np.int64))
                params = self.problem.init(settings.seed)
                stacked = stack([params] * (settings.networks or 1))
                self._model(stacked, settings).outputs(row.x)

        return get_ready

    def save(self, path: Path, params: Params, settings: Settings) -> None:
        """Write the model with its schema."""
        self._calibrated(params, settings).save(path)

    def result(self, params: Params, settings: Settings, finished: FinishedRun) -> Run:
        """The run with its model."""
        return Run(**vars(finished), model=self._calibrated(params, settings))

    def _calibrated(self, params: Params, settings: Settings) -> Model:
        parts = blocks(self.prepared.validation, SCORED_ROWS)
        return self._model(params, settings).with_calibration(parts)

    def _model(self, params: Params, settings: Settings) -> Model:
        return Model(self.prepared.schema, settings, params)


def table_run(
    data: Any,
    settings: Settings,
    progress: Progress,
    asked: Asked = NOTHING_ASKED,
    reading: EarlyReading | None = None,
) -> TableRun:
    """Prepare a new run on a table.

    Args:
        data: whatever `open_table` takes.
        settings: as the user gave them.
        progress: told where the rows are stored.
        asked: what is to be measured beside the usual.
        reading: of the same table with the same settings, where it has begun.
    """
    steps.begin("reading the table")
    if reading is not None:
        prepared = reading.prepared(progress.message)
    else:
        prepared = prepare(data, settings, say=progress.message, sharing=sharing_with_others())
    named = isinstance(data, str | Path) and str(data)
    source = without_secrets(str(data)) if named else None
    run = TableRun(resolve_task(settings, prepared.schema), prepared, source, asked)
    run.check()
    return run


class Named(NamedTuple):
    """What the user names himself of what stands in a record; None where nothing.

    Attributes:
        data: the table; needed where the record holds a query or an address.
        validation: the validation rows; needed likewise.
        store: the folder for converted rows, where the recorded one is gone.
    """

    data: str | None = None
    validation: str | None = None
    store: str | None = None


NOTHING_NAMED = Named()


def reopen_run(
    path: Path,
    record: Mapping[str, Any],
    progress: Progress,
    check: Callable[[dict[str, Any]], None] | None = None,
    named: Named = NOTHING_NAMED,
    asked: Asked = NOTHING_ASKED,
) -> TableRun:
    """Prepare the run that a record describes, on the same rows.

    A record may come from somebody else: a query or an address in it is used only where the user
    names it, and no folder is made because a record asks for it.

    Args:
        path: the run directory.
        record: what its run.json holds.
        progress: told where the rows are stored.
        check: called with the fingerprint of the data as it is now, before any row is read.
        named: what the user typed himself.
        asked: what is to be measured beside the usual.

    Raises:
        InputError: its data was not a file, or its model is a custom one.
        DataError: its data is a query or an address that the user has not named.
        FileFormatError: the record is damaged.
    """
    source, settings, schema, layout = _read(path, record)
    if source is None:
        raise InputError(
            f"The run {path} was trained on data in memory, which is gone. Train again."
        )
    if settings.validation == IN_MEMORY:
        raise InputError(
            f"The validation rows of the run {path} were in memory, and are gone. Train again."
        )
    source = _accept_source(source, path, named.data, "data")
    if isinstance(settings.validation, str):
        rows = _accept_source(settings.validation, path, named.validation, "validation")
        settings = settings.replace(validation=rows)
    settings = settings.replace(store=_store(settings.store, named.store, progress))
    steps.begin("reading the table")
    prepared = prepare(
        source,
        settings,
        schema=schema,
        layout=layout,
        check=check,
        say=progress.message,
        sharing=sharing_with_others(),
    )
    run = TableRun(settings, prepared, source, asked)
    run.check()
    return run


def _accept_source(source: str, path: Path, named: str | None, option: str) -> str:
    """A recorded source, or where it is a path that moved, the one that the user named."""
    accepted = accept_recorded_source(source, record=str(path), named=named, option=option)
    return accepted if named is None else named


def _store(recorded: str | None, named: str | None, progress: Progress) -> str | None:
    """The folder for rows: a recorded one only where rows are kept there already."""
    if named is not None or recorded is None:
        return named
    if any(is_store(entry) for entry in _entries(named_path(recorded))):
        return recorded
    progress.message(
        f"The record names the folder {recorded} for rows, where none are: they are kept in the "
        f"cache. To keep them there again, type it after {option_text('store')}."
    )
    return None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):
        return []


def _read(path: Path, record: Mapping[str, Any]) -> tuple[str | None, Settings, Schema, Layout]:
    """Source, settings, schema and layout of a run."""
    try:
        return (
            record["data"]["source"],
            settings_from(record["settings"]),
            schema_from_json(record["schema"]),
            layout_from(record["data"]["layout"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path / RECORD} is damaged ({type(error).__name__}: {error}). "
            f"Bring the file back from a copy, or train again with {option_text('force', True)}."
        ) from error
