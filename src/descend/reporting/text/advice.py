"""An advice as text, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from descend.errors import option_text
from descend.io.units import bytes_text, count_text, span_text
from descend.reporting.text.tables import paragraph, table_text
from descend.types import Advice

GOALS = {
    "time": "the least time to a good validation loss",
    "examples": "the fewest examples to a good validation loss",
    "quality": "the best validation loss",
}
AS_GOOD = 1.1
"""A batch size that takes at most this many times as long does about as well."""
USUAL_BUDGET = 20.0
"""Seconds in which everything is measured, for records that do not say so."""
CLEARLY = 0.9
"""A batch size that needs less than this share of the time is mentioned."""


def advice_text(advice: Advice, command: str = "") -> str:
    """What to set, how much it matters, why, and what the advice cost.

    Args:
        advice: with its evidence.
        command: what to type to train with it; empty where that is not known.
    """
    evidence = advice.evidence
    if evidence.get("decided_by") == "given" and "speed" not in evidence:
        return (
            f"Batch size {advice.batch_size:,} and learning rate {advice.learning_rate:g}, "
            "as given: there was nothing to measure."
        )
    parts = [
        paragraph(_what(advice)),
        paragraph(_why(advice)),
        paragraph(left_out_text(evidence)),
        paragraph(_noise(evidence)),
        paragraph(_law(evidence)),
        _costs(evidence),
        f"Measuring took {span_text(advice.cost)}.",
        f"To train with it: {command}" if command else "",
    ]
    return "\n".join(part for part in parts if part)


def short_text(advice: Advice) -> str:
    """The advice in one line."""
    low, high = advice.flat_region
    flat = f" ({low:,} to {high:,} do about as well)" if low < high else ""
    return (
        f"Batch size {advice.batch_size:,}{flat}, learning rate {advice.learning_rate:g}: "
        f"measured in {span_text(advice.cost)}."
    )


def _what(advice: Advice) -> str:
    given = advice.evidence.get("given", [])
    size = f"Batch size {advice.batch_size:,}"
    size += ", as given" if "batch size" in given else ""
    rate = f"learning rate {advice.learning_rate:g}"
    rate += ", as given" if "learning rate" in given else ""
    lines = [f"{size}; {rate}."]
    low, high = advice.flat_region
    if low < high:
        lines.append(region_text(advice.flat_region, advice.evidence))
    slow, fast = advice.interval
    if slow < fast:
        lines.append(f"Learning rates from {slow:g} to {fast:g} did about as well.")
    if "learning rate" in advice.evidence.get("undetermined", ()):
        lines.append(
            "No rate that was tried was too high, so a higher one may do better: give the "
            "measurements more time (budget=)."
        )
    return " ".join(lines)


def region_text(region: Sequence[int], evidence: Mapping[str, Any]) -> str:
    """What is known of the batch sizes around the advised one.

    Where other work on the machine disturbed the timing, sizes that took longer belong to them too.
    """
    low, high = region
    if timing_disturbed(region, evidence):
        return (
            f"Batch sizes from {low:,} to {high:,} could not be told apart: other work on the "
            "machine disturbed the timing."
        )
    return f"Batch sizes from {low:,} to {high:,} do about as well."


def timing_disturbed(region: Sequence[int], evidence: Mapping[str, Any]) -> bool:
    """Whether a size of the region took more than a tenth longer in its trial."""
    best: dict[int, float] = {}
    for trial in evidence.get("trials") or ():
        size, ratio = trial["batch_size"], trial.get("ratio")
        if ratio is not None and region[0] <= size <= region[1]:
            best[size] = min(ratio, best.get(size, ratio))
    return any(ratio > AS_GOOD for ratio in best.values())


def _why(advice: Advice) -> str:
    evidence = advice.evidence
    trials = evidence["trials"]
    failed = sum(trial["diverged"] for trial in trials)
    text = (
        f"Chosen by {count_text(len(trials), 'trial')} from the same initial weights, for "
        f"{GOALS[evidence['goal']]}: the best trial brought the validation loss from "
        f"{evidence['start_loss']:.4g} to {evidence['target']:.4g}."
    )
    best: dict[int, Mapping[str, Any]] = {}
    for trial in sorted(trials, key=lambda one: one["ratio"] or math.inf):
        if trial["ratio"] is not None and trial["batch_size"] != advice.batch_size:
            best.setdefault(trial["batch_size"], trial)
    reason = why_not_faster(evidence, advice.batch_size)
    if reason.batch_size is not None:
        best.pop(reason.batch_size, None)  # The reason tells its time.
    if best:
        others = ", ".join(f"{size:,} {_times(one)}" for size, one in sorted(best.items()))
        text += f" Other batch sizes would take, to the same loss: {others} as long"
        text += " (in brackets 90 % intervals)." if "(" in others else "."
    text += f" {reason.text}" if reason.text else ""
    if failed:
        text += f" {count_text(failed, 'trial')} diverged."
    return text


class NotFaster(NamedTuple):
    """Why a batch size that looks faster was not chosen.

    Attributes:
        text: a sentence; empty if no size looks faster.
        batch_size: the size that it tells the time of, or None.
    """

    text: str
    batch_size: int | None = None


def why_not_faster(evidence: Mapping[str, Any], advised: int) -> NotFaster:
    """Why another batch size that looks faster was not chosen.

    Args:
        evidence: of the advice.
        advised: its batch size.
    """
    trials = [
        one
        for one in evidence["trials"]
        if one.get("ratio") is not None and one["batch_size"] != advised
    ]
    fastest = min(trials, key=lambda one: float(one["ratio"]), default=None)
    if fastest is not None and fastest["ratio"] < CLEARLY:
        interval = fastest.get("ratio_interval")
        within = f" ({interval[0]:.2g} to {interval[1]:.2g})" if interval else ""
        kind = "larger" if fastest["batch_size"] > advised else "smaller"
        gain = evidence.get("required_gain", {}).get(kind)
        bar = f" at least {gain:g} times as fast" if gain else " clearly faster"
        looks = (
            f"{fastest['batch_size']:,} rows look faster, at {fastest['ratio']:.2g} times the "
            f"time{within}"
        )
        if gain and fastest["ratio"] * gain < 1.0:
            return NotFaster(
                f"{looks}, but training diverged when that trial was continued for an epoch.",
                fastest["batch_size"],
            )
        return NotFaster(
            f"{looks}, but two runs of one setting differ that much by chance: a {kind} batch "
            f"size is chosen only if it is{bar}.",
            fastest["batch_size"],
        )
    if min(_relative_seconds(evidence, advised), default=1.0) < CLEARLY:
        return NotFaster(
            "A size below that looks faster was not tried to the end: its time is predicted from "
            "the other sizes."
        )
    return NotFaster("")


def _relative_seconds(evidence: Mapping[str, Any], advised: int) -> list[float]:
    """Predicted seconds of each size, as a share of those of the advised one."""
    curve = {one["batch_size"]: one["seconds"] for one in evidence.get("curve") or ()}
    own = curve.get(advised)
    return [seconds / own for seconds in curve.values()] if own else []


def left_out_text(evidence: Mapping[str, Any]) -> str:
    """What was not measured, why, and what to type to have it measured; empty where all was."""
    left_out = evidence.get("left_out")
    if not left_out:
        return ""
    what = f"{' and '.join(left_out)} {'was' if left_out == ['noise'] else 'were'} not measured"
    by = evidence.get("left_out_by")
    if by == "budget":
        reason = f"In the time that was given, {what}."
    elif by == "compiling":
        compiling = span_text(evidence["compiling"])
        reason = f"Compiling a batch size takes about {compiling} here, so {what} within a minute."
    else:
        reason = (
            f"Training takes about {span_text(evidence['expected'])} here, so {what}: that would "
            "take longer than it could save."
        )
    seconds = math.ceil(evidence.get("budget_for_all", USUAL_BUDGET))
    return f"{reason} {option_text('advice_budget', seconds, typed=f'{seconds}s')} measures them."


def _noise(evidence: Mapping[str, Any]) -> str:
    if not evidence["noise"]:
        return ""
    last = evidence["noise"][-1]
    if last["noise_scale"] is None:
        return (
            "The gradient noise scale is undetermined: over the rows that were read, the gradient "
            "cannot be distinguished from zero. The trials alone decided."
        )
    told = [one for one in evidence["noise"] if one["noise_scale"] is not None]
    first, *later = (f"{_scale(one)} {_moment(one)}" for one in told)
    text = (
        "Gradient noise: the batch with as much noise as gradient has "
        f"{', '.join([first.replace(' (', ' rows (', 1), *later])}."
    )
    growth = noise_growth_text(told)
    return f"{text} {growth}" if growth else text


def _rows(number: float) -> str:
    """Rows to about three digits.

    >>> _rows(1258.9), _rows(86.23)
    ('1,259', '86.2')
    """
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _scale(noise: Mapping[str, Any]) -> str:
    low, high = noise["interval"]
    upper = "more" if high is None else _rows(high)
    return f"{_rows(noise['noise_scale'])} ({_rows(low)} to {upper})"


def noise_growth_text(measured: Sequence[Mapping[str, Any]]) -> str:
    """Whether the noise scale grew while the loss fell; empty for a single measurement.

    Args:
        measured: noise scales that are known, in their order.
    """
    if len(measured) < 2:
        return ""
    first, last = measured[0], measured[-1]
    end = first["interval"][1]
    if end is not None and last["interval"][0] > end:
        times = last["noise_scale"] / first["noise_scale"]
        return (
            f"It grew {times:.2g}-fold while the loss fell, and goes on growing as long as it "
            "does: late in training larger batches pay more than at the beginning."
        )
    return "Whether it grows while the loss falls does not show in so few updates."


def _moment(noise: Mapping[str, Any]) -> str:
    """When a noise scale was measured."""
    updates, loss = noise.get("updates"), noise.get("loss")
    when = f"after {count_text(updates, 'update')}" if updates else "at the start"
    return f"{when} (validation loss {loss:.4g})" if loss is not None else when


def _law(evidence: Mapping[str, Any]) -> str:
    law = evidence["law"]
    if law is None and len(evidence.get("shortlist", ())) < 3:  # the law needs three sizes
        return ""
    if law is None or law["interval"][1] is None:
        return (
            "The critical batch size, beyond which larger batches save few updates, is "
            "undetermined: the trials are too short to show it."
        )
    low, high = law["interval"]
    level = law.get("level")
    loss = f"To reach a validation loss of {level:.4g}, batches" if level else "Batches"
    return (
        f"{loss} up to about {_rows(law['critical'])} rows ({_rows(low)} to {_rows(high)}) need "
        "proportionally fewer updates the larger they are; beyond, larger ones save few."
    )


def _costs(evidence: Mapping[str, Any]) -> str:
    """A line for each batch size."""
    curve = {line["batch_size"]: line for line in evidence["curve"]}
    measured = {one["batch_size"] for one in evidence["trials"] if one["ratio"] is not None}
    header = ["batch size", "per update", "memory"]
    header += ["updates", "examples", f"time to loss {evidence['target']:.4g}"] if curve else []
    rows = []
    for line in evidence["speed"]:
        size = line["batch_size"]
        row = [f"{size:,}", span_text(line["seconds_per_update"]), bytes_text(line["peak_memory"])]
        if size in curve:
            to = curve[size]
            guess = "" if size in measured else "~"
            costs = f"{to['updates']:,.0f}", f"{to['examples']:,.0f}", span_text(to["seconds"])
            row += [f"{guess}{cost}" for cost in costs]
        rows.append(row + [""] * (len(header) - len(row)))
    text = table_text(header, rows, numbers=len(header))
    if curve.keys() - measured:
        text += "\n~ not measured: predicted from the other batch sizes."
    return text


def _times(trial: Mapping[str, Any]) -> str:
    """How many times as long a trial's setting takes, with the interval where it is known."""
    if trial["ratio"] >= 9.95:
        return "more than 10 times"
    interval = trial.get("ratio_interval")
    within = f" ({interval[0]:.1f} to {interval[1]:.1f})" if interval else ""
    return f"about {trial['ratio']:.1f} times{within}"
