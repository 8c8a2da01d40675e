"""What the losses of a run say: which evaluation was best, whether it overfitted, why it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.errors import option_text
from descend.io.units import percent_text
from descend.reporting.html import number_text
from descend.reporting.networks import last_network, networks_text
from descend.reporting.page_model import Check
from descend.types import History, HistoryLine

Record = Mapping[str, Any]

OVERFITTED, BEYOND_CHANCE = 0.1, 0.02
"""Overfitting is a rise of the validation loss after the best epoch by this share of its whole fall
and by this share of itself, while the training loss fell. A model that has converged before its
first evaluation has no fall to speak of, and chance moves its losses."""
LATE = 0.9
"""A best evaluation after this share of the run: the model was still improving."""
ANNEALED = 0.1
"""A last learning rate below this share of the highest: a schedule has lowered it."""
LARGE_FALL = 0.05
"""A last decay that lowered the loss by this share: more epochs may lower it further."""
LIMITS = {
    "EPOCHS": ("The number of epochs was reached.", "more epochs"),
    "TIME_BUDGET": ("The time budget was used up.", "more time"),
}
"""What a reason to stop says of the end, and what a longer run would have."""


def ending_text(result: Record, history: History) -> str:
    """Why training ended, and whether a longer training would have helped.

    Args:
        result: of run.json.
        history: of the run; where it trained several networks, the last of them tells.
    """
    told = networks_text(result, max((one.network for one in history), default=1))
    ending = _ending_text(result, last_network(history))
    return f"{told} Of the last: {ending[:1].lower()}{ending[1:]}" if told else ending


def _ending_text(result: Record, history: History) -> str:
    reason, text = str(result.get("stop_reason")), str(result.get("stop_text", ""))
    if reason == "DECAYED" and (fallen := _fall_in_decay(history)) > LARGE_FALL:
        fell = f"The loss fell by {percent_text(fallen)} meanwhile"
        return f"{text} {fell}: more epochs may lower it further."
    limit = LIMITS.get(reason)
    if limit is None or len(history) < 3:
        return text
    what, more = limit
    best = best_line(history)
    if best is None:
        return what
    at = f"The validation loss was lowest at epoch {number_text(best.epoch)}"
    if best.epoch >= LATE * history[-1].epoch:
        if _is_annealed(history):
            return f"{what} {at}, where the schedule brought the learning rate near 0."
        return f"{what} {at}, near the end: it may fall further with {more}."
    if _overfitted(history, best):
        return f"{what} {at}; after that the model only overfitted: {more} would not help."
    return f"{what} {at} and has not fallen since: {more} would not help."


def best_line(history: History) -> HistoryLine | None:
    """The line with the lowest validation loss; NaN and infinite losses are ignored."""
    finite = [one for one in history if abs(one.validation_loss) < float("inf")]
    return min(finite, key=lambda one: one.validation_loss, default=None)


def curve_check(result: Record, history: History) -> Check | None:
    """Overfitting, or an end before the best was reached."""
    best = best_line(history)
    if best is None or len(history) < 3:
        return None
    if _overfitted(history, best):
        return Check(
            "overfitted after its best epoch",
            "warn",
            f"The validation loss was lowest at epoch {number_text(best.epoch)}, then rose while "
            "the training loss fell. The saved model is the one of that epoch; more rows, "
            f"{option_text('l2')} or a smaller model would help.",
        )
    limited = str(result.get("stop_reason")) in LIMITS
    if limited and best.epoch >= LATE * history[-1].epoch and not _is_annealed(history):
        return Check("still improving at the end", "warn", _ending_text(result, history))
    return Check("training ended where it should", "good", _ending_text(result, history))


def _is_annealed(history: History) -> bool:
    """Whether the learning rate had fallen near 0 at the end: the lowest loss belongs there."""
    return history[-1].learning_rate <= ANNEALED * max(one.learning_rate for one in history)


def _fall_in_decay(history: History) -> float:
    """By which share the best loss fell in the last decay of the learning rate."""
    highest = max((one.learning_rate for one in history), default=0.0)
    at_peak = [n for n, one in enumerate(history) if one.learning_rate >= 0.999 * highest]
    before = best_line(history[: at_peak[-1] + 1]) if at_peak else None
    best = best_line(history)
    if before is None or best is None or before.validation_loss == 0.0:
        return 0.0
    return (before.validation_loss - best.validation_loss) / abs(before.validation_loss)


def _overfitted(history: History, best: HistoryLine) -> bool:
    """Whether the validation loss rose after its lowest point while the training loss fell."""
    first, last = history[0].validation_loss, history[-1].validation_loss
    fall = first - best.validation_loss
    after = [one for one in history if one.update > best.update]
    # The middle of what came after: a single high evaluation is no overfitting.
    if not fall > 0 or not abs(last) < float("inf") or len(after) < 3:
        return False
    rise = min(_middle([one.validation_loss for one in after]), last) - best.validation_loss
    fitted = _middle([one.train_loss for one in after]) < best.train_loss
    large = max(OVERFITTED * fall, BEYOND_CHANCE * abs(best.validation_loss))
    return fitted and rise > large


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
