"""Run `descend train` in this process, and print as JSON where its seconds went.

    python -m benchmarks.start_up_parts train TABLE --target COLUMN ...

Seconds are by the clock, from the first line on; what runs in a thread beside something else is
told by itself, so that the parts are more than the whole where work overlaps.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BEGUN = time.perf_counter()
WAITED_FOR = "waiting for the rows"
READING = "reading, beside the imports"
COMPILING = ("jaxpr_trace", "jaxpr_to_mlir_module", "backend_compile")
parts: dict[str, float] = {}
programs: dict[str, list[float]] = {}
moments: dict[str, float] = {}


def timed(owner: Any, name: str, part: str) -> None:
    """Add the seconds of each call of a function to a part."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        moments.setdefault(part, started - BEGUN)
        try:
            return function(*arguments, **named)
        finally:
            parts[part] = parts.get(part, 0.0) + time.perf_counter() - started

    setattr(owner, name, wrapper)


def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    """Add the seconds that JAX needs for a program: tracing, lowering, compiling; and count it."""
    step = event.rsplit("/", 1)[-1].removesuffix("_duration")
    if event.startswith("/jax/core/compile/") and step in COMPILING:
        name = str(kwargs.get("fun_name", "?")).removeprefix("jit(").removesuffix(")")
        seconds = programs.setdefault(name, [0.0, 0.0, 0.0, 0.0])
        seconds[COMPILING.index(step)] += duration_secs
        seconds[3] += step == COMPILING[2]


def main() -> None:
    """Train with every part timed."""
    from descend.cli import app

    parts["Python and the command line"] = time.perf_counter() - BEGUN
    importing = app.importing

    @contextmanager
    def imports() -> Iterator[None]:
        started = time.perf_counter()
        import descend.data.prepare

        timed(descend.data.prepare, "prepare", READING)
        with importing():
            yield
        parts["imports"] = time.perf_counter() - started
        _time_the_run()

    app.importing = imports  # type: ignore[assignment]
    app.app(sys.argv[1:], standalone_mode=False)
    parts["training"] = parts.pop("fit") - parts["until the first update"]
    whole = time.perf_counter() - BEGUN
    print(json.dumps({"whole": whole, "parts": parts, "programs": programs}))
    sys.stdout.flush()
    os._exit(0)


def _time_the_run() -> None:
    import jax

    from descend.reporting import render
    from descend.runtime import run, table_run
    from descend.runtime.early_reading import EarlyReading
    from descend.training import updates

    jax.monitoring.register_event_duration_secs_listener(listen)
    timed(EarlyReading, "prepared", WAITED_FOR)
    timed(table_run, "problem_of", "bins and network")
    timed(run, "choose_together", "first weights, advice")
    timed(run, "fit", "fit")
    timed(run, "_assess", "assessment")
    timed(run, "_finish", "all after training")
    timed(render, "render", "page")
    apply = updates.ChunkUpdater.apply

    def first_apply(*arguments: Any, **named: Any) -> Any:
        found = apply(*arguments, **named)
        now = time.perf_counter() - BEGUN
        parts.setdefault("until the first update", now - moments["fit"])
        return found

    updates.ChunkUpdater.apply = first_apply  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
