"""The text of an advice: why this batch size, and when the noise was measured."""

from __future__ import annotations

from typing import Any

import pytest

from descend.reporting.text.advice import advice_text
from descend.types import Advice


def trial(size: int, ratio: float | None) -> dict[str, Any]:
    interval = None if ratio is None else [ratio / 1.5, ratio * 1.5]
    return {"batch_size": size, "ratio": ratio, "ratio_interval": interval, "diverged": False}


def text_of(
    *trials: dict[str, Any],
    noise: list[dict[str, Any]] | None = None,
    law: dict[str, Any] | None = None,
    evidence: dict[str, Any] | None = None,
) -> str:
    whole = {
        "trials": [trial(128, 1.0), *trials],
        "goal": "time",
        "start_loss": 1.0,
        "target": 0.1,
        "noise": noise or [],
        "law": law,
        "curve": [],
        "speed": [],
        "required_gain": {"larger": 1.25, "smaller": 1.4},
        **(evidence or {}),
    }
    text = advice_text(Advice(128, 0.1, (0.1, 0.1), (128, 128), whole), "descend train x")
    return " ".join(text.split())


def test_a_size_that_looks_faster_is_named_with_its_interval_and_the_reason() -> None:
    text = text_of(trial(512, 0.84))
    assert "512 rows look faster, at 0.84 times the time (0.56 to 1.3)" in text
    assert "at least 1.25 times as fast" in text
    assert "at least 1.4 times as fast" in text_of(trial(32, 0.84))
    assert "Other batch sizes" not in text, "its time would be told twice"


def test_other_sizes_are_told_with_their_intervals_and_the_best_trial_of_each() -> None:
    text = text_of(trial(512, 3.0), trial(512, 1.5), trial(32, 30.0))
    assert "32 more than 10 times, 512 about 1.5 times (1.0 to 2.2) as long (in brackets" in text
    assert "brackets" not in text_of(trial(32, 30.0))


def test_a_size_that_was_fast_and_did_not_last_is_named_too() -> None:
    assert "diverged when that trial was continued" in text_of(trial(512, 0.5))


@pytest.mark.parametrize("other", [(512, 0.95), (512, 2.0), (512, None)])
def test_nothing_is_said_where_no_size_looks_faster(other: tuple[int, float | None]) -> None:
    assert "look faster" not in text_of(trial(*other))


def test_the_noise_is_told_with_the_losses_it_was_measured_at() -> None:
    moments = [(0, 0.9, 20.0), (100, 0.5, 80.0)]
    noise = [
        {"updates": updates, "loss": loss, "noise_scale": scale, "interval": [scale - 5, scale + 5]}
        for updates, loss, scale in moments
    ]
    text = text_of(noise=noise)
    assert "has 20 rows (15 to 25) at the start (validation loss 0.9)" in text
    assert "80 (75 to 85) after 100 updates (validation loss 0.5)." in text
    assert "It grew 4-fold while the loss fell" in text
    overlapping = [{**one, "interval": [10.0, 90.0]} for one in noise]
    assert "does not show in so few updates" in text_of(noise=overlapping)


def test_costs_that_were_not_measured_are_marked_as_guesses() -> None:
    def line(size: int) -> dict[str, Any]:
        return {"batch_size": size, "updates": 1e3, "examples": 1e3 * size, "seconds": 1.0}

    def speed(size: int) -> dict[str, Any]:
        return {"batch_size": size, "seconds_per_update": 1e-3, "peak_memory": 1 << 20}

    sizes = (128, 512)
    evidence = {"curve": [*map(line, sizes)], "speed": [*map(speed, sizes)]}
    text = text_of(trial(512, None), evidence=evidence)
    assert " 1,000 128,000 1 s" in text
    assert "~1,000 ~512,000 ~1 s" in text
    assert "~ not measured: predicted from the other batch sizes." in text
    assert "~" not in text_of(trial(512, 1.0), evidence=evidence)


def test_the_critical_batch_size_is_told_with_its_loss() -> None:
    text = text_of(law={"critical": 114.4, "interval": [50.1, 251.2], "level": 0.0543})
    assert (
        "To reach a validation loss of 0.0543, batches up to about 114 rows (50.1 to 251)" in text
    )


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("training", "Training takes about 800 ms here, so noise was not measured: that would"),
        ("compiling", "Compiling a batch size takes about 7 s here, so noise was not measured"),
        ("budget", "In the time that was given, noise was not measured."),
    ],
)
def test_what_was_left_out_is_told_with_the_reason_and_the_time_that_it_takes(
    by: str, said: str
) -> None:
    times = {"expected": 0.8, "compiling": 7.0, "budget_for_all": 70.2}
    text = text_of(evidence={"left_out": ["noise"], "left_out_by": by, **times})
    assert said in text
    assert "advice_budget=71 measures them." in text


def test_it_ends_with_the_command_to_type() -> None:
    assert text_of().endswith("descend train x")
    assert "training goes on" not in text_of()
