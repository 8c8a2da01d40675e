"""The record and the page that `advise`, `compare` and `landscape` leave in a folder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import descend
from descend.errors import InputError, option_text
from descend.io import ownership
from descend.io.atomic import write_error, write_json, write_whole
from descend.io.machine import machine, utc_now
from descend.io.paths import check_writable, named_path
from descend.reporting.page_model import Page
from descend.reporting.pages.advice import advice_page
from descend.reporting.pages.compare import compare_page
from descend.reporting.pages.landscape import landscape_page
from descend.reporting.render import render
from descend.training.jax_setup import versions

Record = Mapping[str, Any]


class Kind(NamedTuple):
    """What a command leaves.

    Attributes:
        name: of its files, without the ending.
        command: that writes them.
        noun: what people call it.
        page_of: draws the page of a record.
    """

    name: str
    command: str
    noun: str
    page_of: Callable[[Record], Page]

    def record_in(self, folder: Path) -> Path:
        """The file of the record."""
        return folder / f"{self.name}.json"

    def page_in(self, folder: Path) -> Path:
        """The file of the page."""
        return folder / f"{self.name}.html"


ADVICE = Kind("advice", "advise", "advice", advice_page)
COMPARISON = Kind("compare", "compare", "comparison", compare_page)
LANDSCAPE = Kind("landscape", "landscape", "landscape", landscape_page)
KINDS = (COMPARISON, LANDSCAPE, ADVICE)


def kind_in(folder: Path) -> Kind | None:
    """What a folder holds the record of; None where it holds none."""
    return next((kind for kind in KINDS if os.path.isfile(kind.record_in(folder))), None)


def free_folder(out: str | Path | None, kind: Kind, *, stem: str = "", force: bool = False) -> Path:
    """The folder to write to, asked for before any work is done.

    Args:
        out: as the user named it; None takes the first free `runs/<stem>-<kind>-<n>`.
        kind: what will be written.
        stem: the first part of the name where `out` is None.
        force: replace a record that is already there.

    Raises:
        InputError: it is a file, cannot be written, or holds what may not be replaced.
    """
    if out is None:
        check_writable(Path("runs"))
        names = (f"{stem}-{kind.name}-{number}" for number in itertools.count(1))
        return next(place for name in names if not (place := Path("runs") / name).exists())
    folder = named_path(out, option_text("out"))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{option_text('out')} must name a folder; {folder} is a file.")
    if kind.record_in(folder).exists() and not force:
        raise InputError(
            f"The {kind.noun} {folder} exists. Type {option_text('force', True)} to replace it, "
            f"or another {option_text('out')}."
        )
    for path, what in (
        (kind.record_in(folder), ownership.RECORD),
        (kind.page_in(folder), ownership.PAGE),
    ):
        ownership.check_replaceable(path, what, option_text("out"), force=force)
    check_writable(folder)
    return folder


def write_record_and_page(
    folder: Path | None, kind: Kind, content: Record, command: list[str] | None = None
) -> dict[str, Any]:
    """Complete a record and leave it and its page in a folder.

    Args:
        folder: from `free_folder`; None writes nothing.
        kind: what the record is of.
        content: what was measured, and when that began as `started`.
        command: what was typed, for the record.

    Returns:
        The record.

    Raises:
        InputError: the folder cannot be written.
    """
    record = {
        "kind": kind.name,
        "descend": descend.__version__,
        "command": command,
        "ended": utc_now(),
        "versions": versions(),
        "machine": machine(),
        **content,
    }
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        write_json(kind.record_in(folder), record)
        write_whole(kind.page_in(folder), render(kind.page_of(record)))
    return record
