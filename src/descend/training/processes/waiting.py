"""Before several processes join each other: whether they can, and what a process waits for."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from descend.errors import InputError
from descend.training.processes.starters import COORDINATOR, COUNT, INDEX, INTERFACE, Job
from descend.training.processes.watch import SLOW, deadline

LONGEST = 300.0
"""Seconds that a process waits for the others to start."""
_EACH = 1.0
"""Seconds between two questions for the address of a name."""


def check_addresses(job: Job) -> None:
    """Raise InputError where a process cannot listen where it has to, or finds no process 0.

    A host may get its name later than this one starts, so that is asked for again and again.
    """
    host, _, port = job.coordinator.rpartition(":")
    if job.index == 0:
        _check_listening(job.interface, int(port), job.coordinator)
    elif job.interface is not None:
        _check_listening(job.interface, 0, job.coordinator)
    _wait_for_name(host.strip("[]"), deadline() if job.index == 0 else LONGEST)


def _check_listening(interface: str | None, port: int, coordinator: str) -> None:
    """Raise InputError where no process can listen at a port; 0 stands for any free one."""
    try:
        found = socket.getaddrinfo(
            interface, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        with socket.socket(family, kind, protocol) as one:
            # A job that has just ended does not count.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"Process 0 waits for the others at {coordinator}, but another program listens at "
                f"port {port} of this host. Set {COORDINATOR} to another port, the same in every "
                "process."
            ) from error
        if error.errno == errno.EACCES:
            raise InputError(
                f"Port {port} of {coordinator} may not be used: {error.strerror}. Set "
                f"{COORDINATOR} to one above 1023."
            ) from error
        raise InputError(
            f"{INTERFACE} must be an address of this host, at which the other processes reach it; "
            f"found {interface!r}: {error.strerror or error}."
        ) from error


def _wait_for_name(host: str, longest: float) -> None:
    """Wait until the name of a host has an address."""
    started = time.monotonic()
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            if time.monotonic() - started > longest:
                raise InputError(
                    f"The host {host!r}, at which process 0 waits for the others, is not known "
                    f"here: {error.strerror or error}. Set {COORDINATOR} to a name or an address "
                    "of the host of process 0."
                ) from error
        time.sleep(_EACH)


@contextmanager
def telling_of_waiting(
    job: Job,
    say: Callable[[str], None] | None = None,
    end: Callable[[int], object] = os._exit,
) -> Iterator[None]:
    """Within this block it is said after a while, and then more seldom, what is waited for.

    After `LONGEST` seconds this process ends. JAX would end it with a trace of its own stack.

    Args:
        job: that this process belongs to.
        say: shows a text.
        end: ends this process.
    """
    say = say or _to_stderr
    over = threading.Event()

    def tell() -> None:
        waited, pause = 0.0, SLOW
        while not over.wait(pause):
            waited += pause
            pause = min(waited, LONGEST - waited)
            say(
                f"Process {job.index} of {job.count} has waited for {waited:.0f} seconds for "
                f"{'the others' if job.index == 0 else 'process 0 and the others'} at "
                f"{job.coordinator}{'.' if pause > 0 else ', and ends.'} All {job.count} have to "
                f"be started, and to reach that address; started by hand, each needs "
                f"{COUNT}={job.count}, its own {INDEX} from 0 to {job.count - 1}, and the same "
                f"{COORDINATOR}."
            )
            if pause <= 0:
                end(InputError.exit_status)
                return

    threading.Thread(target=tell, daemon=True, name="descend waiting").start()
    try:
        yield
    finally:
        over.set()


def _to_stderr(text: str) -> None:
    print(f"descend: {text}", file=sys.stderr, flush=True)
