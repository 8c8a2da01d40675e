"""Try a custom model and loss on a few rows: shapes, gradients, and independence of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from descend.custom.models import CustomModel
from descend.errors import DescendError, InputError
from descend.training.jax_setup import jit_program
from descend.types import Array, Params, Variables, split_variables

RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""Numbers that differ by less, the second as a part of the largest among them, are equal."""
HEAD_DRAWS = 4
"""Random weights with which it is seen what range the outputs of a model have."""
ROUNDING = 1e-6
"""Derivatives by other rows below this part of those by the row itself are taken for rounding: a
model may subtract what cancels, such as the largest number of a batch."""
UNCOUPLED = 2e-6
"""Outputs that differ by less than this part of the largest, when the whole numbers of other rows
change, differ by rounding."""
LOSS_GRADIENT = "The gradient of the loss"
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
    x = jax.device_get(x)  # Rows are taken by NumPy: JAX would compile a program for each shape.
    apply = functools.partial(model.apply, params)
    outputs = jax.device_get(_try("The model", apply, x))
    for leaf in jax.tree.leaves(outputs):
        if np.shape(leaf)[:1] != (count,):
            raise InputError(
                f"Expected outputs for each of {count} rows, [B, ...]; found the shape "
                f"{np.shape(leaf)}."
            )
    _check_predictions(apply, x, outputs)
    _check_rows_apart(model, x, seed)
    if model.training_apply is None:
        return Probe(outputs)
    weights, state = split_variables(params)
    training = model.training_apply

    def apply_training(rows: Any, key: int = 1) -> tuple[Any, Any]:
        return training(weights, state, _to_device(rows), jax.random.key(key))

    first, after = _try("The model", apply_training, x)
    first = jax.device_get(first)
    other, _ = apply_training(x, 2)
    couples = any(
        not same(_take(jax.device_get(apply_training(rows)[0]), kept), _take(first, kept))
        for rows, kept in _replace_half(x)
    )
    return Probe(
        outputs,
        noisy=not same(first, other),
        couples_rows=couples,
        renews=not _equal(after, state),
        differs=not same(first, outputs),
    )


def check_rows_alone(model: CustomModel, x: Any, seed: int) -> None:
    """Refuse batches of one row under a normalization that makes all such batches equal.

    Args:
        model: that takes the rows of a batch together while it is trained.
        x: a few rows, as the model gets them.
        seed: of the weights.
    """
    training = model.training_apply
    assert training is not None
    weights, state = split_variables(shaken(model.init(seed), seed))
    rows = [_take(x, slice(place, place + 1)) for place in range(len(jax.tree.leaves(x)[0]))]
    if all(same(row, rows[0]) for row in rows):
        return  # Rows that are alike have the same outputs without any normalization.
    alone = [
        jax.device_get(training(weights, state, _to_device(row), jax.random.key(1))[0])
        for row in rows
    ]
    if all(same(one, alone[0]) for one in alone):
        raise InputError(
            "batch_size=1 under batch normalization: a row that is normalized by itself is the "
            "same whatever it holds, so nothing would be learned. Type batch_size=2 at the least, "
            "better 8."
        )


def _check_predictions(apply: Callable[[Any], Any], x: Any, together: Any) -> None:
    """Raise InputError if a row's prediction depends on the rows beside it, or on chance."""

    def predict(rows: Any) -> Any:
        return jax.device_get(apply(_to_device(rows)))

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
        row = _take(x, slice(place, place + 1))
        alone = predict(row) if place else jax.device_get(_try("The model", apply, row))
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


def _check_rows_apart(model: CustomModel, x: Any, seed: int) -> None:
    """Raise InputError if a prediction has derivatives by the inputs of other rows.

    Args:
        model: looked at with small and with large random weights.
        x: a few rows, as the model gets them.
        seed: of the weights.
    """
    begun = model.init(seed)
    for size in (0.05, 1.0):
        params = shaken(begun, seed, size)
        if _whole_numbers_couple(functools.partial(model.apply, params), x):
            raise InputError(
                "The model couples the rows of a batch: a row has slightly other outputs when the "
                f"whole numbers of other rows change. {COUPLED}"
            )
        try:
            reached = _other_rows_count(
                functools.partial(model.apply, params), x, "The model", ROUNDING
            )
        except InputError:
            return  # It predicts by a way that has no derivatives by the inputs.
        if reached:
            raise InputError(
                "The model couples the rows of a batch: the derivatives of a row's outputs by the "
                f"inputs of other rows are not zero. {COUPLED}"
            )


