"""Commands in a job of several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from descend.cli.app import main


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
