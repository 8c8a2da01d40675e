"""Timings that can be compared, and the record of what was measured.

The candidates of a question take turns, so that a machine that is busy for a while is busy for
all of them. What counts is the ratio within a turn; its median and its range over the turns are
reported, never one number alone. Where candidates would disturb each other (thread pools,
compiler flags), each lives in a process of its own, idle while others have their turn.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"
LIBRARIES = (
    *("descend", "jax", "jaxlib", "optax", "numpy", "duckdb", "pyarrow"),
    *("scikit-learn", "lightgbm", "catboost", "torch", "keras", "pandas", "polars"),
)


@dataclass(frozen=True)
class Candidate:
    """One way of doing the work.

    Attributes:
        name: as in the table.
        run: does the work; what it returns is waited for.
        share: the part of the work that one run does (a slow one does less and is scaled up).
    """

    name: str
    run: Callable[[], object]
    share: float = 1.0


class _Written:
    """How a number and the ends of its range are written; its fields are these three."""

    def __str__(self) -> str:
        middle, low, high = vars(self).values()
        return f"{middle:.3g} ({low:.3g} to {high:.3g})"

    def as_json(self) -> dict[str, float]:
        """Four significant digits: the rest is noise."""
        return {name: float(f"{value:.4g}") for name, value in vars(self).items()}


@dataclass(frozen=True)
class Spread(_Written):
    """The median of repeated measurements and their range."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Summarise repeated measurements."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Ratio(_Written):
    """The mean ratio of paired measurements and its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of differences, and the ends of its 95 % interval (Student's t)."""
    from scipy import stats

    mean = statistics.mean(differences)
    if len(differences) < 2:
        return mean, -math.inf, math.inf
    error = statistics.stdev(differences) / len(differences) ** 0.5
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return mean, mean - reach, mean + reach


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """`over` / `under` within each turn: the geometric mean and its 95 % interval.

    >>> str(paired_ratio([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]))
    '2 (2 to 2)'
    """
    logs = [math.log(a / b) for a, b in zip(over, under, strict=True)]
    return Ratio(*(math.exp(min(end, 700.0)) for end in interval(logs)))


def seconds_each(candidates: Sequence[Candidate | Apart], repeats: int) -> dict[str, list[float]]:
    """Seconds for the whole work, a list over `repeats` turns for each candidate.

    Everyone runs once unmeasured (compiling, caches), then all take turns, each turn beginning
    with another candidate.
    """
    for candidate in candidates:
        _timed(candidate)
    seconds: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for turn in range(repeats):
        first = turn % len(candidates)
        for candidate in (*candidates[first:], *candidates[:first]):
            seconds[candidate.name].append(_timed(candidate))
    return seconds


def turns_within(minutes: float, most: int) -> Iterator[int]:
    """The numbers of turns, from 0: at least one, then while another one can be done in time."""
    began, longest = time.monotonic(), 0.0
    for number in range(most):
        started = time.monotonic()
        if number and started + longest > began + 60 * minutes:
            return
        yield number
        longest = max(longest, time.monotonic() - started)


class Apart:
    """A candidate in a process of its own; the process serves one candidate after another.

    Attributes:
        name: as in the table.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        spawn = multiprocessing.get_context("spawn")
        self._pipe, there = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def prepare(self, make: Callable[[], Candidate]) -> str | None:
        """Make the candidate over there; returns why not, where a library is missing."""
        answer: str | None = self._ask(make)
        return answer

    def seconds(self) -> float:
        """Let it run once."""
        found: float = self._ask(None)
        return found

    def told(self, asked: Callable[[], T]) -> T:
        """What a function returns over there."""
        found: T = self._ask(_Asked(asked))
        return found

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()

    def _ask(self, request: Callable[[], Candidate] | _Asked | None) -> Any:
        try:
            self._pipe.send(request)
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise RuntimeError(
                f"The process of {self.name} ended with the status {self._process.exitcode}, a "
                "negative one being a signal: -9 for want of memory, -11 for a fault in a library."
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(frozen=True)
class _Asked:
    """A function whose result is sent back."""

    function: Callable[[], object]


def _serve(pipe: Any) -> None:
    candidate: Candidate | None = None
    while True:
        request = pipe.recv()
        try:
            if request is None:
                assert candidate is not None
                pipe.send(_timed(candidate))
                continue
            if isinstance(request, _Asked):
                pipe.send(request.function())
                continue
            candidate = None
            candidate = request()
            pipe.send(None)
        except ImportError as error:
            pipe.send(str(error))
        except Exception as error:
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """`over` / `under` within each turn."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table that also reads well on a terminal."""
    lines = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def record(name: str, text: str, facts: Mapping[str, Any], *, save: bool = True) -> None:
    """Print `text`; keep it and the facts, with machine and versions, in `results/NAME.*`."""
    print(text)
    if save:
        keep(name, text, facts)


def keep(name: str, text: str, facts: Mapping[str, Any]) -> None:
    """Keep a text and the facts, with machine and versions, in `results/NAME.*`."""
    RESULTS.mkdir(exist_ok=True)
    everything = {"machine": machine(), "versions": versions(), **facts}
    (RESULTS / f"{name}.json").write_text(json.dumps(everything, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(f"{text}\n\n{_where()}\n")


def machine() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _timed(candidate: Candidate | Apart) -> float:
    if isinstance(candidate, Apart):
        return candidate.seconds()
    gc.collect()
    begun = time.perf_counter()
    result = candidate.run()
    if "jax" in sys.modules:
        sys.modules["jax"].block_until_ready(result)
    return (time.perf_counter() - begun) / candidate.share


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def _where() -> str:
    here = machine()
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    return (
        f"Measured on {here['cores']} cores ({here['processor']}), Python {here['python']}; "
        f"{libraries}."
    )
