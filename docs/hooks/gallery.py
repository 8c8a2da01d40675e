"""The gallery: pages that the commands leave, made once and kept in `docs/gallery`.

They are made when the documentation is first built, which takes about a minute; to make one anew,
delete it.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "gallery"
BIKE = "examples/data/bike_sharing.csv"
KNOWN = {"target": "cnt", "exclude": ["instant", "dteday", "casual", "registered"]}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages when the documentation is built."""
    from mkdocs.structure.files import File

    kept = Path(config["docs_dir"]) / FOLDER
    known = {file.src_uri for file in files}
    for name, path in pages_in(kept, Path(config["docs_dir"]).parent / BIKE).items():
        if f"{FOLDER}/{name}.html" not in known:
            content = path.read_bytes()
            files.append(File.generated(config, f"{FOLDER}/{name}.html", content=content))
    return files


def pages_in(kept: Path, data: Path) -> dict[str, Path]:
    """The pages by name; what is not in the folder is made."""
    kept.mkdir(exist_ok=True)
    found = {}
    for name, make in MAKERS.items():
        found[name] = kept / f"{name}.html"
        if not found[name].exists():
            with tempfile.TemporaryDirectory() as folder:
                made = make(data, Path(folder))
                found[name].write_bytes(made.read_bytes())
    return found


def _run(data: Path, folder: Path) -> Path:
    import descend

    descend.train(data, **KNOWN, effort="quick", name="Bike rentals by the hour", out=folder / "a")
    return folder / "a" / "report.html"


def _caution(data: Path, folder: Path) -> Path:
    """A run that leaves in what gives the target away: the page says so."""
    import descend

    excluded = {"target": "cnt", "exclude": ["instant", "dteday"]}
    name = "A column gives the target away"
    descend.train(data, **excluded, model="mlp", epochs=10, name=name, out=folder / "a")
    return folder / "a" / "report.html"


def _runs(data: Path, folder: Path) -> Path:
    import descend
    from descend.commands.report import report

    settings: Mapping[str, Mapping[str, Any]] = {
        "64-rows": {"batch_size": 64, "learning_rate": 0.1},
        "512-rows": {"batch_size": 512, "learning_rate": 0.2},
        "linear": {"batch_size": 64, "learning_rate": 0.05, "model": "linear"},
    }
    for name, options in settings.items():
        descend.train(data, **KNOWN, **{"model": "mlp", **options}, epochs=15, out=folder / name)
    # The page calls a run by the path that was typed.
    with contextlib.chdir(folder):
        return report([Path(name) for name in settings], Path("runs.html")).absolute()


def _advice(data: Path, folder: Path) -> Path:
    import descend

    descend.advise(data, **KNOWN, model="mlp", out=folder / "a")
    return folder / "a" / "advice.html"


def _compared(data: Path, folder: Path) -> Path:
    import descend

    known = {**KNOWN, "batch_size": 64, "seeds": 1, "budget": 1.0, "one_rate": False}
    descend.compare(data, **known, out=folder / "a", play=True)
    return folder / "a" / "play.html"


def _valley(data: Path, folder: Path) -> Path:
    from descend.commands.landscape import landscape
    from descend.reporting.progress import make_progress

    landscape("valley", out=folder / "a", progress=make_progress("silent"))
    return folder / "a" / "landscape.html"


MAKERS: Mapping[str, Callable[[Path, Path], Path]] = {
    "run": _run,
    "caution": _caution,
    "runs": _runs,
    "advice": _advice,
    "compare-play": _compared,
    "valley": _valley,
}
