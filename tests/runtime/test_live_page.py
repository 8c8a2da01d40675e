"""The live page over HTTP, event files, and pages built again from records."""

from __future__ import annotations

import json
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.commands.report import report
from descend.commands.resume import resume
from descend.commands.train import train
from descend.errors import InputError, InterruptedRunError
from descend.io.event_files import EventWriter, crc32c
from descend.reporting.progress import make_progress
from descend.runtime import live_page
from descend.runtime.live_page import LOOPBACK, MOST_READERS, SECONDS_BETWEEN, LivePage
from descend.runtime.run import Options
from descend.runtime.table_run import Run
from descend.runtime.tensorboard import TensorBoard
from descend.settings import Settings
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.types import History, HistoryLine, StopReason

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetched(address: str, **headers: str) -> tuple[str, Any]:
    with OPENER.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        return answer.read().decode(), answer.headers


class Looking(Callback):
    """Fetches the live page at every evaluation, as a browser would."""

    def __init__(self, page: LivePage) -> None:
        self.page = page
        self.seen: list[tuple[str, Any]] = []

    def begin(self, record: Any, folder: Path | None, history: History) -> None:
        self.seen.append(fetched(self.page.address))

    def evaluation(self, loop: LoopState) -> None:
        self.seen.append(fetched(self.page.address))

    def finish(self, record: Any, history: History) -> None:
        self.seen.append(fetched(self.page.address))


def trained(folder: Path, *callbacks: Any, seed: int = 0, data: Any = None) -> Run:
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 3))
    settings = Settings(
        "y",
        model="linear",
        batch_size=16,
        learning_rate=0.01,
        optimizer="sgd",
        epochs=4,
        seed=seed,
    )
    return train(
        (X, X @ [1.0, 2.0, 3.0]) if data is None else data,
        settings,
        Options(make_progress("silent"), callbacks, folder),
    )


def test_the_page_grows_while_a_run_trains(tmp_path: Path) -> None:
    said: list[str] = []
    page = LivePage(said.append, stay=0.1)
    looking = Looking(page)
    run = trained(tmp_path / "run", page, looking)
    lengths = [updates_in(content) for content, _ in looking.seen]
    assert lengths[0] == 0
    # A single evaluation is no chart.
    assert lengths[1:-1] == [0, *range(2, len(run.history) + 1)]
    # Only a page of a run that goes on asks for itself again, and may ask nobody else.
    for content, _ in looking.seen[:-1]:
        assert f'data-live="{SECONDS_BETWEEN}"' in content
        assert "connect-src 'self';" in content
    assert "data-live=" not in looking.seen[-1][0]
    assert "connect-src" not in looking.seen[-1][0]
    assert said == [
        f"Live page: {page.address}",
        "The live page stays for 0.1 seconds more.",
    ]
    # The run is over: nobody listens any more.
    with pytest.raises(urllib.error.URLError):
        fetched(page.address)
    assert looking.seen[-1][0] == (tmp_path / "run" / "report.html").read_text()


class Ended(Callback):
    """Fetches the live page once the last update is done."""

    def __init__(self, page: LivePage) -> None:
        self.page, self.seen = page, ""

    def end(self, loop: LoopState, reason: StopReason) -> None:
        self.seen, _ = fetched(self.page.address)


def test_the_page_does_not_say_that_a_model_being_assessed_is_still_training(
    tmp_path: Path,
) -> None:
    page = LivePage(stay=0)
    ended = Ended(page)
    trained(tmp_path / "run", page, ended)
    assert "Training has ended. The model is being assessed." in ended.seen
    assert "Training is running." not in ended.seen
    assert "Time left" not in ended.seen
    assert "data-live=" in ended.seen


class Pressing(Looking):
    """Presses Ctrl-C after some evaluations."""

    def evaluation(self, loop: LoopState) -> None:
        super().evaluation(loop)
        if len(loop.history) == 3:
            signal.raise_signal(signal.SIGINT)


def test_a_run_that_goes_on_is_followed_from_what_it_had_learned(tmp_path: Path) -> None:
    data = tmp_path / "table.csv"
    X = np.random.default_rng(0).normal(size=(200, 3))
    rows = np.column_stack([X, X @ [1.0, 2.0, 3.0]])
    np.savetxt(data, rows, delimiter=",", header="a,b,c,y", comments="")
    page = LivePage()
    with pytest.raises(InterruptedRunError):
        trained(tmp_path / "run", page, Pressing(page), data=str(data))
    page = LivePage(stay=0)
    looking = Looking(page)
    run = resume(tmp_path / "run", Options(make_progress("silent"), (page, looking)))
    lengths = [updates_in(content) for content, _ in looking.seen]
    assert lengths[0] >= 3
    assert lengths[1:-1] == list(range(lengths[0] + 1, len(run.history) + 1))
    assert looking.seen[-1][0] == (tmp_path / "run" / "report.html").read_text()
    assert "This page follows the run." in looking.seen[0][0]


def updates_in(page: str) -> int:
    """Points of the validation curve in the figures of a page."""
    start = page.index(">", page.index('id="figures"')) + 1
    figures = json.loads(page[start : page.index("</script>", start)])
    if "loss" not in figures:
        return 0
    return len(figures["loss"]["data"][0]["x"])


def test_only_this_machine_is_answered() -> None:
    page = LivePage()
    page.begin(record_with("y"), None, ())
    try:
        assert page._server is not None
        assert page._server.server_address[0] == LOOPBACK == "127.0.0.1"
        for address, host in (
            (page.address, "evil.example"),
            (page.address + "run.json", None),
        ):
            with pytest.raises(urllib.error.HTTPError):
                fetched(address, **({"Host": host} if host else {}))
    finally:
        page.close()


