"""Does the wheel work where nothing but what it asks for is installed?

It is built, installed into a new environment from the package index, and there trains on the
bike rentals and predicts them, by the command and from Python. No extra may be needed or found.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "examples" / "data" / "bike_sharing.csv"
OPTIONAL = (
    "sklearn",
    "pandas",
    "polars",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "torch",
    "keras",
    "flax",
    "equinox",
    "jax2onnx",
    "python_calamine",
    "adbc_driver_postgresql",
    "adbc_driver_sqlite",
    "adbc_driver_manager",
    "ray",
)
"""What only an extra brings: the package works without it."""

CHECK = """
import importlib.util, sys
from importlib import resources
from pathlib import Path
import descend
assert Path(sys.prefix) in Path(descend.__file__).parents, descend.__file__
assert (resources.files("descend") / "py.typed").is_file()
found = [name for name in sys.argv[2:] if importlib.util.find_spec(name)]
assert not found, f"not asked for, but installed: {found}"
run = descend.train(sys.argv[1], target="cnt", exclude="instant,dteday,casual,registered",
    batch_size=64, learning_rate=0.05, epochs=3)
assert run.metrics["model"]["rmse"] < 0.7 * run.metrics["baseline"]["rmse"], run.metrics
assert run.model.predict(sys.argv[1]).shape == (17379,)
loaded = sorted({name.split(".")[0] for name in sys.modules} & set(sys.argv[2:]))
assert not loaded, f"not asked for, but imported: {loaded}"
for name in descend.__all__:
    if not name.startswith("MiniBatch"):
        getattr(descend, name)
try:
    descend.MiniBatchRegressor
except ImportError as error:
    assert "pip install scikit-learn" in str(error), error
print(f"trained, R2 {run.metrics['model']['r2']:.3f}; {len(descend.__all__)} public names")
"""


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("descend-*.whl")
    return wheel


def clean_install(python: str, wheel: Path, folder: Path, extra: str = "") -> Path:
    """A new environment with the wheel and what it asks for; its interpreter."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    inside = folder / "bin" / "python"
    command = [inside, "-m", "pip", "install", "--quiet", f"{wheel}{extra}"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return inside


def versions(python: Path) -> str:
    """Of an environment: Python, and the libraries that decide most."""
    ask = (
        "import sys, jax, numpy; print(sys.version.split()[0], jax.__version__, numpy.__version__)"
    )
    done = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
    return "Python {}, jax {}, numpy {}".format(*done.stdout.split())


def check(python: Path, folder: Path) -> str:
    """Train and predict in an environment, by the command and from Python; what was printed."""
    command = [python.with_name("descend"), "train", TABLE, "--target", "cnt", "--out", "run"]
    numbers = ["--batch-size", "64", "--learning-rate", "0.05", "--epochs", "1", "--quiet"]
    # -I keeps the checkout out of sight.
    for line in (
        [*command, *numbers],
        [python.with_name("descend"), "predict", "run", TABLE, "-o", "predictions.csv"],
        [python, "-I", "-c", CHECK, TABLE, *OPTIONAL, "pytest"],
    ):
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, line[:3]))} failed:\n{done.stdout}{done.stderr}")
    lines = len((folder / "predictions.csv").read_text().splitlines())
    assert lines == 17_380, f"{lines} lines of predictions"
    return done.stdout.strip()


def run_tests(python: Path, wheel: Path, tests: Sequence[str]) -> str:
    """Run tests of the checkout against the installed wheel; the line that sums them up."""
    command = [python, "-m", "pip", "install", "--quiet", f"{wheel}[dev]"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        for part in ("tests", "examples", "benchmarks", "docs"):
            shutil.copytree(ROOT / part, Path(folder) / part)
        shutil.copy(ROOT / "pyproject.toml", folder)
        done = subprocess.run(
            [python, "-m", "pytest", "-n", "2", "-q", *tests],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(done.stdout[-6000:])
    return done.stdout.strip().splitlines()[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, install, check, for each interpreter."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks wheel", description=__doc__)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters")
    parser.add_argument(
        "--tests", nargs="*", help="also install what the tests need and run these, or all"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
        for number, interpreter in enumerate(options.python):
            place = folder / str(number)
            place.mkdir()
            python = clean_install(interpreter, wheel, place / "environment")
            print(f"{versions(python)}: {check(python, place)}")
            if options.tests is not None:
                print(f"  {run_tests(python, wheel, options.tests or ['tests'])}")


if __name__ == "__main__":
    main()
