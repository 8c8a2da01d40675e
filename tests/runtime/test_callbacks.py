"""Callbacks: when they are called, what they see, what they may ask for."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
from descend import Evaluation
from descend.errors import InputError, SettingsError
from descend.runtime.callbacks import Agreement, Callbacks, KeepTime
from descend.runtime.live_page import LivePage
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.types import StopReason
from tests.problems import linear_problem, numbers, same_bits

X = np.random.default_rng(0).normal(size=(200, 3))
DATA = (X, X @ [1.0, 2.0, 3.0])
OPTIONS: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.01, "epochs": 6}
MODEL = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)

Start = Callable[..., Any]


def train(**options: Any) -> Any:
    """A run of descend's own model."""
    return descend.train(DATA, model="linear", **{**OPTIONS, **options})


def fit(**options: Any) -> Any:
    """A run of a custom model."""
    return descend.fit(MODEL, DATA, **{**OPTIONS, **options})


STARTS = pytest.mark.parametrize("start", [train, fit])


class Diary(Callback):
    """Writes down what it is called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.record: Any = None

    def begin(self, record: Any, folder: Path | None, history: Any) -> None:
        self.calls.append("begin")
        self.record = record

    def chunk(self, loop: LoopState) -> None:
        self.calls.append("chunk")

    def evaluation(self, loop: LoopState) -> None:
        self.calls.append("evaluation")

    def end(self, loop: LoopState, reason: StopReason) -> None:
        self.calls.append(f"end {reason.name}")

    def finish(self, record: Any, history: Any) -> None:
        self.calls.append("finish")
        self.record = record

    def close(self) -> None:
        self.calls.append("close")


@STARTS
def test_a_callback_is_called_from_begin_to_close(start: Start, tmp_path: Path) -> None:
    diary = Diary()
    run = start(out=tmp_path / "run", callbacks=[diary])
    assert diary.calls[:2] == ["begin", "evaluation"]
    assert diary.calls[-3:] == ["end EPOCHS", "finish", "close"]
    assert diary.calls.count("evaluation") == len(run.history) == 7
    assert diary.record == run.record


@STARTS
def test_a_function_sees_each_evaluation(start: Start) -> None:
    seen: list[Evaluation] = []
    run = start(callbacks=[seen.append])
    assert [one.line for one in seen] == list(run.history)
    assert [len(one.history) for one in seen] == list(range(1, 8))
    last = seen[-1]
    assert (last.update, last.epoch) == (run.history[-1].update, 6.0)
    assert (last.train_loss, last.validation_loss) == (
        run.history[-1].train_loss,
        run.history[-1].validation_loss,
    )
    assert seen[0].improved
    best = [one.validation_loss for one in seen if one.improved]
    assert best == sorted(best, reverse=True)
    for leaf in jax.tree.leaves(seen[0]._state.mean):
        leaf.delete()  # As the next updates do on some devices.
    with pytest.raises(InputError, match="until the callback returns"):
        _ = seen[0].params


@STARTS
def test_params_and_metrics_are_those_of_the_evaluated_weights(start: Start) -> None:
    found: list[tuple[Any, Any]] = []
    run = start(callbacks=[lambda one: found.append((one.params, one.metrics))])
    assert run.history[-1].validation_loss == min(line.validation_loss for line in run.history)
    params, metrics = found[-1]
    ours = run.model.params if start is train else run.params
    assert same_bits(params, ours)
    assert metrics == run.metrics
    assert found[0][1]["model"]["rmse"] > metrics["model"]["rmse"]


@STARTS
def test_a_function_stops_a_run(start: Start, tmp_path: Path) -> None:
    def stop(evaluation: Evaluation) -> None:
        if evaluation.epoch >= 2:
            evaluation.stop()

    run = start(out=tmp_path / "run", callbacks=[stop])
    assert run.stop_reason is StopReason.STOPPED
    assert run.history[-1].epoch == 2.0
    assert run.record["state"] == "finished"
    assert (tmp_path / "run" / "report.html").exists()


@STARTS
def test_a_rule_of_ones_own_ends_a_run_in_place_of_patience(start: Start) -> None:
    run = start(stop=lambda one: one.epoch >= 3, patience=1, learning_rate=1e-6)
    assert run.stop_reason is StopReason.STOPPED
    assert run.history[-1].epoch == 3.0
    assert {line.learning_rate for line in run.history[1:]} == {run.history[-1].learning_rate}


@STARTS
def test_a_function_changes_the_learning_rate(start: Start) -> None:
    def halve(evaluation: Evaluation) -> None:
        if evaluation.epoch == 2:
            evaluation.learning_rate /= 2
            assert evaluation.learning_rate == evaluation.line.learning_rate / 2

    run = start(callbacks=[halve], warmup=0.0)
    rates = [line.learning_rate for line in run.history]
    assert rates == [0.01] * 3 + [0.005] * 4


@pytest.mark.slow
def test_a_rate_that_was_changed_is_in_the_checkpoint(tmp_path: Path) -> None:
    """Stopped and resumed, a run ends with the bytes of one that was not stopped."""
    table = tmp_path / "t.csv"
    np.savetxt(table, np.column_stack(DATA), delimiter=",", header="a,b,c,y", comments="")

    def lower(evaluation: Evaluation) -> None:
        if evaluation.epoch == 2:
            evaluation.learning_rate = 0.003

    def lower_and_stop(evaluation: Evaluation) -> None:
        lower(evaluation)
        if evaluation.epoch == 3:
            evaluation.stop()

    options = {**OPTIONS, "target": "y", "hidden": (4,)}
    whole = descend.train(table, callbacks=[lower], out=tmp_path / "whole", **options)
    descend.train(table, callbacks=[lower_and_stop], out=tmp_path / "parts", **options)
    resumed = descend.resume(tmp_path / "parts")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]
    assert [line.learning_rate for line in resumed.history] == [
        line.learning_rate for line in whole.history
    ]


def test_callbacks_take_part_in_a_resumed_run(tmp_path: Path) -> None:
    def stop(evaluation: Evaluation) -> None:
        if evaluation.epoch == 2:
            evaluation.stop()

    seen: list[float] = []
    fit(out=tmp_path / "run", callbacks=[stop])
    run = fit(out=tmp_path / "run", resume=True, callbacks=[lambda one: seen.append(one.epoch)])
    assert seen == [3.0, 4.0, 5.0, 6.0]
    assert [line.epoch for line in run.history] == [0.0, 1.0, 2.0, *seen]


@STARTS
def test_an_error_in_a_function_comes_out_and_the_run_can_go_on(
    start: Start, tmp_path: Path
) -> None:
    def fail(evaluation: Evaluation) -> None:
        if evaluation.epoch == 2:
            raise RuntimeError("of the user's")

    diary, threads = Diary(), threading.active_count()
    with pytest.raises(RuntimeError, match="of the user's"):
        start(out=tmp_path / "run", callbacks=[diary, fail])
    assert diary.calls[-1] == "close"
    assert "finish" not in diary.calls
    assert threading.active_count() == threads
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4
    with pytest.raises(descend.InputError, match="exists"):
        start(out=tmp_path / "run")


@pytest.mark.parametrize("of_table", [True, False])
def test_a_run_that_its_rule_ended_is_finished(of_table: bool, tmp_path: Path) -> None:
    np.savetxt(
        table := tmp_path / "t.csv", np.c_[X, DATA[1]], "%.6f", ",", header="a,b,c,y", comments=""
    )
    options = {**OPTIONS, "patience": 1000}

    def start(**more: Any) -> Any:
        if of_table:
            own = {"target": "y", "model": "linear"}
            return descend.train(table, out=tmp_path / "run", **own, **options, **more)
        return descend.fit(MODEL, DATA, out=tmp_path / "run", **options, **more)

    def resume(**more: Any) -> Any:
        if of_table:
            return descend.resume(tmp_path / "run", **more)
        return start(resume=True, **more)

    def ended(evaluation: Evaluation) -> bool:
        return evaluation.epoch >= 2

    def fail(evaluation: Evaluation) -> None:
        if evaluation.epoch >= 1:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        start(stop=ended, callbacks=[fail])
    told = pytest.warns(UserWarning, match=r"stopping rule of yours .*stop=f")
    with told, pytest.raises(RuntimeError):
        resume(callbacks=[fail])
    updates = resume(stop=ended).history[-1].update
    for more in ({}, {"stop": ended}):
        run = resume(**more)
        assert (run.stop_reason, run.history[-1].update) == (StopReason.STOPPED, updates)
    assert resume(stop=lambda one: one.epoch >= 4).history[-1].epoch == 4


@STARTS
def test_what_is_no_function_is_refused(start: Start) -> None:
    with pytest.raises(SettingsError, match=r"callbacks must be functions.*found 3"):
        start(callbacks=[3])
    with pytest.raises(SettingsError, match=r"must be a list: callbacks=\[f\]; found function"):
        start(callbacks=lambda evaluation: None)
    with pytest.raises(SettingsError, match=r"stop must be a function .* found 100"):
        start(stop=100)


@STARTS
def test_a_function_that_cannot_be_called_with_an_evaluation_is_refused(start: Start) -> None:
    def two(epoch: int, losses: Any) -> None:
        pass

    with pytest.raises(SettingsError, match=r"two\(epoch.*losses.*one argument, f\(evaluation\)"):
        start(callbacks=[two])
    with pytest.raises(SettingsError, match=r"cannot be a callback, .*f\(evaluation\)"):
        start(callbacks=[lambda: None])
    with pytest.raises(SettingsError, match=r"cannot be stop, .*stop\(evaluation\)"):
        start(stop=lambda: True)
    start(callbacks=[print, lambda *all_: None, lambda one, more=3: None], quiet=True)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), "fast", None])
def test_a_rate_must_be_a_number_above_zero(rate: Any) -> None:
    def change(evaluation: Evaluation) -> None:
        evaluation.learning_rate = rate

    with pytest.raises(SettingsError, match="learning_rate must be a number greater than 0"):
        train(callbacks=[change])


def test_a_custom_model_has_a_live_page() -> None:
    pages: list[str] = []
    live = LivePage(stay=0)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def look(evaluation: Evaluation) -> None:
        with opener.open(live.address, timeout=30) as answer:
            pages.append(answer.read().decode())

    fit(callbacks=[live, look])
    assert len(pages) == 7
    assert all("data-live=" in page for page in pages)


class Failing(Callback):
    """Fails when it is closed."""

    def close(self) -> None:
        raise RuntimeError("first")


def test_every_callback_is_closed_whatever_another_does() -> None:
    diary = Diary()
    for members in ([Failing(), diary], [diary, Failing()]):
        with pytest.raises(RuntimeError, match="first"):
            Callbacks(members).close()
    assert diary.calls == ["close", "close"]


class Wishing(Callback):
    """Asks for a factor and a reason."""

    def __init__(self, factor: float | None, reason: StopReason | None) -> None:
        self.factor, self.reason = factor, reason

    def evaluation(self, loop: LoopState) -> float | None:
        return self.factor

    def stop_requested(self) -> StopReason | None:
        return self.reason


def test_factors_are_multiplied_and_the_first_reason_counts() -> None:
    nothing: Any = None
    asking = Callbacks(
        [
            Wishing(None, None),
            Wishing(0.5, StopReason.INTERRUPTED),
            Wishing(0.5, StopReason.STOPPED),
        ]
    )
    assert asking.evaluation(nothing) == 0.25
    assert asking.stop_requested() is StopReason.INTERRUPTED
    silent = Callbacks([Wishing(None, None)])
    assert silent.evaluation(nothing) is None
    assert silent.stop_requested() is None


def test_every_answer_is_the_one_agreed_on_and_members_see_the_view() -> None:
    seen: list[Any] = []

    class Seeing(Wishing):
        def chunk(self, loop: LoopState) -> None:
            seen.append(loop)

        def evaluation(self, loop: LoopState) -> float | None:
            seen.append(loop)
            return self.factor

        def end(self, loop: LoopState, reason: StopReason) -> None:
            seen.append(loop)

    def doubled(loop: LoopState, factor: float | None) -> float | None:
        seen.append(loop)
        return factor and 2 * factor

    everywhere = Agreement(lambda loop: ("view", loop), doubled, lambda _: None)
    loop: Any = "loop"
    agreed = Callbacks([Seeing(0.5, StopReason.STOPPED), Wishing(0.5, None)], everywhere)
    agreed.chunk(loop)
    assert agreed.evaluation(loop) == 0.5
    assert agreed.stop_requested() is None
    agreed.end(loop, StopReason.EPOCHS)
    assert seen == [("view", "loop")] * 4


def test_time_is_over_once_the_loop_has_trained_that_long() -> None:
    problem = linear_problem(numbers(10))
    keeper, loop = KeepTime(2.0), problem.begin()
    found = []
    for seconds in (0.0, 1.9, 2.0, 3.0):
        keeper.chunk(loop._replace(seconds=seconds))
        found.append(keeper.stop_requested())
    assert found == [None, None, StopReason.TIME_BUDGET, StopReason.TIME_BUDGET]


def test_params_of_a_custom_model_have_the_form_of_its_framework() -> None:
    nnx = pytest.importorskip("flax.nnx")
    found: list[Any] = []
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    run = descend.fit(model, DATA, **OPTIONS, callbacks=[lambda one: found.append(one.params)])
    assert run.history[-1].validation_loss == min(line.validation_loss for line in run.history)
    assert same_bits(found[-1], run.params)
    assert not same_bits(found[0], run.params)


@STARTS
def test_a_run_says_when_and_where_it_was_made(start: Start, tmp_path: Path) -> None:
    run = start(out=tmp_path / "run", name="A first try", note="with few epochs")
    record = run.record
    assert (record["name"], record["note"]) == ("A first try", "with few epochs")
    assert record["started"] <= record["ended"]
    assert record["started"].endswith("+00:00")
    assert record["machine"]["cores"] >= 1
    assert record["versions"].keys() >= {"python", "jax", "numpy"}
    assert record["data"]["rows"]["total"] == len(X)
    assert "A first try" in (tmp_path / "run" / "report.html").read_text()
    with pytest.raises(SettingsError, match="note must be a text; found 3"):
        start(note=3)
