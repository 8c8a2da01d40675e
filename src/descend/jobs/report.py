"""Pages built again from the records alone; several runs laid over each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from descend.errors import InputError
from descend.reporting.compare_page import compare_report, compare_sections
from descend.reporting.landscape_page import landscape_report, landscape_sections
from descend.reporting.page import train_report
from descend.reporting.parts import Section
from descend.reporting.runs_page import runs_report, runs_sections
from descend.reporting.train_page import train_sections
from descend.runs.files import read_json, write_error, write_whole
from descend.runs.run import REPORT, is_run, read_history, read_run_record

Record = Mapping[str, Any]

OTHERS: dict[str, tuple[Callable[[Record], str], Callable[[Record], list[Section]]]] = {
    "compare": (compare_report, compare_sections),
    "landscape": (landscape_report, landscape_sections),
}


def report(folders: Sequence[Path], out: Path | None = None, pictures: Path | None = None) -> Path:
    """Build the page of a run, a comparison or a landscape, or one page for several runs.

    Args:
        folders: run directories; or one folder of `descend compare` or `descend landscape`.
        out: the page to write; None takes the folder's own page, or for several runs `runs.html`.
        pictures: a folder to save the plots in as PNG files; None saves none.

    Returns:
        The page.

    Raises:
        InputError: there is no such run, or one is named twice.
        FileFormatError: a record is damaged.
    """
    if len(folders) == 1:
        folder = folders[0]
        for kind, (page, sections) in OTHERS.items():
            if not is_run(folder) and (folder / f"{kind}.json").is_file():
                made = read_json(folder / f"{kind}.json")
                if pictures is not None:
                    save_pictures(sections(made), pictures)
                return _written(out or folder / f"{kind}.html", page(made))
        record, history = read_run_record(folder), read_history(folder)
        if pictures is not None:
            save_pictures(train_sections(record, history), pictures)
        return _written(out or folder / REPORT, train_report(record, history))
    names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"A run is named twice: {', '.join(names)}.")
    records = {name: read_run_record(Path(name)) for name in names}
    histories = {name: read_history(Path(name)) for name in names}
    if pictures is not None:
        save_pictures(runs_sections(records, histories), pictures)
    return _written(out or Path("runs.html"), runs_report(records, histories))


def save_pictures(sections: Sequence[Section], folder: Path) -> None:
    """Save every plot of a page as a PNG file named after it.

    Raises:
        InputError: matplotlib is not installed, or the folder cannot be written.
    """
    from descend.reporting.png import picture

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    for section in sections:
        for plot in section.plots:
            write_whole(folder / f"{plot.name}.png", picture(plot))


def _written(path: Path, page: str) -> Path:
    write_whole(path, page)
    return path
