"""Checks of a finished model from its records: what a reader should know before using it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from descend.errors import listed_names, option_text
from descend.io.older_records import leaking_in
from descend.io.units import count_text, percent_text
from descend.reporting.assessed import assessed_metrics, assessed_target
from descend.reporting.html import number_text, three_text
from descend.reporting.loss_curve import curve_check
from descend.reporting.networks import last_network
from descend.reporting.page_model import Check
from descend.types import History

Record = Mapping[str, Any]

FEW_ROWS, VERY_FEW_ROWS = 200, 50
"""Validation rows below which the metrics are uncertain, or say almost nothing."""
GIVES_AWAY = 0.98
"""A single column that explains this share of the target's variance looks like the target."""
EXACT = 0.9999
"""From this R² of the linear model on, the target is a sum of its columns."""
TOO_GOOD = 0.995
VERY_GOOD, MATTERS = 0.95, 0.01
"""From this metric and this importance on, a column named like a result is asked about."""
COPIES = 0.05
"""From this share of validation rows on, copies of training rows are told."""
WORDS = {
    "good": "Looks sound",
    "warn": "Use with care",
    "bad": "Do not rely on this model",
}
METRICS = {
    "r2": "R²",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "auc": "AUC",
    "pinball": "pinball loss",
}


def checks_of(
    record: Record, history: History, assessment: Mapping[str, Any] | None = None
) -> list[Check]:
    """The checks that the records allow, in the order of their weight for a reader.

    Args:
        record: what run.json holds of a finished run.
        history: of the run.
        assessment: what assessment.json holds, or None for runs without one.
    """
    assessment = assessment or {}
    result = record.get("result") or {}
    settings = record.get("settings") or {}
    weighted = bool(settings.get("class_weight"))
    found = [
        _check_ending(result),
        _weighted_classes() if weighted else None,
        *_trivial(result.get("metrics") or {}, assessment, weighted=weighted),
        _rows(record),
        _copies(assessment),
        _leaks(record, assessment),
        _range(assessment),
        _linear(
            assessment,
            weighted=weighted,
            own=settings.get("model") == "linear",
            target=assessed_target((result.get("metrics") or {}).get("model") or (), assessment),
        ),
        curve_check(result, last_network(history)),
    ]
    return [one for one in found if one is not None]


def assessment_line(checks: Sequence[Check]) -> tuple[str, str]:
    """A sentence that sums up the checks, and its tone: the worst of theirs."""
    order = ("good", "warn", "bad")
    tone = max((one.tone for one in checks), key=order.index, default="good")
    if tone == "good":
        return f"{WORDS[tone]}: all {len(checks)} checks passed.", tone
    problems = [one.name for one in checks if one.tone == tone]
    others = sum(one.tone == "warn" for one in checks) if tone == "bad" else 0
    more = f" ({others} more below)" if others else ""
    return f"{WORDS[tone]}: {'; '.join(problems)}{more}.", tone


def _check_ending(result: Record) -> Check | None:
    if result.get("stop_reason") == "DIVERGED":
        text = str(result.get("cause") or result.get("stop_text", ""))
        return Check("training diverged", "bad", text)
    if result.get("rescues"):
        return Check(
            "the loss exploded on the way",
            "warn",
            f"{result.get('cause', '')} Training went back to the last good weights and went on "
            "with a lower learning rate.".strip(),
        )
    return None


def _weighted_classes() -> Check:
    return Check(
        "probabilities of weighted classes",
        "warn",
        f"{option_text('class_weight')} raises the probabilities of classes with large weights "
        "above the share of rows that have them: accuracy, log loss and calibration suffer by "
        "intention. Judge by the precision and recall of each class.",
    )


def _trivial(metrics: Record, assessment: Record, *, weighted: bool) -> Iterator[Check]:
    """Whether the model is better than the trivial prediction, by more than chance.

    Where classes have weights, only the order of the rows is compared, which the weights leave. Of
    several outputs with a loss each, those that are no better are named.
    """
    model = metrics.get("model") or {}
    # R² against 0 and log loss use all that a model says; accuracy is what is left without them.
    known = ("auc",) if weighted else ("r2", "log_loss", "pinball", "accuracy")
    targets = dict.fromkeys(name.partition(" (")[2] for name in model)
    found = []
    for target in [""] if any(one in model for one in known) else targets:
        of = f" ({target}" if target else ""
        name = next((one for one in known if f"{one}{of}" in model), None)
        if name is not None:
            found.append(_beside_trivial(metrics, assessment, name, of))
    told = [one for one in found if one is not None]
    yield from [one for one in told if one.tone != "good"] or told[:1]


