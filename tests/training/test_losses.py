import jax
import numpy as np
import pytest

from descend.training import losses
from descend.training.losses import LOSSES, quantile_loss, resolve_loss


def test_losses_of_regression_equal_their_formulas() -> None:
    outputs = np.array([[0.0, 2.0], [1.0, -3.0]], np.float32)
    y = np.array([[0.5, 0.0], [1.0, 1.0]], np.float32)
    np.testing.assert_allclose(
        losses.squared_error(outputs, y), [0.5 * (0.25 + 4), 0.5 * 16], rtol=1e-6
    )
    np.testing.assert_allclose(losses.absolute_error(outputs, y), [2.5, 4.0], rtol=1e-6)
    np.testing.assert_allclose(losses.huber(outputs, y), [0.125 + 1.5, 3.5], rtol=1e-6)
    np.testing.assert_allclose(
        losses.poisson(outputs, y),
        [1 - 0 + np.exp(2), np.e - 1 + np.exp(-3) + 3],
        rtol=1e-6,
    )


def test_cross_entropy_is_minus_the_log_of_the_probability() -> None:
    outputs = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], np.float32)) + 4.0
    found = jax.jit(losses.cross_entropy)(outputs, np.array([1, 0]))
    np.testing.assert_allclose(found, -np.log([0.5, 0.1]), rtol=1e-5)


def test_one_output_for_two_classes_is_the_log_odds_of_the_second() -> None:
    logits = np.linspace(-30, 30, 13, dtype=np.float32)[:, None]
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    loss, link = map(jax.jit, LOSSES["cross_entropy"][:2])
    for label in (0, 1):
        y = np.full(13, label, np.int32)
        np.testing.assert_allclose(loss(logits, y), loss(both, y), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(link(logits), link(both), atol=1e-6)


def test_probabilities_of_extreme_outputs_are_finite_and_add_up() -> None:
    for outputs in ([[-1e4], [1e4]], [[1e4, 0, -1e4], [3e38, 3e38, 0]]):
        found = np.asarray(jax.jit(LOSSES["cross_entropy"].link)(np.asarray(outputs, np.float32)))
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(axis=-1), 1.0, rtol=1e-6)


def test_poisson_predicts_rates() -> None:
    np.testing.assert_allclose(LOSSES["poisson"].link(np.log([[2.0]], dtype=np.float32)), [[2.0]])


def test_the_pinball_loss_is_that_of_each_quantile_and_target() -> None:
    outputs = np.array([[1.0, 2.0, 3.0, 10.0, 11.0, 12.0]], np.float32)
    y = np.array([[2.5, 9.0]], np.float32)
    loss = quantile_loss((0.1, 0.5, 0.9))
    first = 0.1 * 1.5 + 0.5 * 0.5 + 0.1 * 0.5
    second = 0.9 * 1.0 + 0.5 * 2.0 + 0.1 * 3.0
    np.testing.assert_allclose(loss.per_example(outputs, y), [first + second], rtol=1e-6)


def test_quantiles_of_a_row_are_put_in_order() -> None:
    outputs = np.array([[3.0, 1.0, 2.0, -1.0]], np.float32)
    np.testing.assert_array_equal(quantile_loss((0.2, 0.8)).link(outputs), [[1.0, 3.0, -1.0, 2.0]])


def test_a_constant_with_the_least_pinball_loss_is_the_quantile() -> None:
    y = np.arange(1.0, 101.0, dtype=np.float32)[:, None]
    per_example = quantile_loss((0.2,)).per_example
    totals = [float(per_example(np.full((100, 1), one), y).sum()) for one in range(1, 101)]
    assert 1 + int(np.argmin(totals)) in (20, 21)


def test_the_hinge_loss_counts_margins_of_less_than_one() -> None:
    two = np.array([[0.3], [-2.0], [0.3]], np.float32)
    np.testing.assert_allclose(losses.hinge(two, np.array([1, 0, 0])), [0.7, 0.0, 1.3], rtol=1e-6)
    three = np.array([[2.0, -0.5, -3.0]], np.float32)
    np.testing.assert_allclose(losses.hinge(three, np.array([0])), [0.5], rtol=1e-6)
    np.testing.assert_allclose(losses.hinge(three, np.array([1])), [3.0 + 1.5], rtol=1e-6)


def test_the_scores_of_two_classes_are_opposites() -> None:
    np.testing.assert_array_equal(LOSSES["hinge"].link(np.array([[0.5]])), [[-0.5, 0.5]])


def test_each_answer_of_a_yes_or_no_target_counts_by_itself() -> None:
    outputs, y = np.array([[0.0, 2.0]], np.float32), np.array([[1.0, 0.25]], np.float32)
    yes = 1 / (1 + np.exp(-2.0))
    wanted = np.log(2.0) - 0.25 * np.log(yes) - 0.75 * np.log(1 - yes)
    found = losses.binary_cross_entropy(outputs, y)
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)


def test_members_answer_by_their_mean_probability() -> None:
    outputs = np.array([[[0.0, 3.0], [2.0, -1.0]]], np.float32)
    loss = LOSSES["binary_cross_entropy"]
    np.testing.assert_allclose(
        loss.link(loss.pool(outputs)), loss.link(outputs).mean(axis=1), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("loss", "task", "resolved"),
    [
        ("auto", "regression", "squared_error"),
        ("auto", "classification", "cross_entropy"),
        ("huber", "regression", "huber"),
    ],
)
def test_auto_stands_for_the_usual_loss_of_the_task(loss: str, task: str, resolved: str) -> None:
    assert resolve_loss(loss, task) == resolved
