"""The loss of a custom model: by name with its link, checked against outputs and targets."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.custom.arrays import TargetFacts
from descend.defaults import QUANTILES
from descend.errors import DataError, InputError, SettingsError
from descend.peer_names import LOSS_NAMES, plain_name
from descend.runtime.argument_order import outputs_first
from descend.training.losses import LOSSES, Loss, make_loss
from descend.types import Array

PerExample = Callable[[Any, Any], Array]
BINARY = "binary_cross_entropy"
NAMES = ("auto", *LOSSES, "quantile")
OWN = "own"
"""What a user's function is called among the losses of several outputs."""
EPSILON = 1e-7
"""Probabilities that a model itself makes are kept this far from 0 and 1."""


class Part(NamedTuple):
    """One output and its target, for choosing their loss.

    Attributes:
        outputs: of a few rows.
        y: their targets.
        facts: of all targets.
        same_as_input: whether the target is the input itself.
        range_of: outputs at random weights, or None where that was not asked for.
        head: what the framework says the last layer ends with.
    """

    outputs: Any
    y: Any
    facts: TargetFacts
    same_as_input: bool = False
    range_of: Callable[[], list[Any]] | None = None
    head: str | None = None


def known_name(loss: Any) -> str:
    """The name used here for a loss; common aliases such as `mse` are known.

    >>> known_name("mse"), known_name("CrossEntropyLoss")
    ('squared_error', 'cross_entropy')

    Raises:
        SettingsError: no such loss; the nearest is offered.
    """
    module = type(loss).__module__.split(".")[0]
    if module in ("keras", "torch") and not isinstance(loss, str):
        found = LOSS_NAMES.get(plain_name(type(loss).__name__))
        give = f"loss={found!r}" if found else "a function loss(outputs, y) -> [B]"
        raise SettingsError(
            f"{type(loss).__name__} of {module} is a mean over the batch; give {give} instead."
        )
    if not isinstance(loss, str):
        raise SettingsError(
            "Expected loss as a name, a function (outputs, y) -> [B], or for several outputs a "
            f"mapping or list of these; found {loss!r}."
        )
    if loss in NAMES:
        return loss
    plain = plain_name(loss)
    if plain in LOSS_NAMES:
        return LOSS_NAMES[plain]
    near = difflib.get_close_matches(plain, LOSS_NAMES, 1)
    hint = f" Did you mean {LOSS_NAMES[near[0]]!r}?" if near else ""
    raise SettingsError(
        f"loss must be one of {', '.join(NAMES)}, or a function (outputs, y) -> [B]; found "
        f"{loss!r}.{hint}"
    )


def named_loss(loss: Any, part: Part, quantiles: tuple[float, ...] = ()) -> tuple[Loss, str]:
    """The loss of that name for outputs and targets of these shapes.

    Args:
        loss: the name.
        part: outputs and targets.
        quantiles: levels, for the loss `quantile`.

    Raises:
        InputError: it does not fit them.
    """
    name = known_name(loss)
    shape, y = np.shape(part.outputs), part.y
    if name == "auto":
        name = _automatic(part, shape)
    if name == "cross_entropy":
        return _cross_entropy(part, shape), name
    if name == BINARY:
        return _binary(part, shape), name
    if name == "hinge":
        return _hinge(part, shape), name
    if name == "quantile":
        return _quantile(shape, part.y, quantiles or QUANTILES), name
    _check_widths(shape, y, name)
    if name == "poisson" and _range(part)[0] < 0:
        raise DataError(
            f"loss='poisson' needs counts of 0 or more in y; found {_range(part)[0]:.4g}."
        )
    if name == "poisson" and _is_within(part, 0.0, np.inf):
        raise SettingsError(
            "loss='poisson' takes outputs as logarithms of rates, and the last layer makes them "
            "positive already. Leave its exponential or softplus out, or give a loss of your own."
        )
    return Loss(_flatten_loss(LOSSES[name].per_example), LOSSES[name].link), name


