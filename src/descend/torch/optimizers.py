"""Optimizers for copies of a model, made as the user makes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from descend.defaults import MOMENTUM
from descend.errors import DescendError, InputError

MakeOptimizer = Callable[[Any, float], Any]
_MISSING = inspect.Parameter.empty
_OPTIONAL = inspect.Parameter("closure", inspect.Parameter.KEYWORD_ONLY, default=None)


def parameters_of(optimizer: Any) -> set[int]:
    """The identities of the parameters that an optimizer moves; none where it is a factory."""
    import torch

    if not isinstance(optimizer, torch.optim.Optimizer):
        return set()
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


def optimizer_factory(optimizer: Any) -> MakeOptimizer:
    """A factory of optimizers: the user's function or class, or that of an optimizer."""
    import torch

    if optimizer is None:
        return lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=MOMENTUM)
    if isinstance(optimizer, torch.optim.Optimizer):
        if len(optimizer.param_groups) > 1:
            raise InputError(
                "The optimizer has several groups of parameters; say how to make it anew: "
                "optimizer=lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate)."
            )
        kind = type(optimizer)
        # Some defaults are no arguments: AdamW sets them for the class that it derives from.
        named = inspect.signature(kind).parameters
        group = optimizer.param_groups[0]
        options = {name: group[name] for name in optimizer.defaults if name in named}
        return lambda parameters, rate: kind(parameters, **{**options, "lr": rate})
    if not callable(optimizer):
        raise InputError(
            "Expected optimizer=(parameters, learning_rate) -> torch.optim.Optimizer; found "
            f"{optimizer!r}."
        )
    make: MakeOptimizer = optimizer
    return make


def new_optimizer(
    make: MakeOptimizer, model: Any, trained: Collection[str], learning_rate: float
) -> Any:
    """An optimizer for a model.

    Args:
        make: makes it.
        model: whose parameters it moves.
        trained: names of these parameters.
        learning_rate: that it begins with.

    Raises:
        InputError: `make` fails, or makes something else.
    """
    try:
        rule = make(
            [one for name, one in model.named_parameters() if name in trained], learning_rate
        )
        if not (hasattr(rule, "step") and hasattr(rule, "zero_grad")):
            raise TypeError(f"it gives {type(rule).__name__}")
        if inspect.signature(rule.step).parameters.get("closure", _OPTIONAL).default is _MISSING:
            raise InputError(
                f"{type(rule).__name__} computes the loss several times in a step (closure); "
                "take a rule that needs one gradient, such as torch.optim.AdamW."
            )
        moved = {id(one) for group in _groups(rule) for one in group["params"]}
        if moved - {id(one) for one in model.parameters()}:
            raise InputError(
                "The optimizer moves other weights than those that it was given, maybe those of a "
                "module by its name. Write optimizer=lambda parameters, rate: "
                "torch.optim.AdamW(parameters, lr=rate), which uses its arguments."
            )
    except DescendError:
        raise
    except Exception as error:
        raise InputError(
            "Expected optimizer=(parameters, learning_rate) -> torch.optim.Optimizer, such as "
            "lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate), a class such as "
            f"torch.optim.AdamW, or an optimizer to take the options of; {error}."
        ) from error
    return rule


def check_rate(rules: Sequence[Any]) -> None:
    """Raise InputError where optimizers made for different rates have the same."""
    rates = [[group.get("lr") for group in _groups(rule)] for rule in rules]
    if rates[0] and None not in rates[0] and all(one == rates[0] for one in rates):
        raise InputError(
            f"The optimizer has the learning rate {rates[0][0]} whatever rate it is made for. "
            "Write optimizer=lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate)."
        )


def _groups(rule: Any) -> list[dict[str, Any]]:
    """The groups of parameters of an optimizer; none where it keeps them in another way."""
    return list(getattr(rule, "param_groups", ()))
