"""Several runs laid over each other, from their records and histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.reporting.page import render
from descend.reporting.parts import Cell, KeyFigure, Section, Summary, Table
from descend.reporting.plots import best_line, loss_plot, rate_plot
from descend.types import History

Record = Mapping[str, Any]

SETTINGS = ("model", "optimizer", "batch_size", "learning_rate", "schedule", "l2", "seed")


def runs_report(records: Mapping[str, Record], histories: Mapping[str, History]) -> str:
    """The page of several runs.

    Args:
        records: what each run.json holds, by the name of the run.
        histories: of the same runs.
    """
    best = {name: best_line(history) for name, history in histories.items()}
    figures = [
        KeyFigure(
            name,
            "—" if line is None else f"{line.validation_loss:.4g}",
            f"best validation loss; {len(histories[name])} evaluations",
        )
        for name, line in best.items()
    ]
    return render(
        f"{len(records)} runs",
        Summary("Lower is better, where the runs have the same rows to judge by.", figures),
        runs_sections(records, histories),
        source="Made by descend from run.json and history.csv of each run.",
    )


def runs_sections(records: Mapping[str, Record], histories: Mapping[str, History]) -> list[Section]:
    """Their curves over each other, and their settings side by side."""
    targets = {str(record["settings"]["target"]) for record in records.values()}
    losses = {str(record["settings"]["loss"]) for record in records.values()}
    warnings = []
    if len(targets) > 1 or len(losses) > 1:
        warnings.append(
            "These runs do not have one target and one loss: their losses cannot be compared."
        )
    return [
        Section(
            "How they learned",
            warnings=warnings,
            plots=[loss_plot(histories), rate_plot(histories)],
        ),
        Section("Side by side", tables=[_table(records, histories)]),
    ]


def _table(records: Mapping[str, Record], histories: Mapping[str, History]) -> Table:
    header = ["run", "best validation loss", "updates", "epochs", "seconds", "ended"]
    rows: list[list[Cell]] = []
    for name, record in records.items():
        line, last = best_line(histories[name]), histories[name][-1:]
        result = record.get("result") or {}
        rows.append(
            [
                name,
                None if line is None else line.validation_loss,
                last[0].update if last else 0,
                last[0].epoch if last else 0.0,
                last[0].seconds if last else 0.0,
                result.get("stop_reason", record.get("state")),
                *(_cell(record["settings"].get(option)) for option in SETTINGS),
            ]
        )
    titles = [option.replace("_", " ") for option in SETTINGS]
    return Table([*header, *titles], rows, caption="The runs side by side")


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | float | str) or value is None else str(value)