def _automatic(part: Part, shape: tuple[int, ...]) -> str:
    """Choose the loss for `auto`: cross-entropy for integer class codes, else squared error."""
    y = part.y
    whole = y.dtype.kind in "iub"
    column = y.ndim == 1 or y.shape[1:] == (1,)
    if whole and (column or y.shape == shape[:-1]):
        return "cross_entropy"
    if part.facts.one_hot and not part.same_as_input and (len(shape) == 2 or shape == y.shape):
        each = "row" if y.ndim == 2 else "place"
        raise SettingsError(
            f"Each {each} of y {_dims(y)} has one 1 and otherwise 0: are these classes or numbers? "
            "Give loss='cross_entropy' for classes, loss='squared_error' for numbers."
        )
    if part.facts.binary and part.facts.range == (0.0, 1.0) and not part.same_as_input:
        raise SettingsError(
            f"y {_dims(y)} holds 0 and 1 alone: are these answers or numbers? Give "
            f"loss='{BINARY}' for the probability of each 1, loss='squared_error' for numbers."
        )
    return "squared_error"


def _cross_entropy(part: Part, shape: tuple[int, ...]) -> Loss:
    y = part.y
    if len(shape) == 1:
        inner = _cross_entropy(
            part._replace(outputs=part.outputs[:, None], range_of=None), (*shape, 1)
        )
        return Loss(lambda o, t: inner.per_example(o[:, None], t), lambda o: inner.link(o[:, None]))
    probabilities = _makes_probabilities(part, shape)
    if y.dtype.kind in "iub" and (
        y.shape == shape[:-1] or (len(shape) == 2 and y.shape[1:] == (1,))
    ):
        _check_classes(part.facts.labels, shape, y)
        return _of_codes(shape, probabilities)
    if y.ndim == len(shape) and y.shape[-1] == shape[-1] > 1:
        if not np.allclose(np.asarray(y, np.float64).sum(axis=-1), 1.0, atol=1e-3):
            raise DataError(
                f"loss='cross_entropy' takes y {_dims(y)} as probabilities of the classes, which "
                f"add up to 1 in each row; these do not. Give loss='{BINARY}' where every output "
                "is a question of its own."
            )
        return _soft(probabilities)
    whole = y.dtype.kind == "f" and bool((np.asarray(y) == np.round(y)).all())
    hint = " y holds whole numbers as floats: give y.astype(int)." if whole else ""
    raise SettingsError(
        f"loss='cross_entropy' needs y as whole numbers {['B', *shape[1:-1]]}, or as probabilities "
        f"{['B', *shape[1:]]}, for outputs {['B', *shape[1:]]}; found {y.dtype} {_dims(y)}.{hint}"
    )


def _of_codes(shape: tuple[int, ...], probabilities: bool) -> Loss:
    """Cross-entropy for class codes, `[B]` or one per sequence position, summed."""
    named = LOSSES["cross_entropy"]
    one = _from_probabilities if probabilities else named.per_example

    def per_example(outputs: Array, y: Array) -> Array:
        codes = y.reshape(outputs.shape[:-1])
        losses = one(outputs, codes.astype(jnp.int32) if codes.dtype == bool else codes)
        return losses.reshape(losses.shape[0], -1).sum(axis=-1)

    return Loss(per_example, _link_of_probabilities if probabilities else named.link)


def _soft(probabilities: bool) -> Loss:
    """Cross-entropy for class probabilities, such as one-hot rows."""

    def per_example(outputs: Array, y: Array) -> Array:
        if probabilities:
            losses = -jnp.sum(y * jnp.log(jnp.clip(outputs, EPSILON, 1.0)), axis=-1)
        else:
            losses = optax.losses.softmax_cross_entropy(outputs, y.astype(outputs.dtype))
        return losses.reshape(losses.shape[0], -1).sum(axis=-1)

    link = _as_it_is if probabilities else lambda outputs: jax.nn.softmax(outputs, axis=-1)
    return Loss(per_example, link)


def _range(part: Part) -> tuple[float, float]:
    """The smallest and the largest target: of all rows, if that is known."""
    values = np.asarray(part.y)
    return part.facts.range or (float(values.min()), float(values.max()))


def _binary(part: Part, shape: tuple[int, ...]) -> Loss:
    """Binary cross-entropy, one term per output."""
    values = np.asarray(part.y)
    _check_widths(shape, values, BINARY)
    low, high = _range(part)
    if low < 0 or high > 1:
        raise DataError(f"loss='{BINARY}' needs y from 0 to 1; found {low:.4g} to {high:.4g}.")
    if _is_within(part, 0.0, 1.0) or part.head == "sigmoid":

        def losses(outputs: Array, y: Array) -> Array:
            inside = jnp.clip(outputs, EPSILON, 1.0 - EPSILON)
            return -jnp.sum(y * jnp.log(inside) + (1 - y) * jnp.log1p(-inside), axis=-1)

        return Loss(_flatten_loss(losses), _as_it_is)

    return Loss(_flatten_loss(LOSSES[BINARY].per_example), LOSSES[BINARY].link)


