"""The page of a training run, from its record, its history and its assessment."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from descend.io.units import count_text
from descend.reporting.html import number_text
from descend.reporting.loss_curve import best_line, ending_text
from descend.reporting.networks import by_network
from descend.reporting.page_model import Page, Section
from descend.reporting.pages.advice import advice_sections
from descend.reporting.pages.model import model_sections
from descend.reporting.pages.settings import data_section, rate_section, settings_section
from descend.reporting.pages.summary import train_summary
from descend.reporting.plots.history import batch_plot, loss_plot, metric_plots, rate_plot
from descend.reporting.text.losses import loss_note, members_note
from descend.reporting.text.records import chosen_rate, epochs_text, subject
from descend.types import History

Record = Mapping[str, Any]


def train_page(record: Record, history: History, assessment: Record | None = None) -> Page:
    """The page of a training run.

    Args:
        record: what run.json holds; that of an unfinished run will do.
        history: of the run.
        assessment: what assessment.json holds; None for runs without one.
    """
    files = ["run.json", "history.csv", *(["assessment.json"] if assessment else [])]
    return Page(
        train_title(record),
        train_summary(record, history, assessment),
        train_sections(record, history, assessment),
        f"Made by descend {record.get('descend', '')} from {', '.join(files)}.",
    )


def train_title(record: Record) -> str:
    """Like `Predicting cnt from bike_sharing.csv`."""
    if record.get("name"):
        return str(record["name"])
    return f"{'Training' if record.get('own') else 'Predicting'} {subject(record)}"


def train_sections(
    record: Record, history: History, assessment: Record | None = None
) -> list[Section]:
    """The model first, then how it was trained, then its data and settings."""
    return [
        *model_sections(record, assessment or {}),
        _training_section(record, history),
        rate_section(record),
        *advice_sections(record.get("advice") or {}),
        data_section(record, (assessment or {}).get("coded") or ()),
        settings_section(record),
    ]


def _training_section(record: Record, history: History) -> Section:
    if not history:
        return Section("How it was trained", text=["Nothing has been measured yet."])
    best = best_line(history)
    result = record.get("result") or {}
    text = [ending_text(result, history)] if result else []
    networks = by_network(history)
    if len(networks) > 1:
        text.append(
            "Each network began at random weights of its own and met the rows in another order, so "
            "their errors differ, and the mean of their predictions errs less, as a rule, than "
            "any of them."
        )
    elif best is not None:
        text.append(
            f"The {'saved' if result else 'best'} model is the one after "
            f"{count_text(best.update, 'update')} ({epochs_text(best.epoch)}): validation "
            f"loss {number_text(best.validation_loss)}."
        )
    if result.get("lowerings"):
        text.append(
            f"The learning rate was lowered {_times(result['lowerings'])} "
            "when the validation loss no longer improved."
        )
    if result.get("rescues"):
        text.append(
            f"The loss exploded {_times(result['rescues'])}: training went back to the last good "
            "weights and went on with a lower learning rate."
        )
    if grown := _growth_text(history):
        text.append(grown)
    runs = {f"network {number}": lines for number, lines in enumerate(networks, 1)}
    plots = []
    if len(history) > 1:  # A single point is no chart.
        note, training = loss_note(record), members_note(record)
        plots.append(loss_plot(runs, what="network", note=note, training=training))
    if grown:
        plots.append(batch_plot(runs))
    if chosen_rate(record) is None:
        text.append("The learning rate is part of the optimizer that you passed, so not shown.")
    elif len(history) > 1:
        plots.append(rate_plot(runs))
    return Section("How it was trained", text=text, plots=[*plots, *metric_plots(history)])


def _growth_text(history: History) -> str:
    """When the batch grew; empty where it did not."""
    steps = [
        f"to {count_text(after.batch_size, 'row')} after {count_text(before.update, 'update')}"
        for before, after in itertools.pairwise(history)
        if after.batch_size != before.batch_size
    ]
    if not steps:
        return ""
    return (
        f"The batch grew from {count_text(history[0].batch_size, 'row')} {', '.join(steps)}, where "
        "the measured gradient noise scale was several times the batch size."
    )


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
