"""The command line: arguments in, results to stdout, messages to stderr, an exit status."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from descend import __version__
from descend.cli.compare import add_views
from descend.cli.gather import gather_settings
from descend.cli.help import MOST_WIDTH, HelpfulCommand, HelpfulGroup
from descend.cli.next_command import train_command
from descend.cli.options import (
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
    settings_options,
    with_options,
)
from descend.cli.output import command_as_typed, show
from descend.cli.process import importing, run_command_line
from descend.cli.processes import (
    Processes,
    Ray,
    check_started_once,
    in_processes,
    measure_processes,
    run_program,
)
from descend.errors import LONGEST_ERROR, InputError, printable
from descend.settings import split_names

app = typer.Typer(
    name="descend",
    help="Mini-batch gradient descent for tables of any size.",
    epilog="With any command, --debug shows a traceback with an error.",
    no_args_is_help=True,
    cls=HelpfulGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MOST_WIDTH},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Mini-batch gradient descent for tables of any size."""
    check_started_once(context.invoked_subcommand)


ModelOrRun = Annotated[
    Path, typer.Argument(metavar="MODEL_OR_RUN", help="A model file or a run directory.")
]
Live = Annotated[bool, typer.Option("--live", help="Serve a page that follows the run.")]
EventFiles = Annotated[bool, typer.Option("--tensorboard", help="Write event files.")]
ForceFile = Annotated[
    bool, typer.Option("--force", help="Replace another kind of file that descend wrote.")
]
READING = ("delimiter", "header", "skip_lines")
"""Options of every command that reads a table."""


@app.command(cls=HelpfulCommand)
@settings_options
def train(
    data: Data,
    given: dict[str, Any],
    out: Out = None,
    force: Force = False,
    config: Config = None,
    like: Like = None,
    live: Live = False,
    tensorboard: EventFiles = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Title of the page of the run.")
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", help="A remark for the page of the run.")
    ] = None,
    processes: Processes = 1,
    ray: Ray = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a table: descend train DATA --target COLUMN."""
    settings = gather_settings(given, config, like)
    with importing():
        from descend.runtime.early_reading import begin_reading

        # From here on DuckDB reads the table, while Python imports the rest.
        reading = begin_reading(data, settings) if processes == 1 and ray is None else None
        from descend.commands.train import train as run_training
        from descend.runtime.run import Options
        from descend.runtime.trial_setup import data_name

    if ray is not None:
        from descend.commands.train_with_ray import train_with_ray

        check_started_once("train --ray")
        if out is None:
            raise InputError("--ray needs --out FOLDER, a folder that all hosts see.")
        run = train_with_ray(
            data,
            settings,
            processes=processes,
            address=ray,
            out=out,
            command=command_as_typed(),
            force=force,
            title=name,
            note=note,
        )
        show(run.record, json, run_text(run))
        return
    with in_processes(processes) as place:
        run = run_training(
            data,
            settings,
            Options(
                progress_of(quiet),
                _callbacks(live, tensorboard),
                out,
                name=data_name(data, "run"),
                force=force,
                command=command_as_typed(),
                title=name,
                note=note,
            ),
            reading=reading,
        )
        if place.first:
            show(run.record, json, run_text(run))


@app.command(cls=HelpfulCommand)
@settings_options
def advise(
    data: Data,
    given: dict[str, Any],
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for advice.json and advice.html.")
    ] = None,
    force: Force = False,
    config: Config = None,
    like: Like = None,
    processes: Annotated[
        str | None,
        typer.Option(metavar="1,2,4", help="Also find how many processes are worth it."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the batch size and the learning rate, and say why."""
    with importing():
        from descend.commands.advise import advise as find
        from descend.reporting.text.advice import advice_text
        from descend.reporting.text.processes import processes_text
        from descend.runtime.trial_setup import table_setup

    settings = gather_settings(given, config, like)
    progress = progress_of(quiet)
    measure = None
    if processes is not None:
        from descend.runtime.measured_processes import parse_counts, processes_record

        counts = parse_counts(processes)

        def measure(advice: Any) -> dict[str, Any]:
            return processes_record(data, settings, advice, counts, progress)

    def next_command(advice: Any) -> str:
        return train_command(command_as_typed(), advice.batch_size, advice.learning_rate)

    with progress.doing("Measuring"):
        advice, record = find(
            table_setup(data),
            settings,
            progress=progress,
            out=out,
            force=force,
            command=command_as_typed(),
            next_command=next_command,
            processes=measure,
        )
    text = advice_text(advice, record["train_command"])
    if "processes" in record:
        text += f"\n\n{processes_text(record['processes'])}"
    show(record, json, text)


