from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from descend.data.schema.columns import RegressionTarget
from descend.settings import Settings
from descend.training.evaluation import EvaluateRows
from descend.training.forward import LEAST_ROWS, program_of
from descend.training.loop import fit
from descend.training.loop_state import LoopState, begin
from descend.training.losses import LOSSES
from descend.training.network.bins import BEYOND, find_bins
from descend.training.network.models import Inputs, Network
from descend.training.network.tabular import (
    FIXED,
    SCALE_RATE,
    SPANS,
    before_spans,
    each_member,
    find_places,
    first_layer_inputs,
    for_tabular,
    in_pieces,
    input_factors,
    tabular,
)
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.state import state_at
from descend.training.stopping_state import Limits
from descend.types import Array
from tests.problems import Recorder, same_loop, store_of

SIZES = (3, 5)
MEAN = LOSSES["squared_error"].pool


def rows(count: int = 400, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    numeric = np.stack(
        [
            random.standard_cauchy(count),
            random.integers(0, 24, count),
            random.integers(0, 2, count),
        ],
        axis=1,
    )
    return {
        "numeric": numeric.astype(np.float32),
        "category": random.integers(SIZES, size=(count, 2)).astype(np.int32),
    }


NUMBERS = RegressionTarget(("y",), (0.0,), (1.0,), (0.0,), (1.0,))


def network(members: int = 3, loss: str = "squared_error", outputs: int = 1) -> Network:
    bins = find_bins(rows()["numeric"])
    kind = Inputs(3, SIZES)
    return tabular(kind, [0.5] * outputs, (8, 6), "relu", members, LOSSES[loss].pool, bins)


def problem(**changes: object) -> Problem:
    """Codes that say nothing by their size."""
    x = rows(600)
    means = np.random.default_rng(5).normal(size=24)
    y = means[x["numeric"][:, 1].astype(int)] + 0.1 * x["category"][:, 1]
    store = store_of(x["numeric"], y[:, None], category=x["category"])
    made = network()
    assert made.members is not None
    per_example = LOSSES["squared_error"].per_example
    return dataclasses.replace(
        Problem(
            store=store,
            validation=store,
            init=made.init,
            apply=made.apply,
            per_example=per_example,
            optimizer=for_tabular(make_optimizer(Settings("y", optimizer="adamw")), SCALE_RATE),
            averaging=True,
            members=(made.members, each_member(per_example)),
        ),
        **changes,
    )


def test_a_row_is_embedded_as_the_formulas_say() -> None:
    made, x = network(), rows(50, seed=9)
    params = made.init(0)
    fixed, inputs = params[FIXED], Inputs(3, SIZES)
    found = np.asarray(jax.jit(lambda p, x: first_layer_inputs(p, x, inputs))(params, x)).T
    kernel, bias = params["bins"]["kernel"], params["bins"]["bias"].reshape(2, -1)
    low, rate = (fixed[name].reshape(2, -1) for name in ("low", "rate"))
    middles = fixed["middles"]
    for row in range(50):
        numbers = x["numeric"][row]
        expected: list[float] = []
        for place in range(3):
            apart = float(numbers[place] - fixed["centre"][place])
            span = float(fixed["below" if apart < 0 else "above"][place])
            if abs(apart) > span:
                apart = np.sign(apart) * span * (2 - span / abs(apart))
            reach = float(fixed["reach"][place])
            if abs(apart) > reach:
                apart = np.sign(apart) * reach * (1 + np.log(abs(apart) / reach))
            expected.append(apart * float(fixed["scale"][place]))
        for place in range(2):
            part = np.clip((numbers[place] - low[place]) * rate[place], 0, 1)
            expected += list(np.maximum(part @ kernel[place] + bias[place], 0))
        expected += list(params["codes"][np.sum(numbers[1] > middles)])
        for place, first in enumerate((0, SIZES[0])):
            expected += list(params["table"][first + x["category"][row, place]])
        np.testing.assert_allclose(found[row], expected, rtol=2e-4, atol=1e-5)


def test_the_members_differ_and_together_give_their_mean() -> None:
    made, x = network(4), rows(20)
    assert made.members is not None
    params = made.init(1)
    each = np.asarray(jax.jit(made.members)(params, x))
    assert each.shape == (20, 4, 1)
    assert np.std(each, axis=1).min() > 0
    np.testing.assert_allclose(jax.jit(made.apply)(params, x), each.mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("members", [1, 3])
def test_each_member_multiplies_its_inputs_by_sign_and_scale(members: int) -> None:
    made, x, inputs = network(members), rows(20), Inputs(3, SIZES)
    assert made.members is not None
    params = dict(made.init(1))
    random = np.random.default_rng(6)
    params["scales"] = random.normal(size=params["scales"].shape).astype(np.float32)
    read = np.asarray(first_layer_inputs(params, x, inputs)).T
    signs = params.get("signs", np.ones(read.shape[1])).reshape(members, -1)
    expected = []
    for member in range(members):
        values = read * signs[member] * (1 + params["scales"])
        for layer in params["layers"]:
            values = np.maximum(values @ layer["kernel"] + layer["bias"], 0)
        heads = params["heads"]
        expected.append(
            values @ heads["kernel"][member] + heads["bias"].reshape(members, -1)[member]
        )
    each = np.asarray(made.members(params, x))
    np.testing.assert_allclose(each, np.stack(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_inputs_that_tell_something_come_to_count_more_than_noise() -> None:
    random = np.random.default_rng(8)
    x = random.normal(size=(2_000, 20)).astype(np.float32)
    y = np.sin(2 * x[:, :1]) + x[:, 1:2]
    made = tabular(Inputs(20, ()), [0.0], (16, 16), "relu", 1, MEAN, find_bins(x))
    store = store_of(x, y)
    asked = problem(store=store, validation=store, init=made.init, apply=made.apply, members=None)
    loop, _ = fit(asked.loop_config(64, 0.01, limits=Limits(epochs=10)), asked.begin())
    factors = np.abs(np.asarray(input_factors(loop.best.mean))[0])
    embedded = factors[20:].reshape(20, -1).max(axis=1)
    columns = np.maximum(factors[:20], embedded)
    assert columns[:2].min() > 1.5 * np.median(columns[2:])


@pytest.mark.parametrize(
    ("loss", "outputs"), [("poisson", 2), ("cross_entropy", 1), ("cross_entropy", 3)]
)
def test_the_pooled_prediction_is_the_mean_of_the_predictions(loss: str, outputs: int) -> None:
    outs = np.random.default_rng(0).normal(size=(7, 5, outputs)).astype(np.float32)
    link = LOSSES[loss].link
    mean = np.mean([np.asarray(link(outs[:, place])) for place in range(5)], axis=0)
    np.testing.assert_allclose(link(LOSSES[loss].pool(outs)), mean, rtol=1e-5)


def test_a_single_network_begins_at_the_trivial_prediction() -> None:
    made = network(members=1)
    np.testing.assert_allclose(jax.jit(made.apply)(made.init(0), rows(9)), 0.5)


def test_the_loss_of_the_members_is_the_mean_of_theirs() -> None:
    outputs = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    per_example = LOSSES["squared_error"].per_example
    expected = np.mean([per_example(outputs[:, place], y) for place in range(3)], axis=0)
    np.testing.assert_allclose(each_member(per_example)(outputs, y), expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        "adamw",
        pytest.param("momentum", marks=pytest.mark.slow),
        pytest.param("dog", marks=pytest.mark.slow),
    ],
)
def test_what_is_fixed_stays_to_the_bit(optimizer: str) -> None:
    rule = make_optimizer(Settings("y", optimizer=optimizer, weight_decay=0.1))
    made = problem(optimizer=for_tabular(rule))
    before = made.begin()
    config = made.loop_config(32, 1e-3, limits=Limits(epochs=1))
    fixed = jax.tree.map(np.array, before.state.params[FIXED])
    loop, _ = fit(config, before)
    for name, values in fixed.items():
        assert np.array_equal(loop.state.params[FIXED][name], values)


@pytest.mark.parametrize("scale_rate", [1.0, 6.0])
def test_scales_move_by_their_own_multiple_of_the_rate_and_all_else_by_the_rate(
    scale_rate: float,
) -> None:
    params = network().init(0)
    gradient = {name: jax.tree.map(np.ones_like, part) for name, part in params.items()}
    rule = make_optimizer(Settings("y", optimizer="adam"))
    expected, _ = rule.update(gradient, rule.init(params), params)
    own = for_tabular(rule, scale_rate)
    found, _ = own.update(gradient, own.init(params), params)
    np.testing.assert_allclose(found["scales"], scale_rate * expected["scales"], rtol=1e-6)
    np.testing.assert_allclose(found["signs"], expected["signs"], rtol=1e-6)
    assert found[FIXED] is None


@pytest.mark.slow
def test_it_learns_codes_that_a_magnitude_says_nothing_of() -> None:
    made = problem()
    config = made.loop_config(32, 3e-3, schedule="one-cycle", limits=Limits(epochs=30))
    loop, _ = fit(config, made.begin())
    assert loop.progress.best < 0.05 * loop.history[0].validation_loss


def test_a_run_that_was_stopped_goes_on_to_the_same_bits() -> None:
    made = problem()
    config = made.loop_config(32, 3e-3, schedule="one-cycle", limits=Limits(epochs=3))
    whole, _ = fit(config, made.begin())
    stopped, _ = fit(config, made.begin(), Recorder(stop_after=1))
    resumed, _ = fit(config, stopped)
    assert same_loop(whole, resumed)


@pytest.mark.slow
@pytest.mark.parametrize(("members", "rows_held"), [(1, 100), (3, 600)])
def test_the_program_that_predicts_evaluates_too(members: int, rows_held: int) -> None:
    made, settings = network(members), Settings("y", members=members, loss="squared_error")
    program = program_of(made, settings, NUMBERS, several=members > 1)
    x = rows(rows_held, seed=4)
    weight = np.random.default_rng(6).integers(0, 3, rows_held)
    store = store_of(x["numeric"], x["numeric"][:, 1:2], weight, category=x["category"])
    params = jax.device_put(made.init(3))
    per_example = LOSSES["squared_error"].per_example
    expected = EvaluateRows(made.apply, per_example, store)(params)
    compiled = program._cache_size()
    found = EvaluateRows(made.apply, per_example, store, forward=program)(params)
    assert found == pytest.approx(expected, rel=1e-5)
    piece = {name: np.repeat(values[:1], LEAST_ROWS, axis=0) for name, values in x.items()}
    y = np.zeros((LEAST_ROWS, 1), np.float32)
    outputs = program(params, piece, y, np.zeros(LEAST_ROWS, np.float32))[1]
    assert np.allclose(outputs, made.apply(params, piece), atol=1e-5)
    assert program._cache_size() == compiled + 1


def test_a_wild_value_leaves_no_wild_prediction() -> None:
    made = problem()
    config = made.loop_config(32, 3e-3, schedule="one-cycle", limits=Limits(epochs=3))
    loop, _ = fit(config, made.begin())
    x = rows(2)
    x["numeric"][1, 0] = 1e6
    usual, wild = np.asarray(jax.jit(made.apply)(loop.best.mean, x))[:, 0]
    assert abs(wild - usual) < 100


def test_a_number_outside_of_the_training_rows_counts_at_most_twice_as_far_as_they_go() -> None:
    made, usual = network(), rows(1)
    parts = jax.jit(lambda p, x: first_layer_inputs(p, x, Inputs(3, SIZES)))
    params = made.init(0)
    x = {name: np.repeat(values, 5, axis=0) for name, values in usual.items()}
    sample = rows()["numeric"][:, 1]
    centre, most = np.median(sample), sample.max()
    x["numeric"][:, 1] = [centre, most, 3 * most, 1e6, 1e30]
    found = np.asarray(parts(params, x))[1]
    steps = (found[1:] - found[0]) / (found[1] - found[0])
    assert steps[0] == 1.0 < steps[1] < steps[2] <= steps[3] == pytest.approx(2.0)


@pytest.mark.slow
def test_a_checkpoint_of_before_those_bounds_goes_on_without_them() -> None:
    made = problem()
    config = made.loop_config(32, 3e-3, limits=Limits(epochs=2))
    begun = made.begin()
    older = before_spans(begun.state.params)
    first = begin(state_at(older, made.optimizer))
    whole, _ = fit(config, first)
    stopped, _ = fit(config, begin(state_at(older, made.optimizer)), Recorder(stop_after=1))
    again: LoopState = restore_loop_state(*save_loop_state(stopped), like=begun)
    assert set(older[FIXED]) == set(begun.state.params[FIXED]) - set(SPANS)
    resumed, _ = fit(config, again)
    assert same_loop(whole, resumed)


@pytest.mark.slow
def test_the_gradient_of_what_is_fixed_is_zero() -> None:
    made, x = network(), rows(30)
    assert made.members is not None
    members = made.members
    slope = jax.jit(jax.grad(lambda params: jnp.sum(members(params, x))))(made.init(0))
    assert all(not np.any(values) for values in slope[FIXED].values())
    assert jax.jit(optax.global_norm)(slope) > 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_rows_in_pieces_give_what_they_give_at_once(count: int) -> None:
    made, x = network(2), rows(count)
    assert made.members is not None
    params, members = made.init(2), made.members
    pieces = in_pieces(lambda piece: members(params, piece), x, rows=8)
    np.testing.assert_allclose(pieces, members(params, x), rtol=1e-5, atol=1e-6)


def test_the_place_of_a_code_is_the_number_of_middles_below() -> None:
    random = np.random.default_rng(3)
    middles = np.sort(random.normal(size=(5, 16)), axis=1).astype(np.float32)
    middles[:, -1] = BEYOND
    middles[0, 3:] = BEYOND
    values = random.normal(size=(200, 5)).astype(np.float32)
    values[:16, 1] = middles[1]  # a value on a middle belongs to the code below it
    expected = np.sum(values[:, :, None] > middles, axis=2) + 16 * np.arange(5)
    np.testing.assert_array_equal(find_places(values, middles), expected)