def _hinge(part: Part, shape: tuple[int, ...]) -> Loss:
    """Hinge loss for class codes `[B]`; the outputs are scores, not probabilities."""
    y = part.y
    if y.dtype.kind not in "iub" or y.shape not in ((shape[0],), (shape[0], 1)) or len(shape) != 2:
        raise SettingsError(
            "loss='hinge' needs y as whole numbers ['B'], the classes, and outputs ['B', classes] "
            f"(['B', 1] for two); found {y.dtype} {_dims(y)} and outputs {['B', *shape[1:]]}."
        )
    _check_classes(part.facts.labels, shape, y)
    named = LOSSES["hinge"]
    return Loss(lambda outputs, codes: named.per_example(outputs, codes.reshape(-1)), named.link)


def _quantile(shape: tuple[int, ...], y: Any, quantiles: tuple[float, ...]) -> Loss:
    """Pinball loss for numbers: one output per quantile of each target."""
    width, wanted = int(np.prod(shape[1:])), int(np.prod(y.shape[1:])) * len(quantiles)
    if width != wanted:
        raise DataError(
            f"loss='quantile' with {len(quantiles)} quantiles needs {wanted} outputs for y "
            f"{_dims(y)}, those of the first target first; the model gives {['B', *shape[1:]]}."
        )
    named = make_loss("quantile", quantiles)
    return Loss(_flatten_loss(named.per_example), named.link)


def _from_probabilities(outputs: Array, y: Array) -> Array:
    inside = jnp.clip(outputs, EPSILON, 1.0 - EPSILON)
    if outputs.shape[-1] == 1:
        second = inside[..., 0]
        return -jnp.where(y > 0, jnp.log(second), jnp.log1p(-second))
    return -jnp.log(jnp.take_along_axis(inside, y[..., None].astype(jnp.int32), axis=-1)[..., 0])


def _link_of_probabilities(outputs: Array) -> Array:
    if outputs.shape[-1] == 1:
        return jnp.concatenate([1.0 - outputs, outputs], axis=-1)
    return outputs


def _makes_probabilities(part: Part, shape: tuple[int, ...]) -> bool:
    """Whether the last layer is a sigmoid or a softmax, so that the link is not applied twice."""
    if part.head in ("sigmoid", "softmax"):
        if part.head == "sigmoid" and shape[-1] > 1:
            raise SettingsError(_not_classes(shape))
        return True
    if not _is_within(part, 0.0, 1.0):
        return False
    if shape[-1] == 1:
        return True
    assert part.range_of is not None
    if all(np.allclose(one.sum(axis=-1), 1.0, atol=1e-4) for one in part.range_of()):
        return True
    raise SettingsError(_not_classes(shape))


def _not_classes(shape: tuple[int, ...]) -> str:
    return (
        f"The last layer makes numbers from 0 to 1 of the {shape[-1]} outputs, which do not add up "
        "to 1: no probabilities of classes. Leave its activation out (outputs are then log-odds), "
        f"or give loss='{BINARY}' where every output is a question of its own."
    )


def _is_within(part: Part, low: float, high: float) -> bool:
    """Whether the last layer's activation keeps the outputs in a range for any weights."""
    if part.range_of is None:
        return False
    drawn = np.stack(part.range_of())
    inside = np.isfinite(drawn).all() and (drawn >= low).all() and (drawn <= high).all()
    return bool(inside and drawn.std() > 0)


def _check_widths(shape: tuple[int, ...], y: Any, name: str) -> None:
    """Raise InputError unless outputs and targets have equally many numbers per row."""
    width, wanted = int(np.prod(shape[1:])), int(np.prod(y.shape[1:]))
    if width == wanted:
        return
    classes = wanted == 1 and bool((np.asarray(y) == np.round(np.asarray(y))).all())
    codes = y.ndim == 1 and y.dtype.kind in "iub"
    give = "loss='cross_entropy'" if codes else "y.astype(int) of shape [B]"
    hint = f" y holds whole numbers: for classes give {give}." if classes else ""
    raise DataError(
        f"loss={name!r} needs as many outputs as targets to a row; the model gives "
        f"{['B', *shape[1:]]} and y is {_dims(y)}.{hint}"
    )