@app.command(cls=HelpfulCommand)
def resume(
    run: Path,
    data: NamedData = None,
    validation: NamedValidation = None,
    store: NamedStore = None,
    live: Live = False,
    tensorboard: EventFiles = False,
    processes: Processes = 1,
    ray: Ray = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue an interrupted run: descend resume RUN."""
    with importing():
        from descend.commands.resume import resume as resume_run
        from descend.runtime.run import Options
        from descend.runtime.table_run import Named

    named = Named(data, validation, store)
    if ray is not None:
        from descend.commands.train_with_ray import resume_with_ray

        check_started_once("resume --ray")
        done = resume_with_ray(run, named, processes=processes, address=ray)
        show(done.record, json, run_text(done))
        return
    with in_processes(processes) as place:
        done = resume_run(run, Options(progress_of(quiet), _callbacks(live, tensorboard)), named)
        if place.first:
            show(done.record, json, run_text(done))


@app.command(cls=HelpfulCommand)
@with_options(*READING, "memory")
def predict(
    model: ModelOrRun,
    data: Data,
    given: dict[str, Any],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .csv or .parquet file.")
    ] = None,
    keep: Annotated[
        str, typer.Option(metavar="COL,COL|all", help="Columns of the input to write as well.")
    ] = "",
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="0.95", help="Also write bounds that hold this fraction of the targets."
        ),
    ] = None,
    force: ForceFile = False,
) -> None:
    """Predict raw rows: descend predict MODEL_OR_RUN DATA -o FILE."""
    with importing():
        from descend import api

    kept = "all" if keep.strip() == "all" else split_names(keep)
    # Rows on a terminal are progress enough, and the sign of it would stand among them.
    shown = output is None and sys.stdout.isatty()
    with progress_of(quiet=shown).doing("Predicting"):
        rows = api.predict(model, data, output, keep=kept, interval=interval, force=force, **given)
    if output is not None:
        _say(f"{rows:,} predictions written to {output}")


@app.command(cls=HelpfulCommand)
@with_options(*READING, "memory")
def evaluate(
    model: ModelOrRun,
    data: Data,
    given: dict[str, Any],
    json: Json = False,
) -> None:
    """Metrics on raw rows with the target: descend evaluate MODEL_OR_RUN DATA."""
    with importing():
        from descend import api
        from descend.reporting.text.records import metrics_text

    with progress_of(quiet=False).doing("Evaluating"):
        metrics = api.evaluate(model, data, **given)
    show(metrics, json, metrics_text(metrics))


@app.command(cls=HelpfulCommand)
def export(
    model: ModelOrRun,
    output: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The file to write.")],
    force: ForceFile = False,
) -> None:
    """Write a model as ONNX: descend export MODEL_OR_RUN model.onnx."""
    from descend import api

    with progress_of(quiet=False).doing("Exporting"):
        api.export(model, output, force=force)
    _say(f"{output} written")


@app.command(cls=HelpfulCommand)
@with_options(
    *("target", "exclude", "categorical", "numeric", "datetime", "missing"),
    *("date_order", "decimal"),
    *READING,
    "memory",
)
def inspect(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE_OR_RUN",
            help="A table, a model file, or the folder of a run, a comparison or an advice.",
        ),
    ],
    given: dict[str, Any],
    json: Json = False,
) -> None:
    """What a table, a model or a run contains: descend inspect FILE_OR_RUN."""
    from descend.commands.inspect import inspect as describe

    with progress_of(quiet=False).doing("Reading"):
        record = describe(what, **given)
    show(record, json, _text_of(record))


def _text_of(record: Mapping[str, Any]) -> str:
    """What is printed of something that is inspected."""
    from descend.reporting.text.compare import compare_text
    from descend.reporting.text.landscape import landscape_text
    from descend.reporting.text.records import inspection_text

    if record["kind"] == "compare":
        return compare_text(record)
    if record["kind"] == "landscape":
        return landscape_text(record)
    if record["kind"] == "advice":
        return _advice_text_of(record)
    return inspection_text(record, *_told_of_run(record))


def _advice_text_of(record: Mapping[str, Any]) -> str:
    """What `descend advise` printed, from its record."""
    from descend.reporting.text.advice import advice_text
    from descend.types import Advice

    return advice_text(Advice(**record["advice"]), record.get("train_command", ""))


def _told_of_run(record: Mapping[str, Any]) -> tuple[Any, Any]:
    """The history and the assessment of a finished run that is inspected, where it has them."""
    if record["kind"] != "run" or "progress" not in record or "result" not in record:
        return (), None
    from descend.runs.folder import read_assessment
    from descend.runs.history import read_history

    return read_history(Path(record["path"])), read_assessment(Path(record["path"]))


def run_text(run: Any) -> str:
    """What is printed of a finished run."""
    from descend.reporting.text.records import summary_text
    from descend.runs.folder import read_assessment

    assessment = read_assessment(run.folder) if run.folder else {}
    return summary_text(run.record, run.folder, run.history, assessment)


def _callbacks(live: bool, tensorboard: bool) -> list[Any]:
    found: list[Any] = []
    if live:
        from descend.runtime.live_page import LivePage

        found.append(LivePage(_say))
    if tensorboard:
        from descend.runtime.tensorboard import TensorBoard

        found.append(TensorBoard())
    return found


def _say(text: str) -> None:
    print(printable(text, LONGEST_ERROR), file=sys.stderr, flush=True)


add_views(app)
app.command("measure-processes", hidden=True)(measure_processes)
app.command("run", context_settings={"ignore_unknown_options": True})(run_program)


@app.command(cls=HelpfulCommand)
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Run the command line; every error is one short text and an exit status.

    `--debug` may stand anywhere: it belongs to the process, not to a command.
    """
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    run_command_line(lambda: app(prog_name="descend"), debug=debug)


if __name__ == "__main__":
    main()
