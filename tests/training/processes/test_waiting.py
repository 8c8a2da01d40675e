"""What keeps processes from joining each other is said before they wait."""

from __future__ import annotations

import socket
import threading

import pytest

from descend.errors import InputError
from descend.training.processes import waiting
from descend.training.processes.starters import Job
from descend.training.processes.waiting import check_addresses, telling_of_waiting


def job(coordinator: str, index: int = 0, interface: str | None = None) -> Job:
    """One of two processes."""
    return Job("DESCEND_PROCESSES", index, 2, 0, coordinator, interface)


@pytest.mark.parametrize("interface", [None, "127.0.0.1"])
def test_a_port_that_another_program_has(interface: str | None) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"another program listens at port {port} "):
            check_addresses(job(f"127.0.0.1:{port}", 0, interface))
        # That it is taken is right for the others.
        check_addresses(job(f"127.0.0.1:{port}", 1, interface))
    check_addresses(job(f"127.0.0.1:{port}", 0, interface))


@pytest.mark.parametrize("index", [0, 1])
def test_an_address_of_another_host(index: int) -> None:
    # 192.0.2.0/24 is for documentation.
    with pytest.raises(InputError, match="DESCEND_INTERFACE must be an address of this host"):
        check_addresses(job("127.0.0.1:61440", index, "192.0.2.77"))


@pytest.mark.parametrize("index", [0, 1])
def test_a_name_that_comes_late_or_never(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[str] = []
    found = socket.getaddrinfo

    def look_up(host: str | None, port: int | None, **options: object) -> object:
        if host != "head":
            return found(host, port, **options)  # type: ignore[arg-type]
        known.append(host)
        if len(known) < 3:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(waiting, "_EACH", 0.001)
    check_addresses(job("head:61440", index))
    assert len(known) == 3
    known.clear()
    monkeypatch.setattr(waiting, "LONGEST", 0.0)
    monkeypatch.setattr(waiting, "deadline", lambda: 0.0)
    with pytest.raises(InputError, match="The host 'head', at which process 0 waits"):
        check_addresses(job("head:61440", index))


def test_a_process_that_waits_for_long_says_for_whom_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "SLOW", 0.02)
    monkeypatch.setattr(waiting, "LONGEST", 0.1)
    said: list[str] = []
    statuses: list[int] = []
    ended = threading.Event()

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    with telling_of_waiting(job("head:61440", 1), said.append, end):
        assert ended.wait(60)
    # After 20, 40, 80 and 100 milliseconds.
    assert len(said) == 4
    assert "Process 1 of 2 has waited" in said[0]
    assert "for process 0 and the others at head:61440." in said[0]
    assert "at head:61440, and ends." in said[-1]
    assert statuses == [2]