class Silent(Callback):
    """Readers who take all places and say nothing, half a request, or never read the answer."""

    def __init__(self, page: LivePage) -> None:
        self.page = page
        self.sockets: list[socket.socket] = []
        self.answered = False

    def begin(self, record: Any, folder: Path | None, history: History) -> None:
        port = int(self.page.address.rsplit(":", 1)[1].rstrip("/"))
        asked = f"GET / HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n\r\n".encode()
        for said in (b"", asked[:9], asked) * MOST_READERS:
            self.sockets.append(socket.create_connection((LOOPBACK, port)))
            self.sockets[-1].sendall(said)

    def finish(self, record: Any, history: History) -> None:
        for _ in range(200):
            try:
                fetched(self.page.address)
            except OSError:
                time.sleep(0.05)
            else:
                self.answered = True
                return


@pytest.mark.slow
def test_readers_who_say_nothing_neither_stop_a_run_nor_keep_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_page, "SECONDS_TO_ASK", 0.2)
    page = LivePage(stay=0)
    silent = Silent(page)
    run = trained(tmp_path / "run", page, silent)
    assert run.folder is not None
    assert run.history[-1].epoch == 4
    assert silent.answered
    assert "Traceback" not in capfd.readouterr().err
    for one in silent.sockets:
        one.close()


def test_names_in_the_data_cannot_become_markup() -> None:
    page = LivePage()
    page.begin(record_with(EVIL), None, ())
    try:
        content, _ = fetched(page.address)
    finally:
        page.close()
    assert "<img src=x" not in content
    assert "<script>alert" not in content


def record_with(target: str) -> dict[str, Any]:
    options = Settings(target, batch_size=8, learning_rate=0.1).as_json()
    rows = {"total": 10, "training": 9, "validation": 1, "missing_target": 0, "unweighted": 0}
    column = {
        "name": target, "type": "VARCHAR", "becomes": "categories", "values": target,
        "remark": "", "missing": 0, "distinct": 2,
    }  # fmt: skip
    return {
        "state": "running",
        "asked": options,
        "settings": options,
        "data": {
            "source": target, "rows": rows, "columns": [column], "warnings": [target],
            "task": "regression", "task_reason": target, "fingerprint": {}, "layout": {},
        },
        "versions": {},
        "device": {},
    }  # fmt: skip


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    page = LivePage()
    trained(tmp_path / "run", page)
    assert threading.active_count() <= before + 1


def events(path: Path) -> list[bytes]:
    content, place, found = path.read_bytes(), 0, []
    while place < len(content):
        head = content[place : place + 8]
        (length,) = struct.unpack("<Q", head)
        event = content[place + 12 : place + 12 + length]
        for part, start in ((head, place + 8), (event, place + 12 + length)):
            value = crc32c(part)
            masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", content[start : start + 4])[0] == masked
        found.append(event)
        place += 16 + length
    return found


def test_event_files(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", TensorBoard())
    (path,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    found = events(path)
    assert b"brain.Event:2" in found[0]
    assert len(found) == 1 + len(run.history)
    loss = struct.pack("<f", run.history[-1].validation_loss)
    assert b"loss/validation" in found[-1]
    assert loss in found[-1]


def test_an_event_byte_by_byte(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    nothing = float("nan")
    writer.add(HistoryLine(300, nothing, 0, 0.0, nothing, 0.5, 8, nothing))
    writer.close()
    (path,) = tmp_path.iterdir()
    event = events(path)[1][9:]
    scalar = b"\x0a\x0floss/validation\x15\x00\x00\x00\x3f"
    examples = b"\x0a\x11progress/examples\x15\x00\x00\x00\x00"
    values = b"".join(b"\x0a" + bytes([len(one)]) + one for one in (scalar, examples))
    assert event == b"\x10\xac\x02" + b"\x2a" + bytes([len(values)]) + values


def test_pages_are_built_again_from_the_records(tmp_path: Path) -> None:
    trained(tmp_path / "one")
    trained(tmp_path / "two", seed=1)
    page = tmp_path / "one" / "report.html"
    before = page.read_text()
    page.unlink()
    assert report([tmp_path / "one"]) == page
    assert page.read_text() == before
    both = report([tmp_path / "one", tmp_path / "two"], tmp_path / "both.html").read_text()
    assert "2 runs" in both
    assert str(tmp_path / "two") in both
    with pytest.raises(InputError, match="twice"):
        report([tmp_path / "one", tmp_path / "one"])
    with pytest.raises(InputError, match="run directory"):
        report([tmp_path])


@pytest.mark.slow
def test_the_plots_of_pages_are_saved_as_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = trained(tmp_path / "one")
    trained(tmp_path / "two", seed=1)
    for folders in ([tmp_path / "one"], [tmp_path / "one", tmp_path / "two"]):
        pictures = tmp_path / f"pictures-{len(folders)}"
        report(folders, tmp_path / "page.html", pictures)
        names = {path.name for path in pictures.iterdir()}
        assert {"loss.png", "learning-rate.png"} <= names
        assert ("importance.png" in names) == (len(folders) == 1)
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures.iterdir())
    # Two runs are not drawn as one.
    both, alone = (tmp_path / f"pictures-{count}" / "loss.png" for count in (2, 1))
    assert both.read_bytes() != alone.read_bytes()
    (tmp_path / "compare.json").write_text("{}")
    with pytest.raises(InputError, match="holds a record of descend compare"):
        report([tmp_path / "one", tmp_path])
    assert run.folder is not None
    with pytest.raises(InputError, match="page"):
        report([run.folder], pictures=tmp_path / "page.html")
