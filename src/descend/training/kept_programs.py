"""Compiled programs that are kept for the next call with the same functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, final

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
MOST = 32
"""Results that are kept for functions that all runs share, such as those of named networks."""
OWN = "_kept_programs"


def keeping_its_programs(function: F) -> F:
    """The function, which keeps what is compiled for it as long as it lives itself.

    For a function that is made anew for each run, so that no later call can have it: what all runs
    share would hold it, and the user's model within it, long after the run.
    """
    setattr(function, OWN, {})
    return function


@final
class kept(Generic[P, T]):  # noqa: N801  # A decorator.
    """Keep the results of a function by its arguments, of which the first is a function.

    Args:
        compute: gives the results; all arguments can be hashed.
    """

    def __init__(self, compute: Callable[P, T]) -> None:
        functools.update_wrapper(self, compute)
        self._compute = compute
        self._shared: Any = functools.lru_cache(maxsize=MOST)(compute)
        self._cleared = 0

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result for these arguments."""
        own: dict[Any, T] | None = getattr(args[0], OWN, None)
        if own is None:
            shared: T = self._shared(*args, **kwargs)
            return shared
        key = (self, self._cleared, args[1:], tuple(kwargs.items()))
        if key not in own:
            own[key] = self._compute(*args, **kwargs)
        return own[key]

    def cache_clear(self) -> None:
        """Compute all results anew from now on."""
        self._shared.cache_clear()
        self._cleared += 1
