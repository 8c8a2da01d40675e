"""Arrays and frames in memory: their schema, their rows as numbers, a fit on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.sparse import encode_sparse
from descend.data.encoding.unseen import UnseenValues
from descend.data.prepare import Prepared
from descend.data.reading.frames import arrow_table
from descend.data.reading.open_table import open_table
from descend.data.rows.sparse_store import SparseStore
from descend.data.rows.store import MemoryStore
from descend.data.schema.arrays import columns_from_array
from descend.data.schema.columns import (
    Column,
    DatetimeColumn,
    NumberColumn,
    RegressionTarget,
    RowCounts,
    Schema,
    Target,
)
from descend.data.schema.learn import learn_schema
from descend.data.schema.sparse import columns_from_sparse
from descend.data.schema.targets import FARTHEST_TARGET
from descend.defaults import ROWS_WORTH_MEASURING
from descend.errors import DataWarning, warn_user
from descend.io.units import count_text
from descend.reporting.progress import Progress
from descend.runtime.run import run_in_memory
from descend.runtime.table_run import TableRun
from descend.runtime.together import AskedOfNetworks, choose_together
from descend.settings import Settings
from descend.training.build import resolve_for_rows, with_default_numbers, with_model_defaults
from descend.training.jax_setup import set_up
from descend.training.loop_state import LoopState, begin
from descend.training.problem import Problem
from descend.training.processes.place import this_place
from descend.training.several_networks import unstack
from descend.training.state import state_at
from descend.types import Advice, Params, StopReason

Store = MemoryStore | SparseStore
_MAY_STRAY = (NumberColumn, DatetimeColumn)
"""Columns whose training rows may hold cells of another kind."""


class Rows(NamedTuple):
    """Rows that were checked.

    Attributes:
        X: a 2-D array of numbers, a SciPy matrix in CSR form, or a frame.
        y: as the model learns it: `[n, k]` in the target's units, or class codes `[n]`.
        weight: `[n]`, each above 0.
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[np.float64]


class Trained(NamedTuple):
    """What a fit leaves.

    Attributes:
        settings: with numbers for batch size and learning rate.
        loop: the state at the end of the run.
        reason: why it ended.
        advice: what was measured for `auto`, or None.
    """

    settings: Settings
    loop: LoopState
    reason: StopReason
    advice: Advice | None


def learn_array_schema(
    rows: Rows, target: Target, settings: Settings, names: Sequence[str] | None
) -> Schema:
    """The columns of an array or a frame, with a target that is known.

    The numbers of an array are scaled by their weighted mean and deviation, so that a row of
    weight 2 is the same as two rows.
    """
    count = len(rows.weight)
    if issparse(rows.X):
        columns = columns_from_sparse(rows.X, rows.weight, names)
    elif isinstance(rows.X, np.ndarray):
        columns = columns_from_array(rows.X, np.ones(count, bool), names)
        columns = _weighted_columns(columns, rows)
    else:
        # Columns do not depend on the target: numbers that are all different stand for it.
        frame = arrow_table(rows.X)
        name = _free_name("y", frame.column_names)
        table = open_table(frame.append_column(name, [np.arange(count, dtype=np.float64)]))
        settings = settings.replace(target=name, task="regression", loss="auto")
        columns = learn_schema(table, settings, validation=table).columns
    return Schema(
        columns=columns,
        target=target,
        task_reason="The estimator says so.",
        weight=None,
        rows=RowCounts(count, 0, 0, count, 0),
    )


