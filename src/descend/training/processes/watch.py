"""Notice which of several processes the others wait for.

All processes take the same steps in the same order: messages, and the parts of an update. Each
counts its steps and tells the number, with a beat, through the key-value store of JAX's own
runtime. While one waits for longer than usual, it looks up how far the others are: who has taken
fewer steps is slow, and whose beat has stopped is frozen, or its host is.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final

from descend.errors import InputError, LostProcessError, what_after_a_loss

DEADLINE = "DESCEND_DEADLINE"
"""Seconds after which a process that says nothing at all ends the job."""
SILENT = 45.0
"""The same where nobody sets it."""
SLOW = 30.0
"""Seconds of waiting after which a process that is behind is named; then after twice as long."""
BEAT = 1.0
"""Seconds from one beat to the next."""
_KEY = "descend/steps/"


def deadline(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds after which a process that says nothing at all ends the job.

    Raises:
        InputError: the variable that sets them is no number above 0.

    >>> deadline({}), deadline({"DESCEND_DEADLINE": "120"})
    (45.0, 120.0)
    """
    text = environment.get(DEADLINE) or str(SILENT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{DEADLINE} must be a number of seconds above 0; found {text!r}.")
    return seconds


class Client(Protocol):
    """What is needed of the client of JAX's runtime."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        """Set a value that all processes can get."""

    def key_value_dir_get(self, key: str) -> Sequence[tuple[str, str]]:
        """All keys that begin so, with their values."""


@dataclass
class Steps:
    """How far this process is.

    Attributes:
        count: of the steps that it has begun.
        doing: the newest of them, in words.
        since: when it began, by `time.monotonic`.
    """

    count: int = 0
    doing: str = "starting"
    since: float = 0.0

    def begin(self, doing: str | None = None) -> None:
        """Begin a step; every process calls it equally often."""
        self.count += 1
        self.doing = doing or self.doing
        self.since = time.monotonic()


steps = Steps()
"""Of this process."""


class Seen(NamedTuple):
    """What another process said of itself, and when it said something new.

    Attributes:
        steps: that it has begun.
        doing: the newest of them.
        host: where it runs.
        beat: a number that rises as long as it lives.
        at: when this beat was first seen.
    """

    steps: int
    doing: str
    host: str
    beat: int
    at: float


def seen_before(found: Mapping[int, Seen], said: Mapping[int, Any], now: float) -> dict[int, Seen]:
    """What is known of the processes, after they have said something.

    Args:
        found: what was known.
        said: the newest word of each.
        now: seconds.
    """
    known = dict(found)
    for index, one in said.items():
        before = known.get(index)
        if before is None or before.beat != one["beat"]:
            known[index] = Seen(one["steps"], one["doing"], one["host"], one["beat"], now)
    return known


def silent_processes(found: Mapping[int, Seen], now: float, deadline: float) -> list[int]:
    """The processes whose beat stopped longer ago than the deadline."""
    return [index for index, one in sorted(found.items()) if now - one.at > deadline]


def slow_processes(found: Mapping[int, Seen]) -> list[int]:
    """The processes that have begun fewer steps than the others."""
    most = max((one.steps for one in found.values()), default=0)
    return [index for index, one in sorted(found.items()) if one.steps < most]


@final
class Watch:
    """Tells how far this process is, and names those that it waits for.

    Args:
        client: of JAX's runtime.
        index: of this process.
        count: of processes.
        say: shows a text.
        end: ends this process.
    """

    def __init__(
        self,
        client: Client,
        index: int,
        count: int,
        say: Callable[[str], None] | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._client = client
        self._index = index
        self._count = count
        self._say = say or _to_stderr
        self._end = end
        self._deadline = deadline()
        self._over = threading.Event()
        self._found: dict[int, Seen] = {}
        # Of the last answer of process 0, which holds the store.
        self._answered = time.monotonic()
        self._named = SLOW

    def start(self) -> None:
        """Begin to watch."""
        for work in (self._tell, self._judge):
            threading.Thread(target=work, daemon=True, name="descend watch").start()

    def stop(self) -> None:
        """Watch no more: from here on the processes part."""
        self._over.set()

    def _tell(self) -> None:
        beat = 0
        while not self._over.wait(BEAT):
            beat += 1
            mine = {
                "steps": steps.count,
                "doing": steps.doing,
                "host": socket.gethostname(),
                "beat": beat,
            }
            try:
                self._client.key_value_set(
                    f"{_KEY}{self._index}", json.dumps(mine), allow_overwrite=True
                )
                # Nobody who makes progress asks the others.
                if time.monotonic() - steps.since > 3 * BEAT:
                    said = self._client.key_value_dir_get(_KEY)
                    words = {int(key.rpartition("/")[2]): json.loads(text) for key, text in said}
                    self._found = seen_before(self._found, words, time.monotonic())
                else:
                    self._found = {}
            except Exception:
                # The connection is gone: what noticed it first says so.
                return
            self._answered = time.monotonic()

    def _judge(self) -> None:
        while not self._over.wait(BEAT):
            now = time.monotonic()
            if now - self._answered > self._deadline and self._speaks([0]):
                self._lose([0], "says nothing any more")
                return
            found, waited = self._found, now - steps.since
            if waited < 3 * BEAT:
                self._named = SLOW
                continue
            silent = silent_processes(found, now, self._deadline)
            if silent and self._speaks(silent):
                self._lose(silent, "says nothing any more")
                return
            slow = slow_processes(found)
            if waited > self._named and slow and self._speaks(slow):
                self._named *= 2
                doing = found[slow[0]].doing
                self._say(
                    f"{_processes(slow, found)} behind the others, at {doing}: they have waited "
                    f"for {waited:.0f} seconds."
                )

    def _speaks(self, named: Sequence[int]) -> bool:
        """Whether this process speaks for those that wait: the first of them does."""
        return self._index == min(set(range(self._count)) - set(named), default=-1)

    def _lose(self, named: Sequence[int], what: str) -> None:
        if self._over.is_set():
            return
        self._say(
            f"{_processes(named, self._found, what)} (for {self._deadline:.0f} seconds), so the "
            f"others cannot go on. {what_after_a_loss(self._count)}"
        )
        self._end(LostProcessError.exit_status)


def _processes(named: Sequence[int], found: Mapping[int, Seen], what: str = "is") -> str:
    one = named[0]
    host = f" on {found[one].host}" if one in found else ""
    others = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    return f"Process {one}{host}{others} {what}"


def _to_stderr(text: str) -> None:
    print(f"descend: {text}", file=sys.stderr, flush=True)
