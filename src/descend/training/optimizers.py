"""Update rules by name; each an Optax transformation whose learning rate is 1.

The step multiplies the result by the learning rate of the update, so that schedules, plateaus
and restarts set the rate in one place and no transformation hides a rate of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import optax

from descend.defaults import ADAMW_DECAY, LEARNING_RATES
from descend.settings import Settings
from descend.types import Params

Factory = Callable[[Settings], optax.GradientTransformation]

FACTORIES: dict[str, Factory] = {
    "sgd": lambda s: _add_decay(optax.sgd(1.0), s),
    "momentum": lambda s: _add_decay(optax.sgd(1.0, momentum=s.momentum), s),
    "nesterov": lambda s: _add_decay(optax.sgd(1.0, momentum=s.momentum, nesterov=True), s),
    "adam": lambda s: _add_decay(optax.adam(1.0), s),
    "adamw": lambda s: optax.adamw(1.0, weight_decay=_decay(s), mask=is_weight),
    "rmsprop": lambda s: _add_decay(optax.rmsprop(1.0, decay=0.99), s),
    "adagrad": lambda s: _add_decay(optax.adagrad(1.0), s),
    "dog": lambda s: _add_decay(optax.contrib.dog(1.0), s),
    "dowg": lambda s: _add_decay(optax.contrib.dowg(1.0), s),
    "dadapt-adamw": lambda s: optax.contrib.dadapt_adamw(1.0, weight_decay=_decay(s)),
    "prodigy": lambda s: optax.contrib.prodigy(1.0, weight_decay=_decay(s)),
    "cocob": lambda s: _add_decay(optax.contrib.cocob(), s),
    "mechanic": lambda s: _add_decay(
        optax.contrib.mechanize(optax.sgd(1.0, momentum=s.momentum)), s
    ),
    "momo": lambda s: _add_decay(optax.contrib.momo(1.0), s),
    "momo-adam": lambda s: _add_decay(optax.contrib.momo_adam(1.0), s),
    "polyak": lambda s: _add_decay(optax.polyak_sgd(1.0), s),
}

FINDS_ITS_RATE = frozenset(FACTORIES) - frozenset(LEARNING_RATES)
"""Rules that need no learning rate: they derive it from the gradients and the distance moved."""

OF_EACH_WEIGHT = frozenset({"adam", "adamw", "rmsprop", "adagrad"})
"""Rules with a rate that divide the gradient of each weight by its size lately, so that all weights
move about as far."""


def make_optimizer(settings: Settings) -> optax.GradientTransformation:
    """The update rule that the settings name, gradient clipping included.

    The same options give the same object, so that compiled programs are reused.
    """
    return _make(
        Settings(
            target="-",
            optimizer=settings.optimizer,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
        )
    )


@functools.lru_cache(maxsize=32)
def _make(settings: Settings) -> optax.GradientTransformation:
    rule = FACTORIES[settings.optimizer](settings)
    if settings.clip is None:
        return rule
    return optax.chain(optax.clip_by_global_norm(float(settings.clip)), rule)


def is_weight(params: Params) -> Params:
    """True for every array that weight decay applies to: weights, not biases."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _decay(settings: Settings) -> float:
    if settings.weight_decay is not None:
        return float(settings.weight_decay)
    return ADAMW_DECAY if settings.optimizer == "adamw" else 0.0


def _add_decay(
    rule: optax.GradientTransformation, settings: Settings
) -> optax.GradientTransformation:
    decay = _decay(settings)
    if decay == 0.0:
        return rule
    return optax.chain(optax.add_decayed_weights(decay, mask=is_weight), rule)
