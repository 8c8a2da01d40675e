"""What the loss of a run is, in words: its number is not one of the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text

Record = Mapping[str, Any]

OF_NUMBERS = ("squared_error", "absolute_error", "huber", "quantile")
"""Losses whose target is standardised where it is that of a table."""
MEANS = {
    "squared_error": "half the squared error of {target}",
    "absolute_error": "the absolute error of {target}",
    "huber": (
        "half the squared error of {target} up to an error of 1, and beyond it the error less a "
        "half"
    ),
    "quantile": (
        "the pinball loss of {target}: by how far it is above the predicted quantile, times the "
        "quantile's level, or below it, times one less the level"
    ),
    "poisson": (
        "prediction − {target} × log(prediction), lowest where the prediction is the mean; it can "
        "be below 0"
    ),
    "cross_entropy": (
        "−log of the probability that the model gives to the true class, the log loss: 0 where "
        "it is certain and right"
    ),
    "binary_cross_entropy": (
        "−log of the probability that the model gives to the true answer: 0 where it is certain "
        "and right"
    ),
    "hinge": (
        "by how much the score of the true class lacks a margin of 1: 0 for a row that is right "
        "by at least that"
    ),
}


def loss_note(record: Record) -> str:
    """What the loss of a row is; empty where the record does not say.

    Args:
        record: of a run, an advice or a comparison.

    >>> loss_note({"settings": {"loss": "squared_error", "target": "rent"}, "task": "regression"})
    'The loss of a row is half the squared error of rent, in standard deviations of its training \
rows: always predicting the mean has about 0.5.'
    """
    settings, own = record.get("settings") or {}, record.get("own") or {}
    name = str(own.get("loss") or settings.get("loss") or "")
    if name not in MEANS:
        return f"The loss is the one that you passed, {name}." if own.get("loss") else ""
    task = record.get("task") or (record.get("data") or {}).get("task")
    target = recorded_target(record)
    names = _names(settings, target, own)
    text = f"The loss of a row is {MEANS[name].format(target=_listed(names))}"
    if name in OF_NUMBERS and task == "regression":
        text += _unit(names, _numbers(target.get("deviation")))
    if len(names) > 1:
        text += ", summed over the targets"
    if name == "quantile" and (levels := _numbers(settings.get("quantiles"))):
        text += f", summed over the quantiles {', '.join(f'{level:g}' for level in levels)}"
    if own.get("class_weight") or settings.get("class_weight"):
        text += ", times the weight of its class"
    if name == "squared_error" and task == "regression":
        what = "the mean" if len(names) == 1 else "the means"
        text += f": always predicting {what} has about {number_text(0.5 * len(names))}"
    return f"{text}."


def shared_loss_note(records: Iterable[Record]) -> str:
    """What the loss of several runs is; empty where it is not the same."""
    notes = {loss_note({**record, "schema": _without_scale(record)}) for record in records}
    return notes.pop() if len(notes) == 1 else ""


def members_note(record: Record) -> str:
    """What tells the training loss of several members from their validation loss."""
    if ((record.get("settings") or {}).get("members") or 1) == 1 or record.get("own"):
        return ""
    return (
        " The training loss is the mean loss of the members, the validation loss that of their "
        "mean prediction, which is lower."
    )


def _without_scale(record: Record) -> Record:
    """The schema of a run without what depends on its training rows."""
    return {"target": {"names": recorded_target(record).get("names")}}


def recorded_target(record: Record) -> Record:
    """What the schema says of the target; empty where it says nothing, or nothing that can be."""
    schema = record.get("schema")
    target = schema.get("target") if isinstance(schema, Mapping) else None
    return target if isinstance(target, Mapping) else {}


def _numbers(values: Any) -> list[float]:
    """The numbers of a list; none where it is no list of numbers."""
    listed = isinstance(values, list | tuple)
    return list(values) if listed and all(isinstance(one, int | float) for one in values) else []


def _names(settings: Record, target: Record, own: Record) -> list[str]:
    """The targets; those of arrays have no name."""
    named = target.get("names")
    if isinstance(named, list | tuple) and named:
        return [str(name) for name in named]
    asked = settings.get("target")
    if own or not asked:
        return ["the target"]
    return [str(name) for name in asked] if isinstance(asked, list | tuple) else [str(asked)]


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _unit(names: Sequence[str], deviations: Sequence[float]) -> str:
    whose = "its" if len(names) == 1 else "their"
    if len(deviations) != 1:
        return f", in standard deviations of {whose} training rows"
    return f", in standard deviations of {whose} training rows (1 is {number_text(deviations[0])})"
