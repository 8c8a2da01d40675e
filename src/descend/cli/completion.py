"""What a shell offers after an option or in place of an argument when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from descend.choices import CHOICES

SURFACE_NAMES = ("bowl", "valley", "double-well", "many-minima")
"""Those of `descend.tuning.landscape.surfaces`, which takes seconds to import."""
WORDS = {"batch_size": ("auto", "all"), "learning_rate": ("auto",), "warmup": ("auto",)}
"""What options take beside numbers."""

Complete = Callable[[str], list[str]]


def one_of(words: Sequence[str]) -> Complete:
    """A completion that offers the words which begin as what was typed.

    >>> one_of(("bowl", "valley"))("v")
    ['valley']
    """
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def completion_of(name: str) -> Complete | None:
    """The completion of a setting; None where it takes no words, and the shell offers files."""
    words = CHOICES.get(name) or WORDS.get(name)
    return one_of(words) if words else None
