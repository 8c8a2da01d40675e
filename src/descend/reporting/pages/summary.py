"""The top of the page of a run: how good its model is, or how far training has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import count_text, percent_text, span_text
from descend.reporting.assessed import assessed_metrics
from descend.reporting.checks import assessment_line, checks_of
from descend.reporting.html import number_text, three_text
from descend.reporting.loss_curve import best_line
from descend.reporting.networks import last_network
from descend.reporting.page_model import KeyFigure, Summary
from descend.reporting.pages.facts import facts_text
from descend.reporting.pages.settings import rate_figures
from descend.reporting.progress import clock_time
from descend.reporting.text.records import epochs_text, metric_text, round_metric
from descend.types import History, HistoryLine

Record = Mapping[str, Any]

ASSESSED = "being assessed"
"""The state of a run that the live page shows between the last update and the finished page."""

MOST_TARGETS = 4
"""Targets whose errors are told at the top of the page."""
MOST_METRICS = 4
"""Metrics of the user's own at the top of the page of a running run."""


def train_summary(
    record: Record, history: History = (), assessment: Record | None = None
) -> Summary:
    """How good the model is, what to know before using it, and what it cost."""
    result = record.get("result")
    if result is None:
        return _running_summary(record, history)
    checks = checks_of(record, history, assessment)
    sentence, tone = assessment_line(checks)
    return Summary(
        _quality_sentence(record),
        [
            *_metric_figures(result["metrics"], assessment or {}),
            KeyFigure(
                "Training time",
                span_text(result["seconds"]),
                f"{count_text(result['updates'], 'update')}, {epochs_text(result['epochs'])}",
            ),
        ],
        outcome=sentence,
        tone=tone,
        checks=checks,
        facts=facts_text(record),
    )


def _running_summary(record: Record, history: History) -> Summary:
    """What is known while a run trains."""
    best = best_line(history)
    state = str(record.get("state", "unknown"))
    figures = []
    if history and best is not None:
        last, networks = history[-1], record["settings"].get("networks") or 1
        budget, epochs = (record["settings"].get(name) for name in ("time_budget", "epochs"))
        left = []
        if budget:
            left.append(budget - last.seconds)
        first = _counted_from(history)
        seconds = last.seconds - first.seconds
        epoch = last_network(history)[-1].epoch
        if epochs and last.epoch > first.epoch:
            coming = (networks - last.network) * epochs + epochs - epoch
            left.append(coming * seconds / (last.epoch - first.epoch))
        rows = (last.examples - first.examples) / seconds if seconds > 0 else 0.0
        since = sum(one.update > best.update for one in history)
        still = clock_time(max(0.0, min(left))) if left else "—"
        note = "left at most" if left else "no limit but the stopping rule"
        figures = [
            *([KeyFigure("Network", str(last.network), f"of {networks}")] if networks > 1 else []),
            KeyFigure("Epoch", number_text(round(epoch, 2)), f"of {epochs}" if epochs else ""),
            KeyFigure("Elapsed", clock_time(last.seconds), f"{rows:,.0f} rows/s"),
            *([] if state == ASSESSED else [KeyFigure("Time left", still, note)]),
            KeyFigure("Validation loss", number_text(last.validation_loss), "now"),
            KeyFigure(
                "Best", number_text(best.validation_loss), f"at epoch {number_text(best.epoch)}"
            ),
            _patience_figure(record.get("progress") or {}, since),
            *(
                KeyFigure(name, number_text(value), _best_metric(history, name))
                for name, value in list(last.metrics.items())[:MOST_METRICS]
            ),
        ]
    outcome = {
        "running": "Training is running.",
        ASSESSED: "Training has ended. The model is being assessed.",
    }.get(state, f"State: {state}. To go on, type {_goes_on(record)}")
    return Summary(
        "This run is not finished. The figures below are those of the last evaluation.",
        [*figures, *rate_figures(record)],
        outcome=outcome,
        facts=facts_text(record),
    )


def _counted_from(history: History) -> HistoryLine:
    """From where the pace is counted: before the first updates lies their compilation."""
    updated = [one for one in history if one.update > 0]
    return updated[0] if len(updated) > 1 else history[0]


def _patience_figure(progress: Record, since: int) -> KeyFigure:
    """How many evaluations without improvement are left, and what comes then."""
    if "patience" not in progress:
        return KeyFigure("Since the best", count_text(since, "evaluation"))
    left = max(0, progress["patience"] - progress["stale"])
    can_lower = progress["lowerings"] < progress["lowers"]
    then = "the learning rate is lowered" if can_lower else "training ends"
    return KeyFigure("Patience left", f"{left:,}", f"evaluations, then {then}")


def _best_metric(history: History, name: str) -> str:
    """The range of a metric of the user's own: whether more is better is not known."""
    known = [one.metrics[name] for one in history if one.metrics.get(name) is not None]
    return f"so far {three_text(min(known))} to {three_text(max(known))}"


