"""The page of an advice: trials, seconds per update and gradient noise, from its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.units import count_text, span_text
from descend.reporting.html import number_text
from descend.reporting.page_model import KeyFigure, Page, Section, Summary
from descend.reporting.pages.facts import facts_text
from descend.reporting.plots.advice import (
    cosine_plot,
    map_plot,
    scale_plot,
    speed_plot,
    target_plot,
    trials_plot,
)
from descend.reporting.text.advice import (
    left_out_text,
    noise_growth_text,
    region_text,
    timing_disturbed,
    why_not_faster,
)
from descend.reporting.text.losses import loss_note
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
        [*advice_sections(record["advice"], loss_note(record)), *_next_section(record)],
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
    text = f"Take batches of {count_text(size, 'row')} and a learning rate of {number_text(rate)}."
    if low < high:
        text += f" {region_text(advice['flat_region'], evidence)}"
    figures = [
        KeyFigure(
            "Batch size",
            f"{size:,}",
            f"{low:,} to {high:,} could not be told apart"
            if timing_disturbed(advice["flat_region"], evidence)
            else _as_well(low, high),
        ),
        KeyFigure("Learning rate", number_text(rate), _as_well(slow, fast)),
    ]
    noise = evidence.get("noise") or []
    if noise and noise[-1]["noise_scale"] is not None:
        scale = f"{noise[-1]['noise_scale']:,.0f}"
        figures.append(KeyFigure("Noise scale", scale, _moment(noise[-1])))
    figures.append(KeyFigure("Measuring took", span_text(advice.get("cost", 0.0))))
    return Summary(text, figures, outcome=_outcome(evidence), facts=facts_text(record))


def advice_sections(advice: Record, loss: str = "") -> list[Section]:
    """The evidence of an advice; what was not measured is left out.

    Args:
        advice: its record, as run.json and `descend advise --json` hold it.
        loss: what the loss is, in a sentence, where the page does not say it elsewhere.
    """
    evidence = advice.get("evidence") or {}
    sections = []
    if evidence.get("trials"):
        sections.append(_trials_section(advice, evidence, loss))
    if evidence.get("speed"):
        sections.append(_speed_section(evidence))
    if evidence.get("noise"):
        sections.append(_noise_section(evidence))
    return sections


def _next_section(record: Record) -> list[Section]:
    """What to type to train with the advice, where it was asked for on the command line."""
    command = record.get("train_command")
    return [Section("To train with it", code=[command])] if command else []


def _trials_section(advice: Record, evidence: Record, loss: str) -> Section:
    reason = why_not_faster(evidence, advice["batch_size"]).text
    missing = left_out_text(evidence)
    return Section(
        "How batch size and rate were chosen",
        text=[
            "Chosen by short trials from the same initial weights (successive halving): after "
            "each round the better half of the trials goes on for twice as long. A batch size "
            "other than the reference is chosen only if it is clearly faster, because short trials "
            "are noisy.",
            *([reason] if reason else []),
            *([missing] if missing else []),
            *([loss] if loss else []),
        ],
        plots=[
            *([target_plot(advice, evidence)] if _several(evidence.get("curve")) else []),
            *([map_plot(advice, evidence)] if len(evidence["trials"]) > 1 else []),
            trials_plot(evidence["trials"]),
        ],
    )


def _several(lines: Any) -> bool:
    """Whether there is more than one batch size: one point is no chart."""
    return len({one["batch_size"] for one in lines or ()}) > 1


def _speed_section(evidence: Record) -> Section:
    plot = speed_plot(evidence)
    if _several(evidence["speed"]):
        return Section("What an update costs", plots=[plot])
    return Section("What an update costs", tables=[plot.table])


def _noise_section(evidence: Record) -> Section:
    measured = evidence["noise"]
    told = [one for one in measured if one["noise_scale"] is not None]
    plots = [scale_plot(told)] if told else []
    plots += [cosine_plot(measured)] if any(one.get("cosine") for one in measured) else []
    text = [
        "The noise scale is the batch size at which a mini-batch gradient has as much noise as "
        "gradient. It changes while the model learns: each number belongs to its moment and to the "
        "validation loss there."
    ]
    if growth := noise_growth_text(told):
        text.append(growth)
    if measured and (runs := measured[-1].get("runs")):
        text.append(
            f"Each is a mean over {count_text(runs, 'run')} from different initial weights; the "
            "interval holds the difference between them."
        )
    law = evidence.get("law")
    if law and law["interval"][1] is not None:
        low, high = (number_text(float(round(end))) for end in law["interval"])
        text.append(
            f"Up to about {law['critical']:,.0f} rows ({low} to {high}), larger batches need "
            "proportionally fewer updates; beyond, they save few."
        )
    unknown = [
        f"Not determined, because the trials are short: {one}."
        for one in evidence.get("undetermined", ())
    ]
    return Section("How noisy the gradient is", text=[*text, *unknown], plots=plots)


def _outcome(evidence: Record) -> str:
    trials = evidence.get("trials") or []
    if not trials:
        return "Batch size and learning rate were given: nothing was measured."
    lost = sum(bool(one["diverged"]) for one in trials)
    start, target = (number_text(evidence.get(name)) for name in ("start_loss", "target"))
    text = (
        f"Chosen by {count_text(len(trials), 'trial')}; "
        f"the best brought the loss from {start} to {target}."
    )
    return f"{text} {lost} diverged." if lost else text


def _moment(noise: Record) -> str:
    """Which noise scale: it grows while the model learns."""
    updates = noise.get("updates")
    when = f"after {count_text(updates, 'update')}" if updates else "at the start"
    low, high = noise["interval"]
    ends = f"{number_text(low)} to {'more' if high is None else number_text(high)}"
    return f"rows {when} ({ends}): as much noise as gradient"


def _as_well(low: float, high: float) -> str:
    if low == high:
        return ""
    return f"{number_text(float(low))} to {number_text(float(high))} do about as well"
