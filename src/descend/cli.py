"""The command line: arguments in, results to stdout, messages to stderr, an exit status."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from descend import __version__
from descend.cli_options import gathered_settings, names, settings_options, show
from descend.cli_views import add_views
from descend.errors import DescendError

app = typer.Typer(
    name="descend",
    help="Mini-batch gradient descent for tables of any size.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Data = Annotated[str, typer.Argument(help="A file, a glob, a URL, or an SQL query.")]
ModelOrRun = Annotated[Path, typer.Argument(help="A model file or a run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]
Live = Annotated[bool, typer.Option("--live", help="Serve a page that follows the run.")]
EventFiles = Annotated[bool, typer.Option("--tensorboard", help="Write event files.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run directory to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing run directory.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file with options.")]
Like = Annotated[Path | None, typer.Option("--like", help="A run whose settings to repeat.")]


@app.command()
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
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model on a table: descend train DATA --target COLUMN."""
    from descend.jobs.train import train as run_training
    from descend.reporting.progress import make_progress
    from descend.reporting.text import summary_text

    run = run_training(
        data,
        gathered_settings(given, config, like),
        out=out,
        write=True,
        force=force,
        progress=make_progress("silent" if quiet else "auto"),
        command=sys.argv[1:],
        onlookers=_onlookers(live, tensorboard),
    )
    show(run.record, json, summary_text(run.record, run.folder))


@app.command()
@settings_options
def advise(
    data: Data,
    given: dict[str, Any],
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for advice.json and advice.html.")
    ] = None,
    config: Config = None,
    like: Like = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Which batch size and learning rate to take, and why."""
    from descend.jobs.advise import advise as find
    from descend.jobs.posed import posed_table
    from descend.reporting.progress import make_progress
    from descend.tuning.words import advice_text

    settings = gathered_settings(given, config, like)
    progress = make_progress("silent" if quiet else "auto")
    advice, record = find(posed_table(data), settings, progress=progress, out=out)
    show(record, json, advice_text(advice))


@app.command()
def resume(
    run: Path,
    live: Live = False,
    tensorboard: EventFiles = False,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Go on with an interrupted run: descend resume RUN."""
    from descend.jobs.resume import resume as resume_run
    from descend.reporting.progress import make_progress
    from descend.reporting.text import summary_text

    done = resume_run(
        run,
        progress=make_progress("silent" if quiet else "auto"),
        onlookers=_onlookers(live, tensorboard),
    )
    show(done.record, json, summary_text(done.record, done.folder))


@app.command()
def predict(
    model: ModelOrRun,
    data: Data,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A .csv or .parquet file.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Predict raw rows: descend predict MODEL_OR_RUN DATA -o FILE."""
    from descend import api

    rows = api.predict(model, data, output)
    if output is not None:
        print(f"{rows:,} predictions written to {output}", file=sys.stderr)


@app.command()
def evaluate(model: ModelOrRun, data: Data, json: Json = False, debug: Debug = False) -> None:
    """Metrics on raw rows with the target: descend evaluate MODEL_OR_RUN DATA."""
    from descend import api
    from descend.reporting.text import metrics_text

    metrics = api.evaluate(model, data)
    show(metrics, json, metrics_text(metrics))


@app.command()
def export(
    model: ModelOrRun,
    output: Annotated[Path, typer.Argument(help="A .onnx file to write.")],
    debug: Debug = False,
) -> None:
    """Write a model as ONNX: descend export MODEL_OR_RUN model.onnx."""
    from descend import api

    api.export(model, output)
    print(f"{output} written", file=sys.stderr)


@app.command()
def inspect(
    what: Annotated[str, typer.Argument(help="A table, a model file, or a run directory.")],
    target: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    exclude: Annotated[str, typer.Option(help="Columns to leave out.")] = "",
    categorical: Annotated[str, typer.Option(help="Number columns to treat as categories.")] = "",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """What a table, a model or a run contains: descend inspect FILE_OR_RUN."""
    from descend.jobs.inspect import inspect as look
    from descend.reporting.text import inspection_text

    record = look(what, target, exclude=names(exclude), categorical=names(categorical))
    show(record, json, inspection_text(record))


def _onlookers(live: bool, tensorboard: bool) -> list[Any]:
    from descend.jobs.live import LivePage, TensorBoard

    return [*([LivePage(_say)] if live else []), *([TensorBoard()] if tensorboard else [])]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


add_views(app)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


NO_MEMORY = (
    "the system refused memory. Type a bound with --memory 2GiB, which reads the rows from disk, "
    "or a smaller --batch-size; or end other programs."
)
LONGEST_IMPORT = 1.0
"""Seconds that Ctrl-C waits for the end of an import."""


class _Signals:
    """Ctrl-C and SIGTERM outside training end the program, cleaning up on the way."""

    def __init__(self) -> None:
        self.came = False
        self._first = 0.0
        sys.unraisablehook = self._again
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.perf_counter()
        self._first = self._first if self.came else now
        self.came = True
        if not _importing(frame):
            raise KeyboardInterrupt
        # Libraries turn an error during their import into others, or print it themselves.
        if now - self._first < LONGEST_IMPORT:
            _send_again(number)
            return
        os.write(2, b"descend: stopped.\n")
        os._exit(130)

    def _again(self, lost: Any) -> None:
        """Ctrl-C that fell into a callback, where Python drops errors, comes once more."""
        if self.came and issubclass(lost.exc_type, KeyboardInterrupt):
            _send_again(signal.SIGINT)
        else:
            sys.__unraisablehook__(lost)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    import threading

    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


def main() -> None:
    """Run the command line; every error of ours is one short text and an exit status."""
    signals = _Signals()
    debug = "--debug" in sys.argv
    try:
        app()
        status = 0
    except DescendError as error:
        if debug:
            raise
        status = _told(str(error), error.exit_status)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
        if signals.came:
            status = _told("stopped.", 130)
    except KeyboardInterrupt:
        status = _told("stopped.", 130)
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more can be written there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except MemoryError:
        status = _told(NO_MEMORY, 2)
    except Exception as error:
        # A library may turn Ctrl-C into an error of its own, NumPy does while it is imported.
        if signals.came:
            status = _told("stopped.", 130)
        elif debug:
            raise
        elif "RESOURCE_EXHAUSTED" in str(error):  # As JAX says it.
            status = _told(NO_MEMORY, 2)
        else:
            status = _told(
                f"a defect of ours: {type(error).__name__}: {error}\n"
                "Run again with --debug and report what it prints.",
                1,
            )
    sys.exit(status)


def _told(text: str, status: int) -> int:
    print(f"descend: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
