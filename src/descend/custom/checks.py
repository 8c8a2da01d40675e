"""Try a custom model and loss on a few rows: shapes, gradients, and independence of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from descend.custom.models import CustomModel
from descend.errors import DescendError, InputError
from descend.types import Array, Params, Variables, split_variables

RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""Numbers that differ by less, the second as a part of the largest among them, are equal."""
HEAD_DRAWS = 4
"""Random weights with which it is seen what range the outputs of a model have."""
COUPLED = (
    "Rows that depend on each other have no gradients of their own, and the batch size would "
    "change what is learned."
)


class Probe(NamedTuple):
    """What a model did with a few rows.

    Attributes:
        outputs: of these rows, as the model predicts.
        noisy: whether other keys give other outputs while it is trained.
        couples_rows: whether rows depend on each other while it is trained, as under batch
            normalization.
        renews: whether a call while it is trained changes its state.
        differs: whether it is another model while it is trained.
    """

    outputs: Any
    noisy: bool = False
    couples_rows: bool = False
    renews: bool = False
    differs: bool = False


def probe_model(model: CustomModel, x: Any, seed: int) -> Probe:
    """Try a model on a few rows.

    Args:
        model: its weights are shaken a little, so that layers that begin at zero show too.
        x: the rows, as the model gets them.
        seed: of the weights.

    Raises:
        InputError: the model fails, cannot be compiled, or a row's prediction depends on others.
    """
    params = shaken(model.init(seed), seed)
    count = len(jax.tree.leaves(x)[0])
    outputs = _try("The model", model.apply, params, x)
    for leaf in jax.tree.leaves(outputs):
        if np.shape(leaf)[:1] != (count,):
            raise InputError(
                f"Expected outputs for each of {count} rows, [B, ...]; found the shape "
                f"{np.shape(leaf)}."
            )
    _check_predictions(lambda rows: model.apply(params, rows), x, outputs)
    if model.training_apply is None:
        return Probe(outputs)
    weights, state = split_variables(params)
    training = model.training_apply

    def apply_training(rows: Any, key: int = 1) -> tuple[Any, Any]:
        return training(weights, state, rows, jax.random.key(key))

    first, after = _try("The model", apply_training, x)
    other, _ = apply_training(x, 2)
    couples = any(
        not same(jax.tree.map(lambda leaf, kept=kept: leaf[kept], apply_training(rows)[0]), part)
        for rows, kept in _replace_half(x)
        for part in [jax.tree.map(lambda leaf, kept=kept: leaf[kept], first)]
    )
    return Probe(
        outputs,
        noisy=not same(first, other),
        couples_rows=couples,
        renews=not _equal(after, state),
        differs=not same(first, outputs),
    )


def _check_predictions(predict: Callable[[Any], Any], x: Any, together: Any) -> None:
    """Raise InputError if a row's prediction depends on the rows beside it, or on chance."""
    count = len(jax.tree.leaves(x)[0])
    # What is drawn for a batch differs from place to place, but not from call to call.
    copies = predict(_take(x, np.zeros(count, int)))
    if not same(copies, _take(copies, np.zeros(count, int))):
        raise InputError(
            "The model draws random numbers when it predicts: copies of one row have different "
            "outputs. Draw them only while it is trained, and predict without (with the mean of a "
            "code, say): the call of a Flax module gets training=False if it has such an argument, "
            "an Equinox or Keras layer is told in its own way, and functions are "
            "apply(params, state, x, key, training) -> (outputs, state)."
        )
    for place in range(count):
        # A first time with words for an error, since a batch of one row may be what fails.
        first = functools.partial(_try, "The model", predict)
        alone = (predict if place else first)(_take(x, slice(place, place + 1)))
        if not same(alone, _take(together, slice(place, place + 1)), together):
            raise InputError(
                "The model couples the rows of a batch: alone, a row has other outputs than among "
                f"others. {COUPLED} Batch normalization may do so while it is trained, where the "
                "model tells training from prediction: give the framework's module, or "
                "apply(params, state, x, key, training) -> (outputs, state)."
            )
    for rows, kept in _replace_half(x):
        if not same(_take(predict(rows), kept), _take(together, kept), together):
            raise InputError(
                "The model couples the rows of a batch: a row has other outputs when other rows "
                f"change. {COUPLED}"
            )


def check_loss(per_example: Callable[[Any, Any], Any], outputs: Any, y: Any) -> None:
    """Raise InputError unless the loss is one number per row that depends on that row alone.

    Args:
        per_example: `(outputs, y) -> [B]`.
        outputs: of a few rows.
        y: their targets.
    """
    count = len(jax.tree.leaves(y)[0])
    losses = _try("The loss", per_example, outputs, y)
    if np.shape(losses) != (count,):
        raise InputError(
            f"Expected a loss for each of {count} rows, loss(outputs, y) -> [B]; found the shape "
            f"{np.shape(losses)}. Take the mean or the sum over everything but the rows."
        )
    text = (
        "The loss couples the rows of a batch: {}. " + COUPLED + " Use nothing of other rows: no "
        "mean, variance or softmax over the batch (axis 0), and outputs and y of one shape, since "
        f"[B, 1] and [B] give [B, B]. Here outputs are {_shapes(outputs)} and y {_shapes(y)}."
    )
    both = (outputs, y)
    for place in range(count):
        first = functools.partial(_try, "The loss", per_example)
        alone = (per_example if place else first)(*_take(both, slice(place, place + 1)))
        if not same(alone, losses[place : place + 1], losses):
            raise InputError(text.format("alone, a row has another loss than among others"))
    for rows, kept in _replace_half(both):
        if not same(per_example(*rows)[kept], losses[kept], losses):
            raise InputError(text.format("a row has another loss when other rows change"))
    if _other_rows_count(per_example, outputs, y):
        raise InputError(text.format("the gradient of a row's loss holds other rows"))


