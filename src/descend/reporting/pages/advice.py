"""What an advice stands on: trials, seconds per update and gradient noise, from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.page_model import KeyFigure, Page, Section, Summary
from descend.reporting.plots.advice import (
    cosine_plot,
    map_plot,
    race_plot,
    scale_plot,
    span_text,
    speed_plot,
    target_plot,
)
from descend.reporting.text.records import subject

Record = Mapping[str, Any]


def advice_page(record: Record) -> Page:
    """The page of an advice.

    Args:
        record: what `descend advise --json` prints.
    """
    return Page(
        advice_title(record),
        advice_summary(record),
        advice_sections(record["advice"]),
        "Made by descend from the record of an advice.",
    )


def advice_title(record: Record) -> str:
    """Like `Batch size and learning rate for predicting cnt`."""
    what = "training" if record.get("own") else "predicting"
    return f"Batch size and learning rate for {what} {subject(record)}"


def advice_summary(record: Record) -> Summary:
    """What to set, how much it matters, and what decided."""
    advice = record["advice"]
    evidence = advice.get("evidence") or {}
    (low, high), (slow, fast) = advice["flat_region"], advice["interval"]
    size, rate = advice["batch_size"], advice["learning_rate"]
    text = f"Take batches of {size:,} rows and a learning rate of {number_text(rate)}."
    if low < high:
        text += f" Batches from {low:,} to {high:,} rows cost at most 10 % more."
    figures = [
        KeyFigure("Batch size", f"{size:,}", _as_well(low, high)),
        KeyFigure("Learning rate", number_text(rate), _as_well(slow, fast)),
    ]
    noise = evidence.get("noise") or []
    if noise and noise[-1]["noise_scale"] is not None:
        scale = f"{noise[-1]['noise_scale']:,.0f}"
        figures.append(KeyFigure("Noise scale", scale, "rows; as much noise as gradient"))
    figures.append(KeyFigure("The advice took", span_text(advice.get("cost", 0.0))))
    return Summary(text, figures, outcome=_outcome(evidence))


def advice_sections(advice: Record) -> list[Section]:
    """The evidence of an advice; parts that were not measured are left out.

    Args:
        advice: its record, as run.json and `descend advise --json` hold it.
    """
    evidence = advice.get("evidence") or {}
    sections = []
    if evidence.get("trials"):
        sections.append(_trials_section(advice, evidence))
    if evidence.get("speed"):
        sections.append(Section("What an update costs", plots=[speed_plot(evidence)]))
    if evidence.get("noise"):
        sections.append(_noise_section(evidence))
    return sections


def _trials_section(advice: Record, evidence: Record) -> Section:
    return Section(
        "Which batch size and learning rate",
        text=[
            "Short trials from the same weights decided: the better half of them ran twice as "
            "far, again and again. Their cost is the same; their losses differ.",
            *_left_out(evidence),
        ],
        plots=[
            target_plot(advice, evidence),
            map_plot(advice, evidence),
            race_plot(evidence["trials"]),
        ],
    )


def _left_out(evidence: Record) -> list[str]:
    left_out = evidence.get("left_out")
    if not left_out:
        return []
    seconds = span_text(evidence["expected"])
    return [
        f"Not measured: {' and '.join(left_out)}. Training takes about {seconds} here, and "
        "measuring them would take longer than it could save."
    ]


def _noise_section(evidence: Record) -> Section:
    measured = evidence["noise"]
    told = [one for one in measured if one["noise_scale"] is not None]
    plots = [scale_plot(told)] if told else []
    plots += [cosine_plot(measured)] if any(one.get("cosine") for one in measured) else []
    text = [
        "The noise scale is the batch size at which the mean over a batch has as much noise as "
        "gradient. It moves while the model learns."
    ]
    law = evidence.get("law")
    if law and law["interval"][1] is not None:
        low, high = (number_text(float(round(end))) for end in law["interval"])
        text.append(
            f"Up to about {law['critical']:,.0f} rows ({low} to {high}) larger batches save "
            "updates in proportion; beyond, they save few."
        )
    unknown = [
        f"Not determined by so short trials: {one}." for one in evidence.get("undetermined", ())
    ]
    return Section("How noisy the gradient is", text=[*text, *unknown], plots=plots)


def _outcome(evidence: Record) -> str:
    trials = evidence.get("trials") or []
    if not trials:
        return "Both were given: nothing was measured."
    lost = sum(bool(one["diverged"]) for one in trials)
    start, target = (number_text(evidence.get(name)) for name in ("start_loss", "target"))
    text = f"Decided by {len(trials)} trials; the best brought the loss from {start} to {target}."
    return f"{text} {lost} diverged." if lost else text


def _as_well(low: float, high: float) -> str:
    if low == high:
        return ""
    return f"{number_text(float(low))} to {number_text(float(high))} do about as well"