def encode_inputs(
    encoder: Encoder, X: Any, unseen: UnseenValues | None = None
) -> dict[str, NDArray[Any]]:
    """The inputs of the network for an array or a frame; `unseen` is told of new categories."""
    if isinstance(X, np.ndarray):
        return encoder.encode_arrays(X, unseen)
    encoded = encoder.encode(open_table(X), target=False, unseen=unseen)
    parts = [part.batch.x for part in encoded]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def make_store(encoder: Encoder, rows: Rows, unseen: UnseenValues | None = None) -> Store:
    """Rows as numbers; `unseen` is told of categories that are not in the schema."""
    y = rows.y if rows.y.ndim == 1 else encoder.encode_target(rows.y)
    weight = rows.weight.astype(np.float32)
    if issparse(rows.X):
        return SparseStore(encode_sparse(encoder.schema, rows.X), y, weight)
    return MemoryStore(encode_inputs(encoder, rows.X, unseen), y, weight)


def join_stores(first: Store, second: Store) -> Store:
    """The rows of two stores of one form."""
    if isinstance(first, SparseStore):
        assert isinstance(second, SparseStore)
        return SparseStore.joined([first, second])
    assert isinstance(second, MemoryStore)
    return MemoryStore.joined([first, second])


def alike(rows: Rows, *, sparse: bool) -> Rows:
    """The rows with X as a sparse matrix, or as an array: all rows of a problem have one form."""
    if sparse and not issparse(rows.X):
        return rows._replace(X=csr_array(np.asarray(rows.X)))
    if not sparse and issparse(rows.X):
        return rows._replace(X=rows.X.toarray())
    return rows


def prepare_rows(schema: Schema, training: Rows, validation: Rows | None) -> Prepared:
    """Training and validation rows as numbers; without the latter, the training rows are both.

    Cells of a frame that are no numbers (or dates) in a column of such count as missing and are
    warned of, whichever of the two they fall into.
    """
    encoder = Encoder(schema)
    store = make_store(encoder, training)
    held_out = store
    strays = {one.name: one.strays for one in schema.columns if isinstance(one, _MAY_STRAY)}
    if validation is not None:
        rows = alike(validation, sparse=issparse(training.X))
        unseen = UnseenValues(schema)
        held_out = make_store(Encoder(_forgiving(schema)), rows, unseen)
        for name, count in unseen.as_json()["strays"].items():
            strays[name] += count
    for name, count in strays.items():
        if count:
            warn_user(
                f"Column {name!r} holds something else than the rest in "
                f"{count_text(count, 'cell')}, such as a word among numbers; such cells count as "
                "missing. Correct them, or write NaN.",
                DataWarning,
            )
    return Prepared(schema, encoder, store, held_out, fingerprint={})


def _forgiving(schema: Schema) -> Schema:
    """A schema by which cells that cannot be read are missing, as they are among training rows."""
    columns = tuple(
        dataclasses.replace(one, strays=max(1, one.strays)) if isinstance(one, _MAY_STRAY) else one
        for one in schema.columns
    )
    return dataclasses.replace(schema, columns=columns)


def train_prepared(
    prepared: Prepared,
    settings: Settings,
    progress: Progress,
    *,
    params: Params | None = None,
    loop: LoopState | None = None,
    interruptible: bool = True,
    keep_last: bool = False,
) -> Trained:
    """Train on prepared rows, leaving no files.

    Args:
        prepared: the rows.
        settings: task and loss resolved.
        progress: shows how far the fit is.
        params: weights to begin from; with them nothing is measured.
        loop: a state to continue from; `settings` then have numbers for `auto`.
        interruptible: whether Ctrl-C ends the training and leaves what was learned.
        keep_last: whether the last weights are kept, not those with the lowest loss.

    Raises:
        DivergedError: no learning rate was low enough; the message names the probable cause.
    """
    set_up()
    rows = len(prepared.training)
    inputs = len(prepared.encoder.numeric_names)
    settings = with_model_defaults(settings)
    settings = resolve_for_rows(without_measuring(settings, rows, inputs), rows)
    run = TableRun(settings, prepared)
    problem, advice = run.problem, None
    begin_at = [] if params is None else unstack(params)
    if begin_at:
        loop = _begin_at(problem, begin_at[0])
    if loop is None:
        settings, loop, advice = choose_together(problem, settings, progress, this_place())
    settings = without_measuring(settings, len(problem.store), inputs, always=True)
    networks = AskedOfNetworks(begin_at, keep_last)
    loop, reason = run_in_memory(
        run, settings, loop, progress, interruptible=interruptible, networks=networks
    )
    return Trained(settings, loop, reason, advice)


