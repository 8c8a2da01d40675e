"""Weights of the classes of a table, `--class-weight`: what multiplies the loss of their rows."""

from __future__ import annotations

from descend.data.encoding.labels import code_of
from descend.data.schema.columns import ClassificationTarget, Target
from descend.errors import SettingsError, option_text, printable
from descend.settings import Settings, class_weights
from descend.training.losses import Loss, make_loss, weigh_classes

_MOST_SHOWN = 10


def loss_of(settings: Settings, target: Target) -> Loss:
    """The loss that a network is trained and validated with.

    Args:
        settings: with the loss decided.
        target: what is predicted.

    Raises:
        SettingsError: class weights do not fit the target.
    """
    loss = make_loss(settings.loss, settings.quantiles)
    weights = weights_by_code(settings, target)
    return loss if weights is None else weigh_classes(loss, weights)


def weights_by_code(settings: Settings, target: Target) -> tuple[float, ...] | None:
    """The weight of each class, by its code, scaled to a mean of 1 over the training rows.

    A mean of 1 leaves the loss as large as it is without them, and a learning rate as good. What
    rows of a weight of their own count for is the product of both.

    Args:
        settings: with `class_weight`.
        target: what is predicted.

    Returns:
        The weights; None where all classes count alike because none are given.

    Raises:
        SettingsError: the target is no class, a class has another name, or all weights of the
            classes in the training rows are 0.
    """
    if not settings.class_weight:
        return None
    if not isinstance(target, ClassificationTarget):
        raise SettingsError(
            f"{option_text('class_weight')} is for classes; found a target of numbers, "
            f"{target.names[0]!r}. {option_text('weight')} names a column with the weight of each "
            "row."
        )
    shares = target.shares
    given = class_weights(settings.class_weight)
    if given is None:
        present = sum(share > 0 for share in shares)
        # A class that only validation rows have counts as it would without weights.
        return tuple(1.0 / (present * share) if share > 0 else 1.0 for share in shares)
    weights = [1.0] * len(shares)
    for name, weight in given.items():
        weights[_code(target, name)] = weight
    mean = sum(share * weight for share, weight in zip(shares, weights, strict=True))
    if mean <= 0:
        raise SettingsError(
            f"{option_text('class_weight', settings.class_weight)} gives every class of the "
            "training rows the weight 0; there is nothing to learn."
        )
    return tuple(weight / mean for weight in weights)


def _code(target: ClassificationTarget, name: str) -> int:
    code = code_of(target, name)
    if code is None:
        shown = ", ".join(printable(label) for label in target.labels[:_MOST_SHOWN])
        more = len(target.labels) - _MOST_SHOWN
        raise SettingsError(
            f"{option_text('class_weight')} names the class {printable(name)!r}, which the target "
            f"{target.names[0]!r} does not have; its classes are {shown}"
            f"{f' and {more} more' if more > 0 else ''}."
        )
    return code
