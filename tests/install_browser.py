"""Brings Debian's Chromium where the browser tests find none; says so where it cannot.

Run by `make test` before the tests. It never fails: without a browser the tests that need one are
skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.browser import missing_browser

PACKAGES = ("chromium", "chromium-driver")
OS_RELEASE = Path("/etc/os-release")
PATIENCE = 180.0
"""Seconds for the download, which can be stopped; an installation is never broken off."""
QUICK = (
    "-o", "Acquire::Retries=0",
    "-o", "Acquire::http::Timeout=15",
    "-o", "Acquire::https::Timeout=15",
    "-o", "DPkg::Lock::Timeout=20",
)  # fmt: skip


def main() -> None:
    """Install the browser if there is none, and say what came of it."""
    if missing_browser() is None:
        return
    if os.environ.get("SKIP_BROWSER"):
        print("Browser tests: SKIP_BROWSER is set, nothing is installed.")
        return
    print(f"Browser tests: installing {' and '.join(PACKAGES)} ...", flush=True)
    why = installed() or missing_browser()
    print(f"Browser tests will be skipped: {why}." if why else "Browser tests: installed.")


def installed(os_release: Path = OS_RELEASE, patience: float = PATIENCE) -> str | None:
    """Install the packages; why it could not be done, or None.

    Args:
        os_release: where the system says what it is.
        patience: seconds for the download.
    """
    if not _is_debian(os_release):
        return "this is not Debian; install Chromium and ChromeDriver yourself"
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    if os.geteuid() == 0:
        apt = ["apt-get"]
    elif shutil.which("sudo") and _run(["sudo", "-n", "true"], 10.0) is None:
        apt = ["sudo", "-n", "apt-get"]
    else:
        return f"it takes root: type sudo apt-get install {' '.join(PACKAGES)}"
    wanted = [*apt, *QUICK, "--yes", "--no-install-recommends", "install", *PACKAGES]
    fetch = [*wanted, "--download-only"]
    if _run(fetch, patience) is not None:
        # The list of packages may be missing or old.
        _run([*apt, *QUICK, "update"], patience)
        why = _run(fetch, patience)
        if why is not None:
            return f"the packages cannot be had ({why})"
    why = _run([*wanted, "--no-download"], None)
    return f"the packages cannot be installed ({why})" if why else None


def _is_debian(os_release: Path) -> bool:
    """Whether Chromium is a package; Ubuntu's only points to a store of its own."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    names = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in names and "ubuntu" not in names


def _run(command: Sequence[str], patience: float | None) -> str | None:
    """Run a command that asks nothing; why it failed, or None."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {patience:g} seconds"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return (said or [f"exit status {done.returncode}"])[-1]


if __name__ == "__main__":
    main()
