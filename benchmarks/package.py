"""How large is an install, and how long does it take to import?

The wheel is installed from the package index into a new environment with what it asks for and no
more. Sizes are those of the files a distribution brings, compiled Python left out; seconds are
those of fresh processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure
from benchmarks.wheel import build, clean_install, versions

SIZES = """
import importlib.metadata, json
sizes = {}
for one in importlib.metadata.distributions():
    files = [one.locate_file(file) for file in one.files or () if file.suffix != ".pyc"]
    sizes[one.name] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""
NOT_OURS = {"pip", "setuptools"}
FEWEST_BYTES = 5_000_000
WAYS = {
    "python -c pass": ["-c", "pass"],
    "import descend": ["-c", "import descend"],
    "descend --help": ["-m", "descend", "--help"],
    "descend.train, imported": ["-c", "from descend import train"],
}


def sizes(python: Path) -> dict[str, int]:
    """Bytes of each distribution of an environment."""
    done = subprocess.run([python, "-I", "-c", SIZES], capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return {name: size for name, size in found.items() if name not in NOT_OURS}


def seconds(python: Path, command: Sequence[str]) -> float:
    """Of a fresh process."""
    begun = time.perf_counter()
    subprocess.run([python, "-I", *command], capture_output=True, check=True)
    return time.perf_counter() - begun


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks package", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        python = clean_install(sys.executable, wheel, folder / "environment")
        where, wheel_bytes = versions(python), wheel.stat().st_size
        found = sizes(python)
        for command in WAYS.values():
            seconds(python, command)  # Compiles Python, warms the file cache.
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.repeats):
            for way, command in WAYS.items():
                times[way].append(seconds(python, command))
    large = sorted((name for name in found if found[name] >= FEWEST_BYTES), key=found.__getitem__)
    lines = [[name, f"{found[name] / 1e6:.1f}"] for name in reversed(large)]
    rest = [size for name, size in found.items() if name not in large]
    lines += [
        [f"{len(rest)} others", f"{sum(rest) / 1e6:.1f}"],
        ["together", f"{sum(found.values()) / 1e6:.1f}"],
    ]
    text = (
        f"A clean install ({where}); the wheel itself has {wheel_bytes / 1e6:.2f} MB.\n\n"
        + measure.table(["distribution", "MB"], lines)
        + "\n\nSeconds of a fresh process:\n\n"
        + measure.table(
            ["what", "median and range"],
            [[way, measure.spread(each)] for way, each in times.items()],
        )
    )
    facts = {
        "environment": where,
        "wheel_bytes": wheel_bytes,
        "bytes": found,
        "seconds": {way: measure.spread(each).as_json() for way, each in times.items()},
    }
    measure.record("package", text, facts, save=not options.no_save)


if __name__ == "__main__":
    main()
