"""The loss as a landscape: paths over a named surface, or over a plane through a run."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from descend.choices import PLANES
from descend.commands.landscape_run import run_record, setup_record
from descend.commands.landscape_surface import surface_record
from descend.commands.outputs import LANDSCAPE, free_folder, write_record_and_page
from descend.errors import InputError, SettingsError, option_text
from descend.io.machine import utc_now
from descend.reporting.progress import Progress
from descend.runs.folder import is_run
from descend.runtime.table_run import NOTHING_NAMED, Named
from descend.runtime.together import check_alone
from descend.runtime.trial_setup import MakeSetup
from descend.settings import Settings
from descend.training.jax_setup import set_up
from descend.tuning.landscape.surfaces import SURFACES


def landscape(
    what: str,
    *,
    out: str | Path,
    directions: str = "path",
    force: bool = False,
    progress: Progress,
    command: list[str] | None = None,
    named: Named = NOTHING_NAMED,
) -> dict[str, Any]:
    """Measure a landscape and write landscape.json and landscape.html.

    Args:
        what: a named surface, or a run directory.
        out: the folder to write.
        directions: of the plane of a run: `path` (principal directions of the paths) or `random`.
        force: whether an earlier landscape in the folder may be replaced.
        progress: shows what is being measured.
        command: what was typed, for the record.
        named: what the user names himself of what stands in the record of a run.

    Returns:
        The record, as landscape.json holds it.

    Raises:
        InputError: neither a surface nor a run, or the folder cannot be written.
    """
    folder = free_folder(out, LANDSCAPE, force=force)
    _check_directions(directions)
    check_alone("landscape")
    began = utc_now()
    set_up()
    if what in SURFACES:
        record = surface_record(SURFACES[what](), progress)
    elif is_run(Path(what)):
        record = run_record(Path(what), directions, progress, named)
    else:
        close = difflib.get_close_matches(what, SURFACES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InputError(
            f"{what} is neither a surface ({', '.join(SURFACES)}) nor a run directory.{hint}"
        )
    return write_record_and_page(folder, LANDSCAPE, {"started": began, **record}, command)


def landscape_of(
    make_setup: MakeSetup,
    settings: Settings,
    *,
    directions: str,
    out: str | Path | None,
    force: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """The plane through the paths of every method, of a problem that is not a run.

    Args:
        make_setup: makes the problem.
        settings: as the user gave them.
        directions: of the plane: `path` or `random`.
        out: the folder to write, or None.
        force: whether an earlier landscape in the folder may be replaced.
        progress: shows what is being measured.
    """
    folder = None if out is None else free_folder(out, LANDSCAPE, force=force)
    _check_directions(directions)
    began = utc_now()
    set_up()
    record = setup_record(make_setup, settings, directions, progress)
    return write_record_and_page(folder, LANDSCAPE, {"started": began, **record}, None)


def _check_directions(directions: str) -> None:
    if directions not in PLANES:
        raise SettingsError(
            f"{option_text('directions')} must be {' or '.join(PLANES)}; found {directions!r}."
        )
