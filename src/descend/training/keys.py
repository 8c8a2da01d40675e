"""The random keys of updates, for noise in a model such as dropout."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from descend.types import Array


class KeySource(NamedTuple):
    """Origin of the random keys of a chunk's updates: the seed, and the number of the first."""

    seed: Array
    update: Array


def key_source(seed: int, update: int) -> KeySource:
    """The origin of the keys of a chunk whose first update has this number."""
    return KeySource(np.uint32(seed), np.uint32(update))


def update_key(seed: Array, update: Array) -> Array:
    """The random key of an update: a function of (seed, update), so that runs resume exactly."""
    return jax.random.fold_in(jax.random.key(seed), update)
