"""The page of several runs, from their records and histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.errors import option_text
from descend.io.units import bytes_text
from descend.reporting.html import number_text
from descend.reporting.loss_curve import best_line
from descend.reporting.page_model import Cell, KeyFigure, Page, Section, Summary, Table
from descend.reporting.pages.facts import moment_text
from descend.reporting.plots.colours import COLOURS
from descend.reporting.plots.history import loss_plot, rate_plot
from descend.reporting.text.losses import shared_loss_note
from descend.reporting.text.records import NAMES, metric_text
from descend.types import History

Record = Mapping[str, Any]

ALWAYS = ("batch_size", "learning_rate")
"""Settings that are shown even where all runs have the same."""
ALIKE = ("model", "hidden", "optimizer", "schedule", "loss")
"""Settings that are named where all runs have the same."""
TITLES = {"epochs": "most epochs"}
HEADER = ("best validation loss", "updates", "epochs", "seconds", "ended")
MACHINE_HEADER = [
    "run",
    "started",
    "training rows",
    "validation rows",
    "processor",
    "cores",
    "memory",
    "versions",
]
METRICS = ("r2", "rmse", "mae", "accuracy", "log_loss", "auc")
CLOSE = 1.02
"""Losses within this factor may differ by chance."""


def runs_page(records: Mapping[str, Record], histories: Mapping[str, History]) -> Page:
    """The page of several runs.

    Args:
        records: what each run.json holds, by the name of the run.
        histories: of the same runs.
    """
    return Page(
        f"{len(records)} runs",
        _summary(records, histories),
        runs_sections(records, histories),
        "Made by descend from run.json and history.csv of each run.",
    )


def runs_sections(records: Mapping[str, Record], histories: Mapping[str, History]) -> list[Section]:
    """Metrics and settings side by side, then the curves over each other."""
    differing = _differing_settings(records)
    alike = [
        f"{option.replace('_', ' ')} {_text(next(iter(records.values()))['settings'][option])}"
        for option in ALIKE
        if option not in differing
        and all(option in record["settings"] for record in records.values())
    ]
    return [
        Section(
            "Side by side",
            text=[f"The same in all: {', '.join(alike)}."] if alike else [],
            warnings=_warnings(records),
            tables=[
                _metrics_table(records, histories),
                _settings_table(records, differing),
                _machines_table(records),
            ],
        ),
        Section(
            "How they were trained",
            plots=[
                loss_plot(
                    histories,
                    alike=not _have_different_targets(records),
                    note=shared_loss_note(records.values()),
                ),
                rate_plot(histories),
            ],
        ),
    ]


def _summary(records: Mapping[str, Record], histories: Mapping[str, History]) -> Summary:
    """Which run came lowest."""
    lines = {name: best_line(history) for name, history in histories.items()}
    lowest = {name: one.validation_loss for name, one in lines.items() if one is not None}
    figures = [
        KeyFigure(
            name,
            number_text(lowest.get(name)),
            "best validation loss" + (f", after {one.seconds:.3g} s" if one is not None else ""),
        )
        for name, one in lines.items()
    ]
    if _have_different_targets(records):
        return Summary(
            f"{len(records)} runs with different targets or losses: their losses have no order.",
        )
    if len(lowest) < 2 or _warnings(records):
        return Summary(f"The loss curves of {len(records)} runs over each other.", figures)
    first, second = sorted(lowest, key=lambda name: lowest[name])[:2]
    best, next_best = number_text(lowest[first]), number_text(lowest[second])
    if best == next_best:
        text = f"{first} and {second} have the same lowest validation loss, {best}."
    else:
        text = (
            f"{first} has the lowest validation loss: {best}, against {next_best} of {second}. A "
            "difference this small may be chance: another seed gives another loss."
            if lowest[second] < CLOSE * lowest[first]
            else f"{first} has the lowest validation loss: {best}, against {next_best} of {second}."
        )
    return Summary(text, figures)


def _warnings(records: Mapping[str, Record]) -> list[str]:
    """Why their losses cannot be compared, where they cannot."""
    settings = [record["settings"] for record in records.values()]
    if _have_different_targets(records):
        return ["These runs do not have one target and one loss: their losses cannot be compared."]
    validation = {
        (str(record["data"].get("fingerprint")), one.get("seed"), str(one.get("validation")))
        for record, one in zip(records.values(), settings, strict=True)
    }
    if len(validation) > 1:
        return [
            f"These runs have different validation rows (the data, {option_text('seed')} or "
            f"{option_text('validation')} differ): "
            "compare their losses with care."
        ]
    return []


def _have_different_targets(records: Mapping[str, Record]) -> bool:
    settings = [record["settings"] for record in records.values()]
    return len({(str(one.get("target")), str(one.get("loss"))) for one in settings}) > 1


def _differing_settings(records: Mapping[str, Record]) -> list[str]:
    """The settings in which the runs differ, and those that are shown always."""
    settings = [record["settings"] for record in records.values()]
    found = [name for name in settings[0] if len({_text(one.get(name)) for one in settings}) > 1]
    return [*ALWAYS, *(name for name in found if name not in ALWAYS)]


def _metrics_table(records: Mapping[str, Record], histories: Mapping[str, History]) -> Table:
    known = dict.fromkeys(name for one in records.values() for name in _metrics(one))
    of_targets = tuple(f"{name} (" for name in NAMES)
    shown = [name for name in METRICS if name in known]
    shown += [name for name in known if name.startswith(of_targets)]
    rows: list[list[Cell]] = []
    for name, record in records.items():
        line, last = best_line(histories[name]), histories[name][-1:]
        result = record.get("result") or {}
        ended = str(result.get("stop_reason", record.get("state")))
        rows.append(
            [
                name,
                *(_metrics(record).get(metric) for metric in shown),
                None if line is None else line.validation_loss,
                last[0].update if last else 0,
                last[0].epoch if last else 0.0,
                last[0].seconds if last else 0.0,
                ended.replace("_", " ").lower(),
            ]
        )
    return Table(
        ["run", *(metric_text(metric) for metric in shown), *HEADER],
        rows,
        caption="The metrics of each run, on its validation rows; press a heading to sort",
        sortable=True,
        colours=[COLOURS[place % len(COLOURS)] for place in range(len(rows))],
    )


def _settings_table(records: Mapping[str, Record], differing: Sequence[str]) -> Table:
    """A line for each setting in which the runs differ, a column for each run."""
    rows: list[list[Cell]] = [
        [
            TITLES.get(option, option.replace("_", " ")),
            *(_cell(record["settings"].get(option)) for record in records.values()),
        ]
        for option in differing
    ]
    return Table(
        ["setting", *records],
        rows,
        caption="Batch size, learning rate, epochs, and what else differs",
    )


def _machines_table(records: Mapping[str, Record]) -> Table:
    """When and where each run was made, and on how many rows."""
    rows: list[list[Cell]] = []
    for name, record in records.items():
        machine, known = record.get("machine") or {}, record.get("versions") or {}
        counts = record["data"]["rows"]
        memory = machine.get("memory")
        rows.append(
            [
                name,
                moment_text(record["started"]) if record.get("started") else "—",
                counts["training"],
                counts["validation"],
                _processor(record),
                machine.get("cores"),
                bytes_text(memory) if memory else "—",
                f"descend {record.get('descend', '')}, JAX {known.get('jax', '—')}",
            ]
        )
    return Table(MACHINE_HEADER, rows, caption="When and where each was made")


def _metrics(record: Record) -> Mapping[str, float | None]:
    """The metrics of a finished run's model; empty for other runs."""
    result = record.get("result") or {}
    model: Mapping[str, float | None] = (result.get("metrics") or {}).get("model") or {}
    return model


def _processor(record: Record) -> str:
    machine = record.get("machine") or {}
    return str(machine.get("processor") or record.get("device") or "")


def _cell(value: object) -> Cell:
    return value if isinstance(value, int | float) and value is not True else _text(value)


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
