"""The wheel holds the package and nothing else, and says what it needs."""

from __future__ import annotations

import ast
import email
import subprocess
import sys
import zipfile
from email.message import Message
from importlib.metadata import packages_distributions
from pathlib import Path

import hatchling.build
import pytest
from packaging.requirements import Requirement

from benchmarks.wheel import OPTIONAL

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return zipfile.ZipFile(folder / hatchling.build.build_wheel(str(folder)))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_it_holds_the_package_typed_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "descend").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == files
    assert {"descend/py.typed", "descend/reporting/assets/page.js"} <= held


def test_the_command_and_the_licence_are_there(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "descend = descend.__main__:main" in wheel.read(entry).decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"


def test_every_library_that_is_imported_is_asked_for(metadata: Message) -> None:
    asked = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    always = {one.name.lower() for one in asked if one.marker is None}
    extra = {one.name.lower() for one in asked if one.marker is not None} - always
    homes = packages_distributions()
    for path in (SOURCE / "descend").rglob("*.py"):
        for name in third_party(path):
            owners = {one.lower() for one in homes.get(name, [name])}
            assert owners & (always | extra), f"{path.name} imports {name}, which nobody asks for"
            if name in OPTIONAL:
                assert not owners & always
            else:
                assert owners & always, f"{path.name} imports {name}, which only an extra brings"


def third_party(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names - sys.stdlib_module_names - {"descend"}


WITHOUT = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
import descend
run = descend.train(sys.argv[1], target="cnt", exclude="casual,registered,instant,dteday",
    batch_size=512, learning_rate=0.05, epochs=1, hidden=(8,), out="run")
print(len(descend.load_model("run").predict(sys.argv[1])))
"""


@pytest.mark.slow
def test_no_extra_is_needed_to_train_and_predict(tmp_path: Path) -> None:
    table = ROOT / "examples" / "data" / "bike_sharing.csv"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(table), *OPTIONAL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "17379\n"
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_errors_are_known_after_importing_the_package_alone() -> None:
    program = "import descend; assert issubclass(descend.errors.DataError, ValueError)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_estimators_are_found_where_users_of_scikit_learn_look() -> None:
    import descend
    from descend.sklearn import MiniBatchClassifier, MiniBatchRegressor

    assert MiniBatchRegressor is descend.MiniBatchRegressor
    assert MiniBatchClassifier is descend.MiniBatchClassifier
