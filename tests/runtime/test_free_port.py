"""The port of process 0 stays free until process 0 listens there."""

from __future__ import annotations

import random
import socket

import pytest

from descend.runtime import launch
from descend.training.processes.starters import FIRST_PORT, LOOPBACK, PORTS


def test_it_is_none_that_the_system_gives_to_others() -> None:
    assert FIRST_PORT <= launch.free_port() < FIRST_PORT + PORTS


def test_two_programs_with_the_same_seed_find_different_ports() -> None:
    found = set()
    for _ in range(6):
        random.seed(0)
        found.add(launch.free_port())
    assert len(found) > 1


def test_used_ports_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as used:
        used.bind((LOOPBACK, 0))
        monkeypatch.setattr(launch, "FIRST_PORT", used.getsockname()[1])
        monkeypatch.setattr(launch, "PORTS", 1)
        monkeypatch.setattr(launch, "MOST_TRIED", 1)
        assert launch.free_port() != used.getsockname()[1]
