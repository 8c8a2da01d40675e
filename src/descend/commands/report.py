"""Build pages again from the records alone, of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from descend.commands.outputs import kind_in
from descend.errors import InputError, option_text
from descend.io.atomic import write_error, write_whole
from descend.io.ownership import PAGE, PICTURE, check_replaceable, output_file
from descend.io.paths import check_writable, named_path
from descend.reporting.page_model import Page
from descend.reporting.pages.runs import runs_page
from descend.reporting.pages.train import train_page
from descend.reporting.render import render
from descend.runs.contents import REPORT
from descend.runs.folder import current_record, is_run, read_assessment
from descend.runs.history import read_history
from descend.runs.records import read_kind


def report(
    folders: Sequence[Path],
    out: Path | None = None,
    pictures: Path | None = None,
    *,
    force: bool = False,
) -> Path:
    """Build the page of a run, a comparison, a landscape or an advice, or one for several runs.

    Args:
        folders: run directories; or one folder of `descend compare`, `landscape` or `advise`.
        out: the page to write; None takes the folder's own page, or for several runs `runs.html`.
        pictures: a folder to save the plots in as PNG files; None saves none.
        force: replace another kind of file of ours by the page.

    Returns:
        The page.

    Raises:
        InputError: there is no such run, or one is named twice.
        FileFormatError: a record is damaged.
    """
    if len(folders) == 1:
        page, usual = _page_of(folders[0])
    else:
        page, usual = _page_of_several(folders), Path("runs.html")
    path = check_replaceable(out or usual, PAGE, option_text("out"), force=force)
    check_writable(path.parent)
    if pictures is not None:
        save_pictures(page, pictures)
    with output_file(path, PAGE) as sink:
        sink.write(render(page).encode("utf-8"))
    return path


def save_pictures(page: Page, folder: Path) -> None:
    """Save every plot of a page as a PNG file named after it.

    Raises:
        InputError: matplotlib is not installed, or the folder cannot be written.
    """
    from descend.reporting.plots.png import picture

    folder = named_path(folder, option_text("png"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    for plot in page.plots:
        check_replaceable(folder / f"{plot.name}.png", PICTURE, option_text("png"))
    for plot in page.plots:
        write_whole(folder / f"{plot.name}.png", picture(plot))


def _page_of(folder: Path) -> tuple[Page, Path]:
    """The page of a folder, and where it usually stands."""
    kind = None if is_run(folder) else kind_in(folder)
    if kind is not None:
        return kind.page_of(read_kind(kind.record_in(folder))), kind.page_in(folder)
    page = train_page(current_record(folder), read_history(folder), read_assessment(folder))
    return page, folder / REPORT


def _page_of_several(folders: Sequence[Path]) -> Page:
    names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"A run is named twice: {', '.join(names)}.")
    for folder in folders:
        kind = None if is_run(folder) else kind_in(folder)
        if kind is not None:
            raise InputError(
                f"{folder} holds a record of descend {kind.command}; only runs of descend train "
                "share a page."
            )
    records = {name: current_record(Path(name)) for name in names}
    return runs_page(records, {name: read_history(Path(name)) for name in names})
