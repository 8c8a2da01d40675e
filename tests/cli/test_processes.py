"""Commands in a job of several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from descend.cli.app import main
from descend.runtime.launch import free_port


@pytest.mark.parametrize(
    "command",
    [
        "compare t.csv --target y",
        "landscape double-well",
        "advise t.csv --target y",
        "predict run t.csv -o p.csv",
        "train t.csv --target y --ray auto --out run",
    ],
)
def test_what_one_process_does_is_refused_in_several(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setattr("sys.argv", ["descend", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "works in one process; this job has 4" in said
    assert said.startswith("descend (process 1 of 4): ")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"DESCEND_PROCESSES": "two"}, "DESCEND_PROCESSES must be a whole number from 1"),
        ({"DESCEND_PROCESS": "2"}, "number 2 (counted from 0) of a job of 2"),
        ({"DESCEND_COORDINATOR": "first"}, "as host:port, but found 'first'"),
        ({"DESCEND_COORDINATOR": "first:99999"}, "as host:port, but found 'first:99999'"),
        ({"DESCEND_COORDINATOR": "no-such-host.invalid:61440"}, "is not known here"),
        ({"DESCEND_INTERFACE": "192.0.2.1"}, "DESCEND_INTERFACE must be an address of this host"),
        ({"DESCEND_DEADLINE": "soon"}, "DESCEND_DEADLINE must be a number of seconds above 0"),
    ],
)
def test_a_wrong_start_is_one_sentence(
    wrong: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    monkeypatch.chdir(tmp_path)
    started = {
        "DESCEND_PROCESSES": "2",
        "DESCEND_PROCESS": "0",
        "DESCEND_COORDINATOR": f"127.0.0.1:{free_port()}",
        "DESCEND_DEADLINE": "1",
    }
    for name, value in (started | wrong).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["descend", "train", "t.csv", "--target", "y", "--out", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_program_reads_of_options_as_python_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from descend.errors import option_text\nprint(option_text('batch_size', 8))\n"
    )
    monkeypatch.setattr("sys.argv", ["descend", "run", str(program)])
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().out == "batch_size=8\n"
