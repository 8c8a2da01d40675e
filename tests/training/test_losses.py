import jax
import numpy as np
import pytest

from descend.training import losses
from descend.training.losses import LOSSES, resolve_loss


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
