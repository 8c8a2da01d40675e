"""The command line as a process: signals, closed pipes, errors as one text, an exit status."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from descend.errors import (
    LONGEST_ERROR,
    DataWarning,
    DescendError,
    command_line_words,
    printable,
)
from descend.runtime.interrupts import INTERRUPTED, Interrupts
from descend.training.processes.starters import expected_index, expected_processes

NO_MEMORY = (
    "the system refused memory. Give a bound with --memory 2GiB, which reads the rows from disk, "
    "or a smaller --batch-size; or end other programs."
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_OF_A_FILE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ETXTBSY),
)
"""What the system says of a file that cannot be had; never a defect of this program."""


def run_command_line(command: Callable[[], object], *, debug: bool = False) -> None:
    """Run a command and end with SystemExit: every error is one short text and a status.

    Args:
        command: the program.
        debug: whether an error is raised, so that its traceback is shown.
    """
    with command_line_words():
        _run(command, debug=debug)


def _run(command: Callable[[], object], *, debug: bool) -> None:
    interrupts = Interrupts()
    _print_whatever_comes()
    warnings.showwarning = _show_warning
    try:
        status = _run_and_flush(command)
        if interrupts.came:
            status = _print_error("stopped.", INTERRUPTED)
    except DescendError as error:
        if debug:
            raise
        status = _print_error(str(error), error.exit_status)
    except KeyboardInterrupt:
        status = _print_error("stopped.", INTERRUPTED)
    except BrokenPipeError:
        # Whoever reads our output has enough. A shell shows this status for other programs, too.
        _print_no_more()
        status = 128 + signal.SIGPIPE
    except MemoryError:
        status = _print_error(NO_MEMORY, 2)
    except Exception as error:
        # A library may turn Ctrl-C into an error of its own, NumPy does while it is imported.
        if interrupts.came:
            status = _print_error("stopped.", INTERRUPTED)
        elif debug:
            raise
        else:
            status = _report_error(error)
    interrupts.over = True
    sys.exit(status)


@contextmanager
def importing() -> Iterator[None]:
    """Within this block, which imports what a command needs, nothing is collected as garbage.

    Imports make hundreds of thousands of objects and next to no garbage. Python would look through
    them again and again, for a tenth of the time of a short command; of those made here it never
    does. Where collection is off already, by the program that calls, nothing changes.
    """
    if not gc.isenabled():
        yield
        return
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        gc.enable()


def end_process(status: int) -> None:
    """End the process now, when all that was printed is written.

    Python would wait for threads that compile, and ends while some still run in libraries, which
    may crash there. Every file is complete when a command has returned.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _report_error(error: Exception) -> int:
    """Say what an error means that no part of the program expected."""
    if "RESOURCE_EXHAUSTED" in str(error):  # As JAX says it.
        return _print_error(NO_MEMORY, 2)
    if isinstance(error, OSError):
        said = os.strerror(error.errno or 0)
        if error.errno in _FULL:
            status = _print_error(f"the output cannot be written: {said}.", 2)
            _print_no_more()
            return status
        if error.errno in _OF_A_FILE and error.filename is not None:
            return _print_error(f"{printable(error.filename, 300)}: {said}. Name another file.", 2)
    said = printable(error, LONGEST_ERROR)
    return _print_error(
        f"This is a defect of descend, not of your input: {type(error).__name__}: {said}\n"
        "Run the command again with --debug and report what it prints.",
        1,
    )


def _run_and_flush(command: Callable[[], object]) -> int:
    """Run a command until all that it printed is written, and return its exit status."""
    status = 0
    try:
        command()
    except SystemExit as ended:
        # The library that reads the arguments ends the program when a pipe is closed.
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        status = ended.code if isinstance(ended.code, int) else 0
    if sys.stdout is not None:
        sys.stdout.flush()
    return status


def _print_whatever_comes() -> None:
    """Letters that the encoding of a terminal or pipe lacks are printed as their code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _print_no_more() -> None:
    """Let what is still to be printed go nowhere: Python writes it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as one line for people; those of libraries as Python shows them."""
    if issubclass(category, DataWarning):
        print(f"Warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr)


def _print_error(text: str, status: int) -> int:
    with suppress(OSError, ValueError):
        print(f"{_name()}: {text}", file=sys.stderr, flush=True)
    return status


def _name() -> str:
    """Who speaks: of several processes started by somebody else, also which of them."""
    index = expected_index()
    return f"descend (process {index} of {expected_processes()})" if index else "descend"
