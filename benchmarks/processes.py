"""Updates per second in 1, 2 and 4 processes, against torch DistributedDataParallel with Gloo.

The network and the table of `epoch_speed` and a wide network, momentum. Both take turns: a job of
ours, a job of torch's, for each number of processes, and all again. A job measures all batch sizes;
each of its figures is the median of several repeats, and torch gathers its rows from memory as we
do. What counts is the ratio within a turn. Turns begin while they can be expected to end in time.

Both are measured without messages too: gradients that are not summed (`no_sync`), and weights that
are averaged every 512 updates. Torch's seconds with messages over ours without them are the most
that hiding or shortening messages could give.

On a machine that does other work, `--clock processor` measures processor seconds of process 0 in
place of seconds: what its arithmetic and its messages cost, without the time it waits for a core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

# The jobs run this file by its path.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import measure

NETWORKS = {
    "default": ((128, 64), (128, 1024, 8192, 65536)),
    "wide": ((1024, 1024), (128, 1024)),
}
"""Hidden layers, and batch sizes; with larger ones an update of the wide network takes seconds."""
AT_LEAST = 1.5
"""Times torch's updates per second that are wanted."""
MOST_WORK = 3e10
"""Multiplications of a repeat of torch's, at most: a wide network has fewer updates in it."""
HARDLY_EVER = 512
"""Updates between two averages where messages are to cost nothing."""
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
CLOCK = "DESCEND_BENCHMARK_CLOCK"
"""The variable that tells a job which of the clocks it reads."""


def ours(
    hidden: tuple[int, ...],
    sizes: Sequence[int],
    out: Path,
    meetings: Sequence[int] = (1, 16, HARDLY_EVER),
) -> None:
    """Measure as one of the processes of a job of ours; process 0 writes.

    Seconds per update by `batch size/updates between two averages`, and of several processes those
    of an all-reduce of one number and of the `bytes` of the gradient.
    """
    import jax

    from benchmarks.epoch_speed import training_of
    from benchmarks.problems import made_table
    from descend.runtime.synchrony import seconds_together
    from descend.training.processes.link import lower_quartile, measured_link, seconds_of_sum
    from descend.training.processes.place import this_place

    problem, place = training_of(made_table(hidden=hidden)), this_place()
    state = problem.begin().state
    found = {}
    for size in sizes:
        for every in meetings:
            clock = CLOCKS[os.environ.get(CLOCK, "wall")]
            repeats = seconds_together(problem, state, size, place, every, clock)
            found[f"{size}/{every}"] = statistics.median(repeats)
    if place.count > 1:
        floats = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        link, much = measured_link(lower_quartile), seconds_of_sum(floats, statistics.median)
        found |= {"link": link, "much": much, "bytes": 4 * floats}
    if place.first:
        out.write_text(json.dumps(found))


