"""What the losses of a run say."""

from __future__ import annotations

import dataclasses

import pytest

from descend.reporting.loss_curve import curve_check, ending_text
from descend.types import History, HistoryLine, StopReason
from tests.histories import falling

SOUND = ("training ended where it should", "good")


def told(history: History, reason: str = "NO_IMPROVEMENT") -> tuple[str, str]:
    """The name and the tone of the check."""
    found = curve_check({"stop_reason": reason}, history)
    assert found is not None
    return found.name, found.tone


def test_overfitting_is_named_and_a_larger_budget_is_not_advised() -> None:
    losses = [1.0, 0.5, 0.366, 0.37, 0.39, 0.41, 0.43, 0.45, 0.458, 0.458, 0.458]
    rising = falling(losses, [0.9 / (1 + n) for n in range(len(losses))])
    result = {"stop_reason": "TIME_BUDGET", "stop_text": "allow more time"}
    text = ending_text(result, rising)
    assert "lowest at epoch 2; after that the model only overfitted" in text
    assert "raise" not in text
    assert told(rising, "TIME_BUDGET") == ("overfitted after its best epoch", "warn")
    noisy = falling(losses, [0.4] * len(losses))
    assert told(noisy) == SOUND
    still = falling([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert "may fall further with more epochs" in ending_text(
        {"stop_reason": "EPOCHS", "stop_text": ""}, still
    )


def test_chance_after_a_model_has_converged_is_not_called_overfitting() -> None:
    # A linear model of two columns: the advice had trained it before the first evaluation.
    losses = [0.1474, 0.1473, 0.1469, 0.1475, 0.1472, 0.1476, 0.1472, 0.1472, 0.1472]
    lowered = [0.1520, 0.1473, 0.1476, 0.1460, 0.1458, 0.1451, 0.1449, 0.1449, 0.1449]
    assert told(falling(losses, lowered)) == SOUND


def test_a_schedule_that_ended_is_not_told_as_an_end_too_early() -> None:
    constant = falling([1.0, 0.8, 0.6, 0.5, 0.4])
    rates = (0.01, 0.1, 0.1, 0.05, 0.001)
    annealed = tuple(
        dataclasses.replace(one, learning_rate=rate)
        for one, rate in zip(constant, rates, strict=True)
    )
    result = {"stop_reason": "EPOCHS", "stop_text": ""}
    assert "may fall further" in ending_text(result, constant)
    assert "may fall further" not in ending_text(result, annealed)
    assert told(constant, "EPOCHS") == ("still improving at the end", "warn")
    assert told(annealed, "EPOCHS") == SOUND


@pytest.mark.parametrize(
    ("losses", "more"),
    [([1.0, 0.5, 0.48, 0.45, 0.38], True), ([1.0, 0.5, 0.48, 0.47, 0.47], False)],
)
def test_a_decay_that_brought_much_is_said_to_be_worth_more_epochs(
    losses: list[float], more: bool
) -> None:
    rates = (0.01, 0.1, 0.1, 0.05, 0.001)
    history = tuple(
        dataclasses.replace(one, learning_rate=rate)
        for one, rate in zip(falling(losses), rates, strict=True)
    )
    ending = StopReason.DECAYED
    text = ending_text({"stop_reason": ending.name, "stop_text": ending.value}, history)
    assert text.startswith("The validation loss fell slowly")
    assert ("more epochs may lower it further" in text) is more


def test_a_model_of_several_networks_says_which_they_are() -> None:
    lines = tuple(
        HistoryLine(100 * k + 10 * n, 10.0 * k + n, 0, 0.0, 1.0, 1.0 / (1 + n), 64, 0.1, k + 1)
        for k in range(3)
        for n in range(5)
    )
    result = {"stop_reason": "EPOCHS", "stop_text": "", "networks": [0.2, 0.25]}
    said = ending_text(result, lines)
    assert said.startswith("The model is the mean of 2 networks, with validation losses from 0.2 ")
    assert "; 1 more, whose loss was much higher" in said
    assert "lowest at epoch 4," in said  # Of the last network, counted from its own beginning.
    assert ending_text({**result, "networks": []}, lines[:5]).startswith("The number of epochs")
