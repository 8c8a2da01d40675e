"""The browser is installed where that can be done, and the reason is told where it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import install_browser
from tests.install_browser import installed, main

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux"\nID=debian\n'
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"
NEEDS_UPDATE = 'case "$*" in *update*) touch updated;; *) test -e updated;; esac'


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian whose programs are those of a folder, where we are root."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "os-release").write_text(DEBIAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def program(system: Path, name: str, script: str) -> None:
    path = system / "bin" / name
    path.write_text(f'#!/bin/sh\necho "$@" >> {system}/typed\n{script}\n')
    path.chmod(0o755)


def test_the_packages_are_fetched_then_installed(system: Path) -> None:
    program(system, "apt-get", "exit 0")
    assert installed(system / "os-release") is None
    fetched, done = (system / "typed").read_text().splitlines()
    assert fetched.endswith("--no-install-recommends install chromium chromium-driver "
                            "--download-only")  # fmt: skip
    assert done.endswith("--no-download")


def test_an_old_list_of_packages_is_renewed(system: Path) -> None:
    program(system, "apt-get", NEEDS_UPDATE)
    assert installed(system / "os-release") is None
    assert len((system / "typed").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'E: Could not resolve host' >&2; exit 100", "Could not resolve host"),
        ("sleep 60", "no answer"),
        ('case "$*" in *no-download*) exit 7;; esac', "exit status 7"),
    ],
)
def test_what_fails_is_told(system: Path, script: str, words: str) -> None:
    program(system, "apt-get", script)
    assert words in str(installed(system / "os-release", patience=0.3))


def test_other_systems_and_other_users_are_left_alone(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(system, "apt-get", "exit 0")
    (system / "os-release").write_text(UBUNTU)
    assert "not Debian" in str(installed(system / "os-release"))
    assert "not Debian" in str(installed(system / "none"))
    (system / "os-release").write_text(DEBIAN)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program(system, "sudo", "exit 1")
    assert "sudo apt-get install" in str(installed(system / "os-release"))
    assert not [line for line in (system / "typed").read_text().splitlines() if "install" in line]


def test_it_says_what_it_did_and_never_fails(
    system: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_browser, "missing_browser", lambda: "there is none")
    monkeypatch.setattr(install_browser, "installed", lambda: "there is no network")
    monkeypatch.delenv("SKIP_BROWSER", raising=False)
    main()
    assert "will be skipped: there is no network." in capsys.readouterr().out
    monkeypatch.setenv("SKIP_BROWSER", "1")
    main()
    assert "nothing is installed" in capsys.readouterr().out
    monkeypatch.setattr(install_browser, "missing_browser", lambda: None)
    main()
    assert capsys.readouterr().out == ""