def _whole_numbers_couple(of_rows: Callable[[Any], Any], given: Any) -> bool:
    """Whether the outputs of a row change with the whole numbers of other rows, if only a little.

    There are no derivatives by whole numbers. The same program computes both outputs from rows in
    the same places, so that they agree to a few units of rounding where rows are independent.

    Args:
        of_rows: `rows -> outputs`.
        given: a few rows; without arrays of whole numbers nothing is looked at.
    """
    leaves, structure = jax.tree.flatten(given)
    fixed = [not jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]
    if not any(fixed):
        return False
    together = jax.device_get(_try("The model", of_rows, _to_device(given)))
    for rows, kept in _replace_half(given):
        pairs = zip(leaves, jax.tree.leaves(rows), fixed, strict=True)
        mixed = jax.tree.unflatten(structure, [new if whole else old for old, new, whole in pairs])
        found = _take(jax.device_get(of_rows(_to_device(mixed))), kept)
        for one, other in zip(*map(jax.tree.leaves, (found, _take(together, kept))), strict=True):
            apart = np.asarray(one, np.float64) - np.asarray(other, np.float64)
            if _largest(apart) > UNCOUPLED * _largest(other):
                return True
    return False


def check_loss(per_example: Callable[[Any, Any], Any], outputs: Any, y: Any) -> None:
    """Raise InputError unless the loss is one number per row that depends on that row alone.

    Args:
        per_example: `(outputs, y) -> [B]`.
        outputs: of a few rows.
        y: their targets.
    """
    outputs, y = jax.device_get((outputs, y))
    count = len(jax.tree.leaves(y)[0])
    # What is called may be an object without a hash, which cannot be compiled itself.
    compiled = jit_program(lambda outputs, y: per_example(outputs, y))  # noqa: PLW0108
    losses = jax.device_get(_try("The loss", compiled, outputs, y))
    if isinstance(losses, list | tuple | Mapping):
        raise InputError(
            f"Expected the losses as one array, loss(outputs, y) -> [B]; found a "
            f"{type(losses).__name__}. jnp.stack makes an array of a list."
        )
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
        row = _take(both, slice(place, place + 1))
        alone = jax.device_get(compiled(*row) if place else _try("The loss", compiled, *row))
        if not same(alone, losses[place : place + 1], losses):
            raise InputError(text.format("alone, a row has another loss than among others"))
    for rows, kept in _replace_half(both):
        if not same(jax.device_get(compiled(*rows))[kept], losses[kept], losses):
            raise InputError(text.format("a row has another loss when other rows change"))
    if _other_rows_count(
        lambda outputs: per_example(outputs, y), outputs, LOSS_GRADIENT, whole=jit_program
    ):
        raise InputError(text.format("the gradient of a row's loss holds other rows"))


def _other_rows_count(
    of_rows: Callable[[Any], Any],
    given: Any,
    what: str,
    least: float = 0.0,
    *,
    whole: Callable[[Any], Any] = lambda function: function,
) -> bool:
    """Whether what is computed for one half of the rows has derivatives by the other half.

    They are zero where rows are independent, so a coupling shows here that is too small at these
    numbers to show in the values, and grows while the model is trained.

    Args:
        of_rows: `rows -> numbers for each row`.
        given: a few rows; those of its arrays that hold floats are looked at.
        what: for messages.
        least: derivatives below this part of those by the half itself are rounding.
        whole: compiles what is small; the operations of a large model are compiled one by one,
            which does not take longer for more layers.
    """
    leaves, structure = jax.tree.flatten(given)
    moving = [bool(jnp.issubdtype(jnp.result_type(leaf), jnp.floating)) for leaf in leaves]
    if not any(moving):
        return False
    count = len(leaves[0])
    random = np.random.default_rng(0)

    def float_outputs(floats: list[Any]) -> list[Array]:
        own = iter(floats)
        joined = [next(own) if moves else leaf for leaf, moves in zip(leaves, moving, strict=True)]
        found = jax.tree.leaves(of_rows(jax.tree.unflatten(structure, joined)))
        return [one for one in found if jnp.issubdtype(one.dtype, jnp.floating)]

    floats = [leaf for leaf, moves in zip(leaves, moving, strict=True) if moves]
    gradient_of = whole(lambda floats, weights: jax.vjp(float_outputs, floats)[1](weights))
    found = jax.eval_shape(float_outputs, floats)
    half = count // 2
    for kept, others in (
        (slice(0, half), slice(half, count)),
        (slice(half, count), slice(0, half)),
    ):
        # Other weights for each number: those of a softmax would cancel in a plain sum.
        weights = [np.zeros(np.shape(one)) for one in found]
        for weight in weights:
            weight[kept] = 1.0 + random.random(weight[kept].shape)
        typed = [jnp.asarray(each, one.dtype) for each, one in zip(weights, found, strict=True)]
        gradient = jax.device_get(_try(what, gradient_of, floats, typed))
        if _largest(_take(gradient, others)) > least * _largest(_take(gradient, kept)):
            return True
    return False


def _largest(tree: Any) -> float:
    """The largest size of the numbers in a tree; those that are not finite do not count."""
    # At a kink, zero times infinity is no number, and says nothing.
    sizes = [np.abs(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(tree)]
    return max(float(one[np.isfinite(one)].max(initial=0.0)) for one in sizes)


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


def _to_device(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)


def _take(tree: Any, rows: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _try(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call and compile a user's function; its errors become one sentence."""
    arguments = _to_device(arguments)
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