def _other_rows_count(per_example: Callable[[Any, Any], Any], outputs: Any, y: Any) -> bool:
    """Whether the losses of one half of the rows have derivatives by outputs of the other half.

    They are exactly zero where rows are independent, so a coupling shows here that is too small
    at these outputs to show in the losses, and grows while the model is trained.
    """
    count = len(jax.tree.leaves(outputs)[0])
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(outputs)):
        return False
    for kept, others in ((slice(0, count // 2), slice(count // 2, count)),
                         (slice(count // 2, count), slice(0, count // 2))):  # fmt: skip

        def loss_of_kept(outputs: Any, kept: slice = kept) -> Any:
            return jnp.sum(per_example(outputs, y)[kept])

        gradient = _try("The gradient of the loss", jax.grad(loss_of_kept), outputs)
        for leaf in jax.tree.leaves(_take(gradient, others)):
            # At a kink, zero times infinity is no number, and says nothing.
            if np.any(np.nan_to_num(np.asarray(leaf, np.float64), posinf=0.0, neginf=0.0)):
                return True
    return False


def output_range(model: CustomModel, x: Any, seed: int) -> list[NDArray[Any]]:
    """Outputs for a few rows at random weights of size 1; they show the last layer's range."""
    params = model.init(seed)
    drawn = [shaken(params, seed + number, size=1.0) for number in range(HEAD_DRAWS)]
    return [np.asarray(model.apply(one, x), np.float64) for one in drawn]


def shaken(params: Params, seed: int, size: float = 0.05) -> Params:
    """The weights with noise added; the state unchanged."""
    random = np.random.default_rng(seed)

    def one(leaf: Any) -> Any:
        values = np.asarray(leaf)
        if not jnp.issubdtype(values.dtype, jnp.floating):
            return leaf
        noise = (size * random.standard_normal(values.shape)).astype(values.dtype)
        # An array of NumPy could not be indexed by token ids while a program is compiled.
        return jnp.asarray(values + noise)

    weights, state = split_variables(params)
    noisy = jax.tree.map(one, weights)
    return Variables(noisy, state) if isinstance(params, Variables) else noisy


def same(found: Any, expected: Any, scale: Any = None) -> bool:
    """Whether two trees hold the same numbers, up to rounding.

    Args:
        found: a tree.
        expected: another.
        scale: a tree whose largest numbers say what is small; None: `expected`.
    """
    sizes = expected if scale is None else scale
    for one, other, size in zip(*map(jax.tree.leaves, (found, expected, sizes)), strict=True):
        left, right = np.asarray(one, np.float64), np.asarray(other, np.float64)
        finite = np.abs(np.asarray(size, np.float64))
        largest = float(finite[np.isfinite(finite)].max(initial=0.0))
        if left.shape != right.shape:
            return False
        if not np.allclose(left, right, RELATIVE, ABSOLUTE * largest, equal_nan=True):
            return False
    return True


def _equal(found: Any, expected: Any) -> bool:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.array_equal(np.asarray(one), np.asarray(other)) for one, other in pairs)


def _replace_half(tree: Any) -> list[tuple[Any, slice]]:
    """The rows with one half overwritten by copies of the other, and where the rest is."""
    count = len(jax.tree.leaves(tree)[0])
    half = count // 2
    if half == 0:
        return []
    places = np.arange(count)
    first, last = places.copy(), places.copy()
    first[half:] = np.resize(places[:half], count - half)
    last[:half] = np.resize(places[half:], half)
    return [(_take(tree, first), slice(0, half)), (_take(tree, last), slice(half, count))]


def _take(tree: Any, rows: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _try(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call and compile a user's function; its errors become one sentence."""
    try:
        jax.eval_shape(function, *arguments)
        return function(*arguments)
    except DescendError:
        raise
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.TracerIntegerConversionError,
    ) as error:
        raise InputError(
            f"{what} decides in Python (if, while, int(), float(), np.…) on values that are known "
            "only when the compiled program runs. Use jax.numpy, and jnp.where or jax.lax.cond in "
            f"place of if. JAX says: {_first_line(error)}"
        ) from error
    except Exception as error:
        shapes = "; ".join(_shapes(one) for one in arguments if not isinstance(one, int))
        raise InputError(
            f"{what} fails on a few rows ({shapes[-300:]}): {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error


def check_differentiable(
    what: str,
    per_example: Callable[[Any, Any], Array],
    call: Callable[[Any], Any],
    weights: Any,
    y: Any,
) -> None:
    """Raise InputError if the mean loss has no gradient with respect to the weights."""
    _try(what, jax.grad(lambda params: jnp.mean(per_example(call(params), y))), weights)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "")[:300]


def _shapes(tree: Any) -> str:
    found = [f"{np.shape(leaf)}" for leaf in jax.tree.leaves(tree)]
    return ", ".join(found[:6]) + (" ..." if len(found) > 6 else "")
