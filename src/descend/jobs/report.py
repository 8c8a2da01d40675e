"""Pages built again from the records alone; several runs laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from descend.errors import InputError
from descend.reporting.compare_page import compare_report
from descend.reporting.landscape_page import landscape_report
from descend.reporting.page import train_report
from descend.reporting.runs_page import runs_report
from descend.runs.files import read_json, write_whole
from descend.runs.run import REPORT, is_run, read_history, read_run_record

OTHERS = {"compare": compare_report, "landscape": landscape_report}


def report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Build the page of a run, a comparison or a landscape, or one page for several runs.

    Args:
        folders: run directories; or one folder of `descend compare` or `descend landscape`.
        out: the page to write; None takes the folder's own page, or for several runs `runs.html`.

    Returns:
        The page.

    Raises:
        InputError: there is no such run, or one is named twice.
        FileFormatError: a record is damaged.
    """
    if len(folders) == 1:
        folder = folders[0]
        for kind, build in OTHERS.items():
            if not is_run(folder) and (folder / f"{kind}.json").is_file():
                return _written(
                    out or folder / f"{kind}.html", build(read_json(folder / f"{kind}.json"))
                )
        record = read_run_record(folder)
        return _written(out or folder / REPORT, train_report(record, read_history(folder)))
    names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"A run is named twice: {', '.join(names)}.")
    records = {name: read_run_record(Path(name)) for name in names}
    histories = {name: read_history(Path(name)) for name in names}
    return _written(out or Path("runs.html"), runs_report(records, histories))


def _written(path: Path, page: str) -> Path:
    write_whole(path, page)
    return path