def _beside_trivial(metrics: Record, assessment: Record, metric: str, of: str) -> Check | None:
    """Whether a metric, of a target where there are several, is better than the trivial one."""
    name = f"{metric}{of}"
    model, trivial = metrics["model"][name], (metrics.get("baseline") or {}).get(name)
    if metric == "r2" and not _is_number(model):
        where = f" of {of[2:-1]}" if of else ""
        return Check(
            f"R²{where} has no value",
            "warn",
            f"The validation rows all have the same target{where}, to the seven digits that "
            "training keeps, so nothing can be said about how well differences are predicted. Look "
            "for one value far from all others, or give other rows with "
            f"{option_text('validation')}.",
        )
    if model is None or trivial is None:
        return None
    sign = -1.0 if metric in ("log_loss", "pinball") else 1.0
    # R² of the trivial prediction differs from 0 by the chance of the split alone.
    trivial = max(0.0, trivial) if metric == "r2" else trivial
    gain = sign * (model - trivial)
    ends = assessed_metrics(metrics["model"], assessment).get(name) or {}
    low = min(
        (sign * (ends[end] - trivial) for end in ("low", "high") if ends.get(end) is not None),
        default=gain,
    )
    simple = 0.0 if metric == "r2" and abs(trivial) < 0.01 else trivial
    value = f"{METRICS[metric]}{of} {three_text(model)} against {three_text(simple)}"
    if gain <= 0:
        return Check(
            f"no better than the trivial prediction{of}",
            "bad",
            f"{value} of always predicting {_trivial_name(metric)}: nothing was learned.",
        )
    if low <= 0:
        return Check(
            f"not surely better than the trivial prediction{of}",
            "warn",
            f"{value} of always predicting {_trivial_name(metric)}; the difference may be chance.",
        )
    return Check("better than the trivial prediction", "good", f"{value}.")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _trivial_name(name: str) -> str:
    named = {
        "r2": "the mean of these rows",
        "pinball": "the quantiles of all rows",
        "auc": "the same",
    }
    return named.get(name, "the class frequencies")


def _rows(record: Record) -> Check:
    rows = int(record["data"]["rows"]["validation"])
    if rows >= FEW_ROWS:
        return Check(
            "enough validation rows", "good", f"The metrics come from {count_text(rows, 'row')}."
        )
    return Check(
        f"only {rows:,} validation {'row' if rows == 1 else 'rows'}",
        "bad" if rows < VERY_FEW_ROWS else "warn",
        f"The metrics come from {count_text(rows, 'row')} and are uncertain: read the intervals, "
        f"or give more with {option_text('validation')}.",
    )


def _copies(assessment: Record) -> Check | None:
    """Whether many validation rows are copies of training rows."""
    share = assessment.get("copies")
    if share is None or share < COPIES:
        return None
    return Check(
        "validation rows are copies of training rows",
        "warn",
        f"About {percent_text(share)} of the validation rows are also among the training rows, "
        "with the same target. On them the metrics tell what was learned by heart, not how good "
        "predictions for new rows are. Remove repeated rows, or give rows of their own with "
        f"{option_text('validation', 'FILE')}.",
    )