def on_host(loop: LoopState) -> LoopState:
    """The loop state with NumPy arrays, which can be pickled."""

    def host(leaf: Any) -> Any:
        return np.array(leaf) if isinstance(leaf, jax.Array) else leaf

    return loop._replace(state=jax.tree.map(host, loop.state), best=jax.tree.map(host, loop.best))


def _begin_at(problem: Problem, params: Params) -> LoopState:
    """The loop state of a new run that starts from copies of some weights."""
    return begin(state_at(params, problem.optimizer))


def without_measuring(
    settings: Settings, rows: int, inputs: int, *, always: bool = False
) -> Settings:
    """Settings with the usual numbers for `auto`, where measuring is not worth it."""
    if always or rows < ROWS_WORTH_MEASURING:
        return with_default_numbers(settings, rows, inputs)
    size = settings.batch_size
    if isinstance(size, int) or size == "all":
        size = rows if size == "all" else min(size, rows)
    return settings.replace(batch_size=size)


def _weighted_columns(columns: tuple[Column, ...], rows: Rows) -> tuple[Column, ...]:
    if (rows.weight == rows.weight[0]).all():
        return columns
    weighted: list[Column] = []
    for place, column in enumerate(columns):
        if not isinstance(column, NumberColumn):
            weighted.append(column)
            continue
        values = np.asarray(rows.X[:, place], np.float64)
        present = ~np.isnan(values)
        mean, deviation = weighted_moments(values[present], rows.weight[present])
        weighted.append(dataclasses.replace(column, mean=mean, deviation=deviation))
    return tuple(weighted)


def weighted_moments(values: NDArray[Any], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Weighted mean and deviation; a deviation of 0, but for rounding, is given as 1."""
    mean = float(np.average(values, weights=weight))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
    return mean, deviation if deviation > 1e-12 * abs(mean) else 1.0


def check_range(y: NDArray[np.float64]) -> None:
    """Refuse targets `[rows, k]` whose squares are beyond the range of float64.

    Raises:
        ValueError: as a table with such a target is refused.
    """
    largest = float(np.abs(y).max(initial=0.0))
    if largest > FARTHEST_TARGET:
        raise ValueError(
            f"y has values as large as {largest:g}; expected at most {FARTHEST_TARGET:g}. Divide "
            "it by a constant."
        )
    for column in y.T:
        spread = float(np.ptp(column)) if len(column) else 0.0
        if 0 < spread < 1 / FARTHEST_TARGET:
            raise ValueError(
                f"The values of y differ by at most {spread:g}; expected at least "
                f"{1 / FARTHEST_TARGET:g}. Multiply it by a constant."
            )


def weighted_quantiles(
    values: NDArray[Any], weight: NDArray[np.float64], levels: Sequence[float]
) -> tuple[float, ...]:
    """The least values with at least these shares of the weight at or below them."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order]) / weight.sum()
    places = np.minimum(np.searchsorted(below, levels), len(order) - 1)
    return tuple(float(one) for one in values[order][places])


def labels_target(y: NDArray[Any], weight: NDArray[np.float64]) -> RegressionTarget:
    """The target of several labels `[rows, labels]`: the probability of each."""
    moments = [weighted_moments(column, weight) for column in y.T]
    return RegressionTarget(
        names=tuple(f"y{one}" for one in range(y.shape[1])),
        mean=tuple(mean for mean, _ in moments),
        deviation=tuple(deviation for _, deviation in moments),
        minimum=tuple(y.min(axis=0).tolist()),
        maximum=tuple(y.max(axis=0).tolist()),
        standardised=False,
    )


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
