"""The commands whose result is a page: compare, landscape, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from descend.choices import PLANES
from descend.cli.completion import SURFACE_NAMES, one_of
from descend.cli.gather import gather_settings
from descend.cli.help import HelpfulCommand
from descend.cli.options import (
    SETTINGS,
    Config,
    Data,
    Force,
    Json,
    Like,
    NamedData,
    NamedStore,
    NamedValidation,
    Out,
    Quiet,
    progress_of,
    with_options,
)
from descend.cli.output import command_as_typed, show
from descend.defaults import COMPARE_DEFAULTS
from descend.errors import SettingsError, printable
from descend.io.units import parse_duration
from descend.settings import split_names

Png = Annotated[
    Path | None, typer.Option("--png", help="Save the plots as pictures in this folder.")
]


def add_views(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (compare, landscape, report):
        app.command(cls=HelpfulCommand)(command)


@with_options(*SETTINGS, defaults=COMPARE_DEFAULTS)
def compare(
    data: Data,
    given: dict[str, Any],
    sizes: Annotated[str, typer.Option(help="Further batch sizes, such as 32,256.")] = "",
    methods: Annotated[
        str,
        typer.Option(
            help="Further methods: nesterov, adam, ..., coordinate-descent, "
            "conjugate-gradient, simulated-annealing."
        ),
    ] = "",
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each method; otherwise 5 to 12, as time allows.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Training time of each run, such as 10s.")
    ] = None,
    one_rate: Annotated[bool, typer.Option(help="Also run all at one learning rate.")] = True,
    play: Annotated[
        bool, typer.Option("--play", help="Also write a page that plays the runs.")
    ] = False,
    out: Out = None,
    png: Png = None,
    force: Force = False,
    config: Config = None,
    like: Like = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare gradient descent, SGD and mini-batch, with and without momentum."""
    from descend.commands.compare import compare as run_comparison
    from descend.commands.report import save_pictures
    from descend.reporting.pages.compare import compare_page
    from descend.reporting.text.compare import compare_text
    from descend.runtime.trial_setup import data_name, table_setup

    settings = gather_settings(given, config, like, COMPARE_DEFAULTS)
    progress = progress_of(quiet)
    with progress.doing("Comparing methods"):
        done = run_comparison(
            table_setup(data),
            settings,
            name=data_name(data, "table"),
            sizes=_sizes(sizes),
            methods=split_names(methods),
            seeds=seeds,
            budget=None if budget is None else parse_duration(budget, "budget"),
            same_rate=one_rate,
            out=out,
            write=True,
            force=force,
            play=play,
            progress=progress,
            command=command_as_typed(),
        )
    assert done.folder is not None
    if png is not None:
        save_pictures(compare_page(done.record), png)
    files = f"\n\nPage     {done.folder / 'compare.html'}\nRecord   {done.folder / 'compare.json'}"
    if (done.folder / "play.html").exists() and play:
        files += f"\nPlay     {done.folder / 'play.html'}"
    show(done.record, json, compare_text(done.record) + files)


def landscape(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|RUN",
            help=f"{', '.join(SURFACE_NAMES)}, or a run directory.",
            autocompletion=one_of(SURFACE_NAMES),
        ),
    ] = "double-well",
    directions: Annotated[
        str,
        typer.Option(
            help=f"Directions of the plane of a run: {' or '.join(PLANES)}.",
            autocompletion=one_of(PLANES),
        ),
    ] = "path",
    data: NamedData = None,
    validation: NamedValidation = None,
    store: NamedStore = None,
    play: Annotated[
        bool, typer.Option("--play", help="Write an interactive page that computes in the browser.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path("landscape"),
    png: Png = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the paths of methods over a surface, or over a plane through a run."""
    from descend.commands.landscape import landscape as measure
    from descend.commands.report import save_pictures
    from descend.reporting.pages.landscape import landscape_page
    from descend.reporting.text.landscape import landscape_text
    from descend.runtime.table_run import Named

    if play:
        from descend.commands.landscape_play import play as write_play
        from descend.tuning.landscape.surfaces import SURFACES

        first = what if what in SURFACES else "valley"
        print(write_play(out, first, force=force))
        return
    progress = progress_of(quiet)
    with progress.doing("Following the methods"):
        record = measure(
            what,
            out=out,
            directions=directions,
            force=force,
            progress=progress,
            command=command_as_typed(),
            named=Named(data, validation, store),
        )
    if png is not None:
        save_pictures(landscape_page(record), png)
    show(record, json, f"{landscape_text(record)}\n\nPage     {out / 'landscape.html'}")


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories; several share one page."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The page to write.")] = None,
    png: Png = None,
    force: Force = False,
) -> None:
    """Build the page of a run again from its records, or one page for several runs."""
    from descend.commands.report import report as build

    print(printable(build(runs, out, png, force=force)))


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in split_names(text))
    except ValueError:
        raise SettingsError(
            f"--sizes must be whole numbers with commas, like 32,256; found {text!r}."
        ) from None
