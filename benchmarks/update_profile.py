"""Where does the time of an update go? Kernel by kernel, as XLA's profiler sees it.

The network and the table of `epoch_speed`: one chunk of batches, the loop of updates over it. The
profiler costs some time of its own, so the loop is also timed without it: the kernels are an upper
bound.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.problems import made_table

SIZES = (8, 32, 128, 1000)
CALLS = 3
SHOWN = 12
IDLE = ("parameter(", "constant(", "tuple(", "bitcast(", "get-tuple-element(")
"""Instructions that are no kernels."""
PROFILED = {"xla_cpu_enable_xprof_traceme": True}


def loop_of(batch_size: int) -> tuple[Callable[[dict[str, Any]], tuple[str, Any]], int]:
    """`options -> (compiled text, call)` of the loop over a chunk, and its updates."""
    import jax
    import jax.numpy as jnp

    from benchmarks.epoch_speed import training_of
    from descend.data.rows.batches import chunks
    from descend.training.step import make_step

    training = training_of(made_table())
    plan = training.plan(batch_size)
    chunk = next(chunks(training.store, plan))
    batch = jax.device_put(chunk.batch)
    step = make_step(training.objective, training.optimizer)
    state = training.begin().state

    def loop(carry: Any, batch: Any, updates: Any) -> Any:
        def one(index: Any, so_far: Any) -> Any:
            carry, losses = so_far
            mini_batch = jax.tree.map(lambda leaf: leaf[index], batch)
            carry, metrics = step(carry, mini_batch, jnp.float32(1e-3))
            return carry, losses.at[index].set(metrics.loss)

        return jax.lax.fori_loop(0, updates, one, (carry, jnp.zeros(plan.updates_per_chunk)))

    def compiled(options: dict[str, Any]) -> tuple[str, Any]:
        arguments = (state.params, state.opt_state), batch, jnp.int32(chunk.updates)
        program = jax.jit(loop, compiler_options=options).lower(*arguments).compile()
        return program.as_text() or "", lambda: jax.block_until_ready(program(*arguments))

    return compiled, chunk.updates


def profiled(batch_size: int) -> dict[str, Any]:
    """Microseconds per update: without the profiler, and of each kernel."""
    import jax

    compiled, updates = loop_of(batch_size)
    _, call = compiled({})
    alone = min(_timed(call) for _ in range(9)) / updates * 1e6
    text, call = compiled(PROFILED)
    call()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(CALLS):
                call()
        events = _events(Path(folder))
    operations = _operations(text)
    durations: dict[str, list[float]] = {}
    for event in events:
        if event.get("ph") == "X" and event["name"] in operations:
            durations.setdefault(event["name"], []).append(event["dur"])
    micros: collections.Counter[str] = collections.Counter()
    for name, each in durations.items():
        # The median: a kernel that was interrupted says nothing about kernels.
        micros[operations[name]] += statistics.median(each) * len(each) / CALLS / updates
    return {"batch_size": batch_size, "alone": alone, "kernels": dict(micros.most_common())}


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _events(folder: Path) -> list[dict[str, Any]]:
    path = next(folder.rglob("*.trace.json.gz"))
    events: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return events


def _operations(text: str) -> dict[str, str]:
    """What each instruction of the loop's body is for, products with their shapes."""
    body = next(
        part for part in re.split(r"\n(?=%)", text) if "dynamic-update-slice_fusion" in part
    )
    found = {}
    for name, shape, rest in re.findall(r"%([\w.\-]+) = (\S+) (.*)", body):
        if rest.startswith(IDLE):
            continue
        operation = re.search(r'op_name="([^"]*)"', rest)
        words = operation[1] if operation else name
        part = "backward" if "transpose(" in words else "forward" if "jvp(" in words else "update"
        found[name] = f"{part}: {words.rsplit('/', 1)[-1]} {re.sub(r'{.*', '', shape)}"
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks update_profile", description=__doc__
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    records = [profiled(int(size)) for size in options.sizes.split(",")]
    texts = []
    for line in records:
        kernels = list(line["kernels"].items())
        rest = sum(micros for _, micros in kernels[SHOWN:])
        rows: list[list[object]] = [[name, f"{micros:.2f}"] for name, micros in kernels[:SHOWN]]
        rows += [[f"{max(0, len(kernels) - SHOWN)} smaller ones", f"{rest:.2f}"]]
        rows += [["together, profiled", f"{sum(line['kernels'].values()):.2f}"]]
        rows += [["an update, not profiled", f"{line['alone']:.2f}"]]
        head = f"Microseconds of an update, mlp, batch size {line['batch_size']}:\n\n"
        texts.append(head + measure.table(["kernels that end with", "µs"], rows))
    facts = {"measured": records}
    measure.record("update_profile", "\n\n".join(texts), facts, save=not options.no_save)


if __name__ == "__main__":
    main()