def torchs(
    index: int, count: int, port: int, hidden: tuple[int, ...], sizes: Sequence[int], out: Path
) -> None:
    """Measure as one of the processes of a job of torch's; process 0 writes."""
    import numpy as np
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.problems import made_table

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    torch.distributed.init_process_group("gloo", rank=index, world_size=count)
    table = made_table(hidden=hidden)
    x, y = torch.from_numpy(table.x), torch.from_numpy(table.y.reshape(-1, 1).copy())
    layers: list[Any] = []
    widths = [x.shape[1], *hidden]
    for before, after in itertools.pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))
    model = DistributedDataParallel(network) if count > 1 else network
    rule = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    random, found, clock = np.random.default_rng(0), {}, CLOCKS[os.environ.get(CLOCK, "wall")]
    for size in sizes:
        share = -(-size // count)
        # The same number of updates everywhere: they wait for each other.
        work = 3 * share * sum(before * after for before, after in itertools.pairwise(widths))
        updates = max(4, min(400, 40_000 // share, int(MOST_WORK / work)))
        for summed, repeat in itertools.product((True, False), range(4)):
            started = clock()
            with model.no_sync() if count > 1 and not summed else nullcontext():
                for _ in range(updates):
                    rows = torch.from_numpy(random.integers(0, len(x), share))
                    rule.zero_grad()
                    torch.nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
                    rule.step()
            if repeat:
                key = f"{size}/{1 if summed else HARDLY_EVER}"
                found.setdefault(key, []).append((clock() - started) / updates)
    if index == 0:
        out.write_text(json.dumps({size: statistics.median(all_) for size, all_ in found.items()}))
    # Process 0 has the store of the job: it must not end while another one still asks it.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def job(kind: str, count: int, hidden: tuple[int, ...], sizes: Sequence[int]) -> dict[str, float]:
    """Seconds per update that a job measured."""
    from descend.runtime.launch import free_port

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        asked = [json.dumps(list(hidden)), json.dumps(list(sizes)), str(out)]
        if kind == "ours":
            program = [sys.executable, "-m", "descend", "run", "--processes", str(count)]
            subprocess.run([*program, __file__, "--", "ours", *asked], check=True)
        else:
            port, program = str(free_port()), [sys.executable, __file__, "torchs"]
            together([[*program, *asked, str(index), str(count), port] for index in range(count)])
        found: dict[str, float] = json.loads(out.read_text())
        return found


def together(commands: Sequence[Sequence[str]]) -> None:
    """Run the processes of a job; where one fails, end the others and show what it said.

    Raises:
        RuntimeError: one failed.
    """
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        started = [
            subprocess.Popen(command, stderr=file)
            for command, file in zip(commands, said, strict=True)
        ]
        try:
            while any(one.poll() is None for one in started) and not any(
                one.poll() for one in started
            ):
                time.sleep(0.05)
        finally:
            for one in started:
                if one.poll() is None:
                    one.kill()
                one.wait()
        for index, (one, file) in enumerate(zip(started, said, strict=True)):
            # Those that were ended here are not the ones that failed.
            if one.returncode not in (0, -signal.SIGKILL):
                file.seek(0)
                words = file.read()[-4000:].decode("utf-8", "replace")
                raise RuntimeError(f"process {index} ended with {one.returncode}: {words}")
        if any(one.returncode for one in started):
            raise RuntimeError("a process was killed; is there enough memory?")


def report(turns: Sequence[dict[str, Any]]) -> str:
    """The table of all turns so far."""
    lines, missed = [], 0
    for key in turns[0]:
        network, count, size = key.split("/")
        mine, seldom, other = (
            [turn[key][kind] for turn in turns] for kind in ("ours", "seldom", "torch")
        )
        alone, other_alone = (
            statistics.median(turn[key][kind] for turn in turns)
            for kind in ("ours_alone", "torch_alone")
        )
        most = statistics.median(turn[key]["torch"] / turn[key]["ours_alone"] for turn in turns)
        found = measure.ratio(other, mine)
        missed += found.median < AT_LEAST
        updates = 1 / statistics.median(mine)
        lines.append(
            (
                *(network, count, size),
                *(f"{updates:,.1f}", f"{updates * int(size):,.0f}"),
                *(f"{1 / statistics.median(times):,.1f}" for times in (seldom, other)),
                *(f"{1 / seconds:,.1f}" for seconds in (alone, other_alone)),
                f"{found}{'' if found.median >= AT_LEAST else ': MISSED'}",
                f"{most:.2f}",
            )
        )
    heads = ("network", "processes", "batch", "updates/s", "rows/s", "updates/s, --sync-every 16")
    heads = (*heads, "torch's updates/s", "ours without messages", "torch's without")
    found = measure.table((*heads, "ours / torch's", "without our messages"), lines)
    return (
        f"Medians of {len(turns)} turns. Wanted are {AT_LEAST} times torch's updates per second "
        f"(DistributedDataParallel, Gloo): missed in {missed} of {len(lines)}.\n\n{found}"
    )


def main(arguments: list[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="At most.")
    parser.add_argument("--minutes", type=float, default=7.0, help="Within which turns begin.")
    parser.add_argument("--counts", default="1,2,4")
    parser.add_argument("--sizes", help="Batch sizes in place of those of each network.")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--no-save", action="store_true")
    asked = parser.parse_args(arguments)
    os.environ[CLOCK] = asked.clock
    networks = {name: NETWORKS[name] for name in asked.networks.split(",")}
    if asked.sizes:
        sizes = tuple(int(size) for size in asked.sizes.split(","))
        networks = {name: (hidden, sizes) for name, (hidden, _) in networks.items()}
    began = time.monotonic()
    turns: list[dict[str, Any]] = []
    for number in measure.turns_within(asked.minutes, asked.turns):
        # Now one, now the other goes first: what comes second finds warmer caches.
        kinds = ("ours", "torchs") if number % 2 == 0 else ("torchs", "ours")
        turn = {}
        for name, (hidden, batches) in networks.items():
            for count in map(int, asked.counts.split(",")):
                found = {kind: job(kind, count, hidden, batches) for kind in kinds}
                mine, other = found["ours"], found["torchs"]
                for size in batches:
                    turn[f"{name}/{count}/{size}"] = {
                        "ours": mine[f"{size}/1"],
                        "seldom": mine[f"{size}/16"],
                        "torch": other[f"{size}/1"],
                        "ours_alone": mine[f"{size}/{HARDLY_EVER}"],
                        "torch_alone": other[f"{size}/{HARDLY_EVER}"],
                    }
                print(f"{name}, {count} processes: {time.monotonic() - began:.0f} s", flush=True)
        turns.append(turn)
        # Kept after every turn: nothing is lost if the next one does not end.
        measure.record("processes", report(turns), {"turns": turns}, save=not asked.no_save)
    return 0


if __name__ == "__main__":
    kind, layers, batches, out, *rest = sys.argv[1:]
    shape, batch_sizes = tuple(json.loads(layers)), json.loads(batches)
    if kind == "ours":
        ours(shape, batch_sizes, Path(out))
    elif kind == "exact":
        ours(shape, batch_sizes, Path(out), meetings=(1,))
    else:
        torchs(*map(int, rest), shape, batch_sizes, Path(out))