def _goes_on(record: Record) -> str:
    return "descend.fit(..., resume=True)." if record.get("own") else "descend resume RUN."


def _quality_sentence(record: Record) -> str:
    metrics, rows = record["result"]["metrics"], record["data"]["rows"]["validation"]
    held_out = f"On {count_text(rows, 'row')} that it was not trained on"
    each = [name for name in metrics.get("model", {}) if name.startswith(("mae (", "accuracy ("))]
    if each and not {"accuracy", "mae"} & metrics["model"].keys():
        return f"{held_out}, {_of_targets(metrics, each)}."
    if inside := _inside_quantiles(metrics.get("model") or {}, record["settings"]):
        return f"{held_out}, {inside}."
    if not {"accuracy", "mae"} & metrics.get("model", {}).keys():
        loss = number_text(record["result"]["best_validation_loss"])
        return f"{held_out}, the model has a mean loss of {loss}."
    model, baseline = metrics["model"], metrics["baseline"]
    target = "the target" if record.get("own") else record["settings"]["target"]
    if "accuracy" in model:
        return (
            f"{held_out}, the model predicts {target} correctly "
            f"{percent_text(model['accuracy'], 3)} of the time; always predicting the most "
            f"frequent class is correct {percent_text(baseline['accuracy'], 3)} of the time."
        )
    return (
        f"{held_out}, the model's predictions of {target} are off by "
        f"{number_text(model.get('mae'))} on average; always predicting the mean is off by "
        f"{number_text(baseline.get('mae'))}."
    )


def _inside_quantiles(model: Mapping[str, float | None], settings: Record) -> str:
    """How many targets lie between the outermost predicted quantiles, beside how many are meant."""
    levels = [level for level in settings.get("quantiles") or () if f"below_{level:g}" in model]
    if not levels:
        return ""
    low, high = levels[0], levels[-1]
    target = settings["target"]
    if low == high:
        below = percent_text(model[f"below_{low:g}"] or 0.0, 3)
        return (
            f"{below} of the values of {target} are below the predicted quantile {low:g} "
            f"({percent_text(low)} are meant to be)"
        )
    share = (model[f"below_{high:g}"] or 0.0) - (model[f"below_{low:g}"] or 0.0)
    return (
        f"{percent_text(share, 3)} of the values of {target} lie between the predicted quantiles "
        f"{low:g} and {high:g} ({percent_text(high - low)} are meant to)"
    )


def _of_targets(metrics: Mapping[str, Mapping[str, float | None]], names: Sequence[str]) -> str:
    """The mean absolute errors or shares of right predictions of several targets.

    Beside them stand those of the trivial prediction.
    """
    off, right = [], []
    for name in names[:MOST_TARGETS]:
        kind, _, target = name[:-1].partition(" (")
        model, trivial = (metrics[one][name] for one in ("model", "baseline"))
        if kind == "mae":
            off.append(
                f"{number_text(model)} of {target} (always the mean: {number_text(trivial)})"
            )
        else:
            right.append(
                f"{target} correctly {percent_text(model or 0.0, 3)} of the time (always the most "
                f"frequent class: {percent_text(trivial or 0.0, 3)})"
            )
    said = [f"the model's predictions are off on average by {'; '.join(off)}"] if off else []
    said += [f"{'it' if off else 'the model'} predicts {'; '.join(right)}"] if right else []
    more = len(names) - len(off) - len(right)
    said += [f"and {count_text(more, 'target')} more"] if more else []
    return "; ".join(said)


def _metric_figures(
    metrics: Mapping[str, Mapping[str, float | None]], assessment: Record
) -> list[KeyFigure]:
    model, baseline = metrics.get("model", {}), metrics.get("baseline", {})
    known = assessed_metrics(model, assessment)
    figures = []
    named = ("r2", "rmse", "mae", "accuracy", "log_loss", "auc")
    for name in (*named, *(one for one in model if one not in named)):
        if name not in model:
            continue
        one = known.get(name) or {}
        notes = []
        if one.get("low") is not None:
            notes.append(f"{three_text(one['low'])} to {three_text(one['high'])}")
        if baseline.get(name) is not None:
            notes.append(_beside(name, baseline[name]))
        if one.get("linear") is not None:
            notes.append(f"linear: {three_text(one['linear'])}")
        value = number_text(round_metric(name, model[name]))
        figures.append(KeyFigure(metric_text(name), value, "; ".join(notes)))
    return figures


def _beside(name: str, trivial: float | None) -> str:
    """The metric of the trivial prediction; its R² is 0 but for chance."""
    if trivial is not None and name == "r2" and abs(trivial) < 0.01:
        return "trivial: 0"
    return f"trivial: {three_text(trivial)}"
