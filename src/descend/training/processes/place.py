"""Which process of a job this is, and what is known of the others."""

from __future__ import annotations

import os
from dataclasses import dataclass

from descend.training.processes.all_reduce import Link
from descend.training.processes.starters import WATCHED


@dataclass(frozen=True)
class Place:
    """Which process of a job this is.

    Attributes:
        index: from 0; process 0 writes files and shows progress.
        count: of processes.
    """

    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.index == 0


ALONE = Place(0, 1)


def is_lost_connection(error: Exception) -> bool:
    """Whether an error of JAX says that another process ended or cannot be reached.

    >>> is_lost_connection(ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer"))
    True
    """
    text = str(error)
    return any(word in text for word in ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED"))


def is_watched() -> bool:
    """Whether `--processes` started this process and watches over it."""
    return WATCHED in os.environ


@dataclass
class Known:
    """What this process knows of its job: `joining` fills it in, and empties it at the end.

    Attributes:
        place: which process it is; None: it has not joined others.
        link: what a message costs; None: not measured.
        alike: whether all processes compute on the same kind of processor, in the same way.
    """

    place: Place | None = None
    link: Link | None = None
    alike: bool = True


known = Known()


def this_place() -> Place:
    """Which process this is: alone, unless `join` was called where several were started."""
    return known.place or ALONE


def this_link() -> Link | None:
    """What a message between the processes costs, the same in all of them; None: not measured."""
    return known.link


def are_alike() -> bool:
    """Whether the processes compute on the same kind of processor, in the same way."""
    return known.alike


def use_link(link: Link | None) -> None:
    """Sum from now on in the way that suits this link; programs compiled before are as they were.

    Args:
        link: the same numbers in every process; None takes the usual way.
    """
    known.link = link
