"""An advice in words that a user acts on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.types import Advice

GOALS = {
    "time": "the least time to a good validation loss",
    "examples": "the fewest examples to a good validation loss",
    "quality": "the best validation loss",
}
CLEARLY = 0.9
"""Another size that took less than so much of the time is worth a word."""


def advice_text(advice: Advice) -> str:
    """What to set, how much it matters, why, and what it cost."""
    evidence = advice.evidence
    if evidence.get("decided_by") == "given" and "speed" not in evidence:
        return (
            f"Batch size {advice.batch_size:,} and learning rate {advice.learning_rate:g}, "
            "as given: there was nothing to find."
        )
    parts = [
        _what(advice),
        _why(advice),
        _left_out(evidence),
        _noise(evidence),
        _law(evidence),
        _costs(evidence),
        f"The advice took {_seconds(advice.cost)}; training goes on from its winner.",
    ]
    return "\n".join(part for part in parts if part)


def short_text(advice: Advice) -> str:
    """The advice in one line."""
    low, high = advice.flat_region
    flat = f" ({low:,} to {high:,} do about as well)" if low < high else ""
    return (
        f"Batch size {advice.batch_size:,}{flat}, learning rate {advice.learning_rate:g}: "
        f"found in {_seconds(advice.cost)}."
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
        lines.append(f"Batch sizes from {low:,} to {high:,} do about as well.")
    slow, fast = advice.interval
    if slow < fast:
        lines.append(f"Learning rates from {slow:g} to {fast:g} did about as well.")
    return " ".join(lines)


def _why(advice: Advice) -> str:
    evidence = advice.evidence
    trials = evidence["trials"]
    failed = sum(trial["diverged"] for trial in trials)
    text = (
        f"Decided by {_count(len(trials), 'trial')} from the same weights, looking for "
        f"{GOALS[evidence['goal']]}: it brought the validation loss from "
        f"{evidence['start_loss']:.4g} to {evidence['target']:.4g}."
    )
    best: dict[int, float] = {}
    for trial in trials:
        if trial["ratio"] is not None and trial["batch_size"] != advice.batch_size:
            size = trial["batch_size"]
            best[size] = min(trial["ratio"], best.get(size, trial["ratio"]))
    others = [f"{size:,} {_times(ratio)}" for size, ratio in sorted(best.items())]
    if others:
        text += f" To get as far would take, by batch size: {', '.join(others)} as long."
    if best and min(best.values()) < CLEARLY:
        text += " After so short trials a size that was not raced first has to be clearly faster."
    if failed:
        text += f" {_count(failed, 'trial')} diverged."
    return text


def _left_out(evidence: Mapping[str, Any]) -> str:
    left_out = evidence.get("left_out")
    if not left_out:
        return ""
    verb = "was" if left_out == ["noise"] else "were"
    return (
        f"Training takes about {_seconds(evidence['expected'])} here, so {' and '.join(left_out)} "
        f"{verb} not measured: that would take longer than it could save. "
        "--advice-budget 20s measures them."
    )


def _noise(evidence: Mapping[str, Any]) -> str:
    if not evidence["noise"]:
        return ""
    last = evidence["noise"][-1]
    if last["noise_scale"] is None:
        return (
            "The noise scale is undetermined: over the rows looked at, the gradient cannot be "
            "told from zero. The trials alone decided."
        )
    low, high = last["interval"]
    upper = "more" if high is None else f"{high:,.3g}"
    return (
        f"Gradient noise: batches of {last['noise_scale']:,.3g} rows ({low:,.3g} to {upper}) "
        "have as much noise as gradient."
    )


def _law(evidence: Mapping[str, Any]) -> str:
    law = evidence["law"]
    if law is None and len(evidence.get("shortlist", ())) < 3:  # the law needs three sizes
        return ""
    if law is None or law["interval"][1] is None:
        return "From what batch size on updates gain nothing is undetermined after so short trials."
    low, high = law["interval"]
    return (
        f"Up to batches of about {law['critical']:,.3g} rows ({low:,.3g} to {high:,.3g}) larger "
        "ones save updates in proportion, beyond they save few."
    )


def _costs(evidence: Mapping[str, Any]) -> str:
    """A line for each size."""
    curve = {line["batch_size"]: line for line in evidence["curve"]}
    lines = [
        f"{'batch size':>10} {'per update':>11} {'memory':>8} {'updates':>9} {'examples':>11} "
        f"{'time':>8}   to loss {evidence['target']:.4g}"
    ]
    for line in evidence["speed"]:
        size = line["batch_size"]
        text = f"{size:>10,} {_seconds(line['seconds_per_update']):>11} "
        text += f"{_bytes(line['peak_memory']):>8} "
        if size in curve:
            to = curve[size]
            text += f"{to['updates']:>9,.0f} {to['examples']:>11,.0f} {_seconds(to['seconds']):>8}"
        lines.append(text.rstrip())
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _times(ratio: float) -> str:
    return f"about {ratio:.2g} times" if ratio < 10 else "more than 10 times"


def _seconds(seconds: float) -> str:
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s"


def _bytes(number: float | None) -> str:
    if number is None:
        return "—"
    for unit in ("B", "KB", "MB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000.0
    return f"{number:.3g} GB"
