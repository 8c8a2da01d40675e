"""Metrics that belong to the named losses of a custom model, of each of its outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from descend.choices import CLASS_LOSSES
from descend.custom.problem import CustomProblem, with_targets
from descend.custom.result import Outputs
from descend.defaults import QUANTILES
from descend.metrics import (
    ClassificationScore,
    HingeScore,
    LabelScore,
    QuantileScore,
    RegressionScore,
    SoftScore,
    of_target,
)
from descend.runtime.result import Metrics
from descend.training.evaluation import blocks
from descend.training.jax_setup import in_full_precision, jit_program
from descend.training.losses import LOSSES
from descend.types import Batch, Params

MOST_TARGETS = 10
"""Most columns of an array of targets that are told one by one."""
Score = ClassificationScore | LabelScore | QuantileScore | RegressionScore


class _Part(NamedTuple):
    """An output with its target and the name of its loss.

    Attributes:
        key: its place in the outputs; None where there is but one.
        loss: the name of its loss.
        title: what the target is called.
    """

    key: Any
    loss: str
    title: str

    def of(self, tree: Any) -> Any:
        """The part's own array of outputs or of targets."""
        return tree if self.key is None else tree[self.key]


@dataclass(frozen=True)
class TaskMetrics:
    """Measures weights by the metrics of the named losses on the validation rows.

    Attributes:
        custom: what is trained.
        outputs: `(params, x) -> predictions`.
    """

    custom: CustomProblem
    outputs: Outputs

    def of(self, params: Params) -> Metrics:
        """The metrics: of several outputs those of each, as `accuracy (kind)`, and its loss.

        Returns:
            `{"model": {...}, "baseline": {...}}`; empty where the only loss is a user's function.
        """
        parts = self.custom.chosen.parts
        scores = {part: make() for part, make in self._scores.items()}
        losses, total = dict.fromkeys(parts, 0.0), 0.0
        for block in blocks(self.custom.rows.validation) if scores or parts else ():
            weight, y = block.weight.astype(np.float64), _targets(self.custom, block)
            told, each = self._program(params, block) if parts else (None, {})
            told = jax.tree.map(np.asarray, told) if parts else self.outputs(params, block.x)
            total += float(weight.sum())
            for key, values in each.items():  # Rows of weight 0 may have any loss.
                losses[key] += float(weight @ np.where(weight > 0, values, 0.0))
            for part, score in scores.items():
                self._add(score, part.of(y), part.of(told), weight)
        model = {of_target("loss", title_of(key)): one / total for key, one in losses.items()}
        baseline: dict[str, Any] = dict.fromkeys(model)
        for part, score in scores.items():
            found = score.result()
            model |= _titled(found["model"], part)
            baseline |= _titled(found["baseline"], part)
        return {"model": model, "baseline": baseline} if model else {}

    def _add(self, score: Score, y: Any, told: Any, weight: NDArray[np.float64]) -> None:
        if isinstance(score, ClassificationScore):
            probabilities = told.reshape(-1, told.shape[-1]).astype(np.float64)
            soft = isinstance(score, SoftScore)
            classes, weight = _by_place(y, weight, told.shape[-1] if soft else 1)
            score.add(classes if soft else classes[:, 0].astype(np.int32), probabilities, weight)
        else:
            score.add(_flat(self.outputs.in_units(y)), _flat(told), weight)

    @functools.cached_property
    def _program(self) -> Any:
        """`(params, rows) -> (predictions, losses of each output [B])`, compiled once."""
        custom = self.custom

        def program(params: Params, rows: Batch) -> Any:
            outputs = self.outputs.apply(params, rows.x)
            _, y = custom.targets_of(with_targets(None, rows.x), rows.y)
            each = {
                key: loss.per_example(outputs[key], y[key])
                for key, (loss, _) in custom.chosen.parts.items()
            }
            return self.outputs.link(outputs), each

        return jit_program(in_full_precision(program))

    @functools.cached_property
    def _scores(self) -> Mapping[_Part, Callable[[], Score]]:
        """What counts the rows of each output, which knows the trivial prediction."""
        chosen = self.custom.chosen
        parts = [_Part(key, name, title_of(key)) for key, (_, name) in chosen.parts.items()]
        parts = parts or [_Part(None, chosen.name or "", "y")]
        made = {part: self._score(part) for part in parts if part.loss in (*LOSSES, "quantile")}
        return {part: make for part, make in made.items() if make is not None}

    def _score(self, part: _Part) -> Callable[[], Score] | None:
        rows = self.custom.rows
        few = rows.validation.gather(np.arange(1))
        y = part.of(_targets(self.custom, few))
        sampled = functools.partial(self._sampled, part)
        if part.loss in CLASS_LOSSES:
            # The number of classes is that of the outputs, whatever the weights.
            init = self.custom.setup.problem.init(self.custom.setup.problem.seed)
            told = part.of(jax.eval_shape(self.outputs.forward, init, few.x)).shape
            if y.ndim == len(told) and y.shape[-1] == told[-1]:  # Probabilities of the classes.
                return functools.partial(SoftScore, _mean_shares(sampled(), told[-1]))
            kind = HingeScore if part.loss == "hinge" else ClassificationScore
            return functools.partial(kind, _shares(sampled(), told[-1]))
        if part.loss == "quantile":
            levels = self.custom.setup.settings.quantiles or QUANTILES
            return functools.partial(QuantileScore, levels, self._quantiles(sampled(), levels))
        mean = _flat(self.outputs.in_units(_mean(sampled())[None]))[0]
        if part.loss == "binary_cross_entropy":
            return functools.partial(LabelScore, mean)
        encoder = rows.encoder
        names = _columns(part, y) if encoder is None else encoder.schema.target.names
        return functools.partial(RegressionScore, mean, len(names) < 2, names)

    def _sampled(self, part: _Part) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Targets and weights of training rows, in blocks."""
        for block in blocks(self.custom.rows.sampled):
            yield part.of(_targets(self.custom, block)), block.weight

    def _quantiles(
        self, rows: Iterator[tuple[Any, NDArray[Any]]], levels: tuple[float, ...]
    ) -> NDArray[np.float64]:
        """The quantiles of each target of the rows, `[k, Q]`."""
        y = np.concatenate([_flat(self.outputs.in_units(one))[w > 0] for one, w in rows])
        return np.asarray(np.quantile(y, levels, axis=0).T)


def title_of(key: Any) -> str:
    """What one of several targets is called: by its name, or by its place in a list.

    >>> title_of("price"), title_of(1)
    ('price', 'y[1]')
    """
    return key if isinstance(key, str) else f"y[{key}]"


def _titled(figures: Mapping[str, float], part: _Part) -> dict[str, float]:
    """The metrics of an output with its name; those of its columns have it already."""
    if part.key is None:
        return dict(figures)
    return {
        name if " (" in name else of_target(name, part.title): value
        for name, value in figures.items()
    }


def _targets(custom: CustomProblem, block: Batch) -> Any:
    return custom.targets_of(with_targets(None, block.x), block.y)[1]


def _columns(part: _Part, y: NDArray[Any]) -> tuple[str, ...]:
    """What the columns of targets are called, which may have a unit each; empty for one target.

    More columns than `MOST_TARGETS`, or more dimensions, are the parts of one target, such as the
    pixels of an image.
    """
    if y.ndim != 2 or not 1 < y.shape[1] <= MOST_TARGETS:
        return ()
    return tuple(f"{part.title}[:, {place}]" for place in range(y.shape[1]))


def _by_place(y: Any, weight: NDArray[Any], width: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Targets with a line for each place of a sequence, and weights that add up to those of rows.

    Args:
        y: of rows, `[B, ..., width]`, or `[B, ...]` where the width is 1.
        weight: `[B]`.
        width: the numbers of a place.

    Returns:
        `[N, width]` and `[N]`.
    """
    lines = y.reshape(-1, width)
    places = max(1, len(lines) // max(1, len(weight)))
    return lines, np.repeat(weight.astype(np.float64) / places, places)


def _shares(rows: Iterator[tuple[Any, NDArray[Any]]], classes: int) -> NDArray[np.float64]:
    """The share of rows, or of places of sequences, in each class."""
    counts = np.zeros(classes)
    for y, weight in rows:
        codes, each = _by_place(y, weight, 1)
        counts += np.bincount(codes[:, 0].astype(np.int64), each, minlength=classes)
    return np.asarray(counts / counts.sum())


def _mean_shares(rows: Iterator[tuple[Any, NDArray[Any]]], classes: int) -> NDArray[np.float64]:
    """The mean probability of each class."""
    counts = np.zeros(classes)
    for y, weight in rows:
        probabilities, each = _by_place(y, weight, classes)
        counts += each @ probabilities
    return np.asarray(counts / counts.sum())


def _mean(rows: Iterator[tuple[Any, NDArray[Any]]]) -> NDArray[np.float64]:
    """The mean target of the rows."""
    total, whole = np.zeros(()), 0.0
    for y, weight in rows:
        total = total + np.tensordot(weight.astype(np.float64), y, axes=1)
        whole += float(weight.sum())
    return np.asarray(total / whole)


def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)
