"""Several processes on this machine, started by one command: `--processes 4`."""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from descend.errors import LostProcessError, what_after_a_loss
from descend.training.processes.starters import (
    COORDINATOR,
    CORES,
    COUNT,
    FIRST_PORT,
    INDEX,
    LOOPBACK,
    PORTS,
    WATCHED,
)

GRACE = 5.0
"""Seconds that the other processes have to end by themselves once one has ended."""
MOST_TRIED = 100
"""Ports that are tried for one that is free."""
MOST_SAID = 4000
"""Bytes of what a process said that are shown when it failed."""
LOST = LostProcessError.exit_status


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run a command in several processes that train together, and return its exit status.

    The processes share the processor cores out among themselves. Where one ends with an error, the
    others cannot go on without it and are ended too.

    Args:
        count: of processes.
        arguments: of the command line, without `--processes`.

    Returns:
        The exit status of process 0, or that of the first process that failed.
    """
    coordinator = f"{LOOPBACK}:{free_port()}"
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT,)}
    processes: list[subprocess.Popen[bytes]] = []
    # What the others say is what process 0 says, unless they alone fail.
    said = [tempfile.TemporaryFile() for _ in range(1, count)]  # noqa: SIM115 - closed below
    try:
        for index in range(count):
            environment = os.environ | {
                COORDINATOR: coordinator,
                COUNT: str(count),
                INDEX: str(index),
                WATCHED: "1",
            }
            if cores:
                own = cores[index % len(cores) :: count] or cores
                environment[CORES] = ",".join(map(str, own))
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "descend", *arguments],
                    env=environment,
                    stdout=None if index == 0 else subprocess.DEVNULL,
                    stderr=None if index == 0 else said[index - 1],
                )
            )
        # Ctrl-C in a terminal reaches them by itself as well, which they take for one wish.
        signal.signal(signal.SIGINT, _passing_on(processes))
        before |= {signal.SIGTERM: signal.signal(signal.SIGTERM, _passing_on(processes))}
        return _wait(processes, said)
    finally:
        for one in processes:
            if one.poll() is None:
                one.kill()
                one.wait()
        for file in said:
            file.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _passing_on(processes: Sequence[subprocess.Popen[bytes]]) -> Any:
    def handle(number: int, frame: Any) -> None:
        for one in processes:
            if one.poll() is None:
                one.send_signal(number)

    return handle


def _wait(processes: Sequence[subprocess.Popen[bytes]], said: Sequence[IO[bytes]]) -> int:
    """Wait until all have ended; once one has failed, end the others after some seconds."""
    deadline = math.inf
    lost: set[int] = set()
    while any(one.poll() is None for one in processes):
        _mark_aborted(processes, lost)
        if math.isinf(deadline) and any(one.poll() for one in processes):
            deadline = time.monotonic() + GRACE
        if time.monotonic() > deadline:
            # These are no failures of their own.
            for one in processes:
                if one.poll() is None:
                    one.kill()
                    one.wait()
                    one.returncode = LOST
        time.sleep(0.02)
    _mark_aborted(processes, lost)
    failed = {index: one.returncode for index, one in enumerate(processes) if one.returncode}
    # A process that lost another one ends with LOST: it is not the one that failed first.
    culprits = {index: status for index, status in failed.items() if status != LOST} or failed
    if not failed:
        return 0
    index, status = next(iter(culprits.items()))
    if status == LOST:
        # Where process 0 is the one that the others lost, one of them has said so.
        for file in said:
            file.seek(0)
            for line in file.read().splitlines(keepends=True):
                if line.startswith(b"descend: Process "):
                    sys.stderr.write(line.decode("utf-8", "replace"))
        return LOST
    if status > 0 and index == 0:
        # Process 0 has said why.
        return status
    if index and status > 0:
        said[index - 1].seek(0)
        sys.stderr.write(said[index - 1].read()[-MOST_SAID:].decode("utf-8", "replace"))
    how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
    print(
        f"descend: Process {index} of {len(processes)} {how}; the others cannot go on without it "
        f"and were ended. {what_after_a_loss(len(processes))} "
        f"(descend resume RUN --processes {len(processes)})",
        file=sys.stderr,
    )
    return status if status > 0 else 128 - status


def _mark_aborted(processes: Sequence[subprocess.Popen[bytes]], lost: set[int]) -> None:
    """Count a process that JAX aborted because it lost process 0 as one that lost another.

    Args:
        processes: all; those aborted after another one had ended for want of a third get its
            status.
        lost: those that had ended so at the last call; filled here.
    """
    for one in processes:
        if lost and one.pid not in lost and one.poll() == -signal.SIGABRT:
            one.returncode = LOST
    lost.update(one.pid for one in processes if one.poll() == LOST)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses, nor is likely to before it is bound.

    Process 0 listens there only some seconds later. So it is none of those that the system gives
    to whoever opens a connection meanwhile, as long as others are free.
    """
    # Not by the random numbers of the program, which may be those of another one too.
    others = random.SystemRandom().sample(range(FIRST_PORT, FIRST_PORT + PORTS), MOST_TRIED)
    for port in (*others, 0):
        with socket.socket() as one, suppress(OSError):
            one.bind((LOOPBACK, port))
            found: int = one.getsockname()[1]
            return found
    raise OSError("There is no free TCP port.")
