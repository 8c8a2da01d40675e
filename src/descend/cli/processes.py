"""Commands that several processes carry out together, and the programs of users that do."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descend.errors import (
    InputError,
    InterruptedRunError,
    LostProcessError,
    command_line_words,
)

if TYPE_CHECKING:
    from descend.training.processes.place import Place

Processes = Annotated[
    int, typer.Option("--processes", min=1, help="Number of processes that share every batch.")
]

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Start the processes on this Ray cluster; or local."
    ),
]


SHARED = ("train", "resume", "run", "measure-processes")
"""The commands that several processes carry out together."""


def check_started_once(command: str | None) -> None:
    """Raise InputError where several processes were started to do what one does by itself.

    Each would do all of it, and all would write the same files.
    """
    from descend.training.processes.starters import expected_processes

    count = expected_processes()
    if count > 1 and command not in (None, *SHARED):
        raise InputError(
            f"{command} works in one process; this job has {count}, of which each would do the "
            "same. Start it once, without mpirun, srun or DESCEND_PROCESSES. train, resume and "
            "run share their work among processes."
        )


@contextmanager
def in_processes(processes: int) -> Iterator[Place]:
    """Work in one of the processes of this job; where there are none yet, start them and wait.

    Args:
        processes: that are wanted, where nobody else started several.

    Yields:
        Which of them this is.
    """
    from descend.training.processes.joining import join, leave
    from descend.training.processes.starters import expected_processes

    if processes > 1 and expected_processes() == 1:
        from descend.runtime.launch import launch

        raise SystemExit(launch(processes, sys.argv[1:]))
    place = join()
    try:
        yield place
    except LostProcessError:
        raise
    except InterruptedRunError:
        leave()
        raise
    leave()


def measure_processes(asked: Path) -> None:
    """Measure updates as one of several processes, for `descend advise --processes`."""
    import json

    with in_processes(1):
        from descend.runtime.measured_processes import measure

        measure(json.loads(asked.read_text()))


def run_program(
    program: Annotated[Path, typer.Argument(help="A Python program.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its own arguments, behind --.")
    ] = None,
    processes: Processes = 1,
) -> None:
    """Run a Python program in several processes: what it trains, they train together."""
    if not program.is_file():
        raise InputError(f"There is no file {program}. Name a Python program.")
    with in_processes(processes) as place:
        if not place.first:
            # Each runs the whole program: what it prints is printed once.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _run(program, arguments or [])


def _run(program: Path, arguments: list[str]) -> None:
    """Run a program as Python does; what goes wrong in it is shown with its traceback."""
    import runpy

    sys.argv = [str(program), *arguments]
    sys.path.insert(0, str(program.resolve().parent))
    try:
        with command_line_words(on=False):
            runpy.run_path(str(program), run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
    except InterruptedRunError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(1) from error