def _leaks(record: Record, assessment: Record) -> Check | None:
    """Whether a column, or a sum of columns, gives the target away."""
    strongest = assessment.get("strongest") or []
    found = [one for one in strongest if one["explained"] >= GIVES_AWAY]
    if found and len(strongest) == 1:
        # Nothing else is left to learn from, so the user chose it.
        return Check(
            "the only column tells nearly all",
            "warn",
            f"{found[0]['column']} tells {percent_text(found[0]['explained'])} of the variation of "
            "the target. Is it known when predicting?",
        )
    if found:
        names = ", ".join(
            f"{one['column']} alone tells {percent_text(one['explained'])}" for one in found
        )
        return Check(
            "a column gives the target away",
            "bad",
            f"{names} of the variation of the target. If the column is not "
            f"known when predicting, leave it out: {option_text('exclude', [found[0]['column']])}.",
        )
    metrics = assessment.get("metrics") or {}
    linear = (metrics.get("r2") or {}).get("linear")
    if linear is not None and linear >= EXACT:
        top = [one["column"] for one in (assessment.get("importance") or [])[:3]]
        return Check(
            "the target is a sum of columns",
            "bad",
            f"A linear model predicts it exactly (R² {linear:.4f}); the columns that matter most "
            f"are {', '.join(top)}. Leave out what is part of the target: "
            f"{option_text('exclude', top[:2])}.",
        )
    best = {name: (metrics.get(name) or {}).get("model") for name in ("r2", "auc", "accuracy")}
    if any(value is not None and value >= TOO_GOOD for value in best.values()):
        top = [one["column"] for one in (assessment.get("importance") or [])[:1]]
        hint = f" Look at {top[0]} first." if top else ""
        return Check(
            "almost too good to be true",
            "warn",
            "The predictions are nearly exact. Check that no column is known only after the "
            f"target.{hint}",
        )
    late = _late_columns(assessment)
    if late and any(value is not None and value >= VERY_GOOD for value in best.values()):
        names = ", ".join(late[:4])
        return Check(
            "columns that may be known only afterwards",
            "warn",
            f"The predictions are very good, and by their names {names} may be known only after "
            f"the target. Leave out what is not known when predicting: "
            f"{option_text('exclude', late[:4])}.",
        )
    leaking = _leaking(record["data"])
    if leaking:
        return Check(
            "a column may give the target away",
            "warn",
            f"In a sample of the training rows, each of these columns nearly determines the "
            f"target: {listed_names(leaking)}. Leave out what is not known when predicting: "
            f"{option_text('exclude', leaking[:4])}.",
        )
    return Check("no single column gives the target away", "good", "") if strongest else None


def _leaking(data: Record) -> Sequence[str]:
    """The columns that nearly determine the target, also of a run of an older version."""
    if "leaking" in data:
        found: Sequence[str] = data["leaking"]
        return found
    names = [column["name"] for column in data.get("columns") or ()]
    return leaking_in(data.get("warnings") or (), names)


def _late_columns(assessment: Record) -> list[str]:
    """Columns that matter and whose names speak of something that comes after the target."""
    late = assessment.get("late") or ()
    importance = assessment.get("importance") or ()
    return [one["column"] for one in importance if one["column"] in late and one["low"] > MATTERS]


def _range(assessment: Record) -> Check | None:
    """Whether predictions leave the range that the target can have."""
    below = assessment.get("below_minimum")
    if not below or below["minimum"] < 0:
        return None
    what = "count" if below["whole"] else "quantity"
    if below["negative"] > 0:
        hint = (
            f"{option_text('loss', 'poisson')} predicts no negative values"
            if below["whole"]
            else "clip them at 0"
        )
        return Check(
            f"negative predictions of a {what}",
            "warn",
            f"{percent_text(below['negative'])} of the predictions are below 0 (down to "
            f"{number_text(below['lowest'])}), although the target never is: {hint}.",
        )
    return Check("predictions within the range of the target", "good", "None is below 0.")


def _linear(assessment: Record, *, weighted: bool, own: bool, target: str = "") -> Check | None:
    """The comparison with a linear model; of a run that is one itself, where it is worse."""
    metrics = assessment.get("metrics") or {}
    # The linear model has no weights of classes.
    for name in ("auc",) if weighted else ("r2", "log_loss"):
        one = metrics.get(name)
        if not one or one.get("linear") is None or one.get("model") is None:
            continue
        sign = -1.0 if name == "log_loss" else 1.0
        value = (
            f"{METRICS[name]}{f' of {target}' if target else ''} {three_text(one['model'])} "
            f"against {three_text(one['linear'])} of a linear model on the same columns"
        )
        if name == "r2" and one["linear"] >= EXACT:
            return None  # Said already: the target is a sum of columns.
        ends = [one[end] for end in ("low", "high") if one.get(end) is not None]
        if own:
            if not ends or max(sign * end for end in ends) >= sign * one["linear"]:
                return None
            return Check(
                "worse than a linear model can be",
                "warn",
                f"{value}, found without gradient descent. More epochs, or another learning rate, "
                "would help.",
            )
        if ends and max(sign * end for end in ends) < sign * one["linear"]:
            return Check(
                "a linear model is better",
                "warn",
                f"{value}: take {option_text('model', 'linear')}.",
            )
        if sign * (one["model"] - one["linear"]) <= 0:
            return Check(
                "a linear model is as good",
                "warn",
                f"{value}: {option_text('model', 'linear')} is simpler and faster.",
            )
        if ends and min(sign * end for end in ends) <= sign * one["linear"]:
            return Check(
                "not surely better than a linear model",
                "warn",
                f"{value}; the difference may be chance.",
            )
        return Check("better than a linear model", "good", f"{value}.")
    return None