def _check_classes(labels: tuple[int, int] | None, shape: tuple[int, ...], y: Any) -> None:
    classes = max(2, shape[-1])  # One output is the log-odds of the second of two classes.
    least, most = labels or (0, 0)
    if least < 0 or most >= classes:
        hint = " Give loss='squared_error' where y are numbers." if shape[-1] == 1 else ""
        if least < 0 and y.ndim > 1 and len(shape) > 2:
            hint = (
                f" Places of {least} are not left out by themselves: give a loss of your own that "
                "adds up the others, jnp.where(y < 0, 0, losses).sum(axis=1)."
            )
        raise DataError(
            f"Expected classes from 0 to {classes - 1} in y, as many as the outputs "
            f"{['B', *shape[1:]]} of the model stand for; found {least} to {most}.{hint}"
        )


class Chosen(NamedTuple):
    """The loss of a model.

    Attributes:
        loss: of a row, and its link.
        name: None if it is a user's function; of several outputs the names of all.
        parts: the loss of each of several outputs by its key, with its name (`OWN` for a user's
            function).
    """

    loss: Loss
    name: str | None
    parts: Mapping[Any, tuple[Loss, str]] = MappingProxyType({})


def several(losses: Any, parts: Any, quantiles: tuple[float, ...] = ()) -> Chosen:
    """The weighted sum of the losses of several outputs.

    Args:
        losses: a mapping or list, like the outputs, of a name, a function, or (one, weight).
        parts: a mapping or list of `Part`.
        quantiles: levels of those that are named `quantile`.

    Raises:
        InputError: outputs, targets and losses have other names or numbers.
    """
    chosen: dict[Any, tuple[Loss, float]] = {}
    names: dict[Any, str] = {}
    for key, part in parts.items():
        one = losses[key]
        one, weight = one if isinstance(one, tuple) and len(one) == 2 else (one, 1.0)
        if not isinstance(weight, int | float) or not weight > 0:
            raise SettingsError(
                f"The weight of the loss of {key!r} must be above 0; found {weight}."
            )
        own = callable(one)
        loss, name = (
            (Loss(outputs_first(one), _as_it_is), OWN) if own else named_loss(one, part, quantiles)
        )
        chosen[key] = (loss, float(weight))
        names[key] = name

    def per_example(outputs: Any, y: Any) -> Array:
        terms = [
            weight * loss.per_example(outputs[key], y[key])
            for key, (loss, weight) in chosen.items()
        ]
        return sum(terms[1:], start=terms[0])

    def link(outputs: Any) -> Any:
        linked = {key: loss.link(outputs[key]) for key, (loss, _) in chosen.items()}
        if isinstance(outputs, Mapping):
            return linked
        return type(outputs)(linked.values())

    return Chosen(
        Loss(per_example, link),
        ", ".join(f"{key}: {name}" for key, name in names.items()),
        {key: (loss, names[key]) for key, (loss, _) in chosen.items()},
    )


def check_keys(losses: Any, outputs: Any, y: Any) -> list[Any]:
    """The keys that losses, outputs and targets share.

    Raises:
        InputError: they share none, or not all.
    """
    keys = [_keys(one) for one in (losses, outputs, y)]
    if keys[0] is None or not keys[0] == keys[1] == keys[2]:
        raise InputError(
            "Several losses need outputs and y of the same form, mappings with the same keys or "
            f"lists of one length; found losses {_form(losses)}, outputs {_form(outputs)}, y "
            f"{_form(y)}."
        )
    return keys[0]


def _keys(tree: Any) -> list[Any] | None:
    if isinstance(tree, Mapping):
        return sorted(tree)
    return list(range(len(tree))) if isinstance(tree, list | tuple) else None


def _form(tree: Any) -> str:
    keys = _keys(tree)
    return "one array" if keys is None else ", ".join(map(repr, keys))


def _flatten_loss(per_example: PerExample) -> PerExample:
    """The same loss for outputs and targets of any shape."""

    def flat(outputs: Array, y: Array) -> Array:
        count = outputs.shape[0]
        return per_example(outputs.reshape(count, -1), y.reshape(count, -1))

    return flat


def _as_it_is(outputs: Any) -> Any:
    return outputs


def _dims(y: Any) -> list[Any]:
    return ["B", *np.shape(y)[1:]]
