"""Several networks in one run: each as if it had been trained by itself, and their mean."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import descend
from descend.runtime.together import AS_USUAL, several_networks
from descend.settings import Settings
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.processes.place import ALONE
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.several_networks import (
    Networks,
    kept_weights,
    losses_of_networks,
    stack,
    unstack,
)
from descend.training.stopping_state import Limits
from descend.types import StopReason
from tests.fitting import network
from tests.problems import Recorder, same_bits, same_loop


def run_of(number: int, limits: Limits | None = None) -> LoopConfig:
    limits = limits or Limits(patience=100, epochs=4, lower_first=False)
    config = network().loop_config(12, 0.01, schedule="warmup-stable-decay", limits=limits)
    several = several_networks(network(), Settings("y", networks=number), ALONE, AS_USUAL)
    return dataclasses.replace(config, networks=several)


def test_each_network_is_what_it_would_be_by_itself() -> None:
    several = run_of(3)
    loop, reason = fit(several, network().begin())
    assert reason is StopReason.EPOCHS
    assert len(loop.finished) == 2
    assert several.networks is not None
    alone, _ = fit(run_of(1), network().begin())
    assert same_bits(loop.finished[0].weights, alone.best.mean)
    assert loop.finished[0].loss == alone.progress.best
    # The second begins at weights of its own, in an order of its own: that of epochs 4 to 7.
    begun = alone._replace(
        state=several.networks.first_state(1),
        best=several.networks.first_state(1),
        position=alone.position._replace(epoch=4, index=0),
        begun=alone.begun._replace(epochs=4),
        progress=network().begin().progress,
        history=(),
        loss_sum=0.0,
        loss_count=0,
    )
    second, _ = fit(run_of(1), begun)
    assert same_bits(loop.finished[1].weights, second.best.mean)
    assert not same_bits(loop.finished[0].weights, loop.finished[1].weights)


def test_the_history_counts_on_and_says_which_network_is_in_training() -> None:
    loop, _ = fit(run_of(3), network().begin())
    assert [line.network for line in loop.history] == [1] * 5 + [2] * 5 + [3] * 5
    assert [line.update for line in loop.history[4:7]] == [40, 40, 50]
    assert [line.epoch for line in loop.history[4:7]] == [4.0, 4.0, 5.0]
    assert (loop.updates, loop.examples) == (120, 12 * 120)
    assert [line.update for line in loop.own_history] == [0, 10, 20, 30, 40]


def test_the_rate_of_each_takes_its_own_course() -> None:
    loop, _ = fit(run_of(2), network().begin())
    rates = [line.learning_rate for line in loop.history]
    assert rates[:5] == rates[5:]


@pytest.mark.parametrize("stop_after", [0, 3, 4, 5, 9, 11])
def test_a_run_goes_on_to_the_same_bits_whichever_network_it_was_stopped_in(
    stop_after: int,
) -> None:
    whole, _ = fit(run_of(3), network().begin())
    stopped, reason = fit(run_of(3), network().begin(), Recorder(stop_after=stop_after))
    assert reason is StopReason.INTERRUPTED
    again: LoopState = restore_loop_state(*save_loop_state(stopped), like=network().begin())
    resumed, ended = fit(run_of(3), again)
    assert ended is StopReason.EPOCHS
    assert same_loop(whole, resumed)
    assert same_bits(kept_weights(whole), kept_weights(resumed))


def test_damaged_weights_of_a_finished_network_are_refused() -> None:
    loop, _ = fit(run_of(2), network().begin())
    arrays, record = save_loop_state(loop)
    arrays["finished0/0"] = arrays["finished0/0"][:1]
    with pytest.raises(descend.FileFormatError, match="finished0/0"):
        restore_loop_state(arrays, record, network().begin())


def test_no_network_is_begun_for_which_there_is_no_time() -> None:
    ticks = iter(range(10_000))
    limits = Limits(patience=100, epochs=4, lower_first=False, seconds=30.0)
    loop, reason = fit(run_of(50, limits), network().begin(), clock=lambda: 0.25 * next(ticks))
    assert reason is StopReason.TIME_BUDGET
    taken = loop.seconds / (len(loop.finished) + 1)
    assert 0 < len(loop.finished) < 49
    assert loop.seconds <= 30.0 < loop.seconds + taken
    assert len(loop.own_history) == 5


def test_a_network_that_was_cut_off_counts_only_if_it_is_as_good() -> None:
    loop, _ = fit(run_of(2), network().begin())
    assert loop.complete
    whole = loop._replace(progress=loop.progress._replace(best=1.5 * loop.finished[0].loss))
    assert np.shape(jax.tree.leaves(kept_weights(whole))[0])[0] == 2
    worse = whole._replace(complete=False)
    better = worse._replace(progress=loop.progress._replace(best=0.9 * loop.finished[0].loss))
    assert same_bits(kept_weights(worse), loop.finished[0].weights)
    assert np.shape(jax.tree.leaves(kept_weights(better))[0])[0] == 2
    last = jax.tree.leaves(kept_weights(worse, last=True))[0]
    np.testing.assert_array_equal(last[1], jax.tree.leaves(loop.state.mean)[0])


def test_a_network_that_would_make_the_mean_worse_is_left_out() -> None:
    loop, _ = fit(run_of(3), network().begin())
    loss = max(loop.finished[0].loss, loop.progress.best)
    worse = (loop.finished[0], loop.finished[1]._replace(loss=2.5 * loss))
    found = kept_weights(loop._replace(finished=worse))
    kept = np.stack(
        [loop.finished[0].weights["layers"][0]["bias"], loop.best.mean["layers"][0]["bias"]]
    )
    np.testing.assert_array_equal(found["layers"][0]["bias"], kept)
    assert len(losses_of_networks(loop._replace(finished=worse))) == 2


def test_without_early_stopping_the_last_weights_are_kept() -> None:
    config = run_of(2)
    assert config.networks is not None
    config = dataclasses.replace(
        config,
        networks=Networks(2, config.networks.first_state, keep_last=True),
        evaluate=iter_losses(),
    )
    loop, _ = fit(config, network().begin())
    alone, _ = fit(run_of(1), network().begin())
    assert same_bits(loop.finished[0].weights, alone.state.mean)


def iter_losses() -> Any:
    """An evaluation whose loss only rises: the first weights are the best."""
    count = iter(range(1_000))
    return lambda params: 1.0 + 0.01 * next(count)


OPTIONS: dict[str, Any] = {"epochs": 12, "hidden": (8,), "members": 2, "batch_size": 16}


def table(task: str) -> pd.DataFrame:
    random = np.random.default_rng(0)
    data = pd.DataFrame({"x": random.normal(size=300), "town": random.choice(["a", "b", "c"], 300)})
    noise = random.normal(size=300)
    if task == "regression":
        return data.assign(y=2.0 * data["x"] + (data["town"] == "a") + 0.5 * noise)
    return data.assign(y=np.where(data["x"] + noise > 0, "yes", "no"))


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.slow
def test_the_model_predicts_the_mean_of_its_networks(task: str, tmp_path: Any) -> None:
    data = table(task)
    made = descend.train(data, target="y", networks=3, **OPTIONS).model
    path = tmp_path / "model.safetensors"
    made.save(path)
    loaded = descend.load_model(path)
    each = [
        descend.Model(made.schema, made.settings.replace(networks=1), one)
        for one in unstack(made.params)
    ]
    assert len(each) == 3
    predict = "predict" if task == "regression" else "predict_proba"
    single = [getattr(one, predict)(data) for one in each]
    assert np.ptp(single, axis=0).max() > 1e-3
    np.testing.assert_allclose(getattr(made, predict)(data), np.mean(single, axis=0), 1e-5, 1e-6)
    np.testing.assert_array_equal(getattr(loaded, predict)(data), getattr(made, predict)(data))
    assert same_bits(stack(unstack(made.params)), made.params)


def test_a_prediction_does_not_depend_on_the_rows_beside_it() -> None:
    data = table("regression")
    made = descend.train(data, target="y", networks=2, **OPTIONS).model
    whole = made.predict(data)
    np.testing.assert_array_equal(whole[7:9], made.predict(data.iloc[7:9]))


@pytest.mark.slow
def test_intervals_take_the_members_of_all_networks() -> None:
    data = table("regression")
    made = descend.train(data, target="y", networks=2, **{**OPTIONS, "members": 1}).model
    bounds = made.predict_interval(data, 0.8)
    widths = bounds[:, 1] - bounds[:, 0]
    assert widths.max() > widths.min() > 0
    first = descend.Model(made.schema, made.settings, unstack(made.params)[0], made.calibration)
    narrow = np.diff(first.predict_interval(data, 0.8), axis=1)[:, 0]
    assert np.ptp(narrow) == pytest.approx(0.0, abs=1e-9)


def test_a_time_budget_of_no_second_network_leaves_a_plain_model() -> None:
    run = descend.train(table("regression"), target="y", networks=2, time_budget=1e-3, **OPTIONS)
    assert len(unstack(run.model.params)) == 1
    assert run.stop_reason is StopReason.TIME_BUDGET
