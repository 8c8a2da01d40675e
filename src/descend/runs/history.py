"""history.csv: a line for each evaluation of a run, appended as the run goes."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from descend.errors import FileFormatError, InputError
from descend.io.atomic import write_error, write_whole
from descend.runs.contents import HISTORY
from descend.types import History, HistoryLine

COLUMNS = tuple(one.name for one in dataclasses.fields(HistoryLine) if one.name != "metrics")
"""Of every history; columns after them hold metrics by name."""


def write_history(run: Path, history: History) -> None:
    """Write history.csv of a run directory as a whole."""
    names = metric_names(history)
    lines = (_row(line, names) for line in history)
    write_whole(run / HISTORY, _csv([[*COLUMNS, *names], *lines]))


def metric_names(history: History) -> tuple[str, ...]:
    """The names of the metrics in any line, in the order in which they came."""
    return tuple(dict.fromkeys(name for line in history for name in line.metrics))


def open_history(run: Path) -> BinaryIO:
    """history.csv of a run directory, open to append lines to it.

    Raises:
        InputError: it cannot be written.
    """
    try:
        return (run / HISTORY).open("ab", buffering=0)
    except OSError as error:
        raise write_error(run / HISTORY, error) from error


def append_history(run: Path, sink: BinaryIO, line: HistoryLine, names: Sequence[str] = ()) -> None:
    """Append a line to history.csv.

    It reaches the disk when the system writes it; a last line that a power loss cut off is left
    out by `read_history`.

    Args:
        run: the run directory, for messages.
        sink: from `open_history`.
        line: the newest.
        names: of the metrics that the file has a column for.

    Raises:
        InputError: it cannot be written.
    """
    try:
        sink.write(_csv([_row(line, names)]).encode("utf-8"))
    except OSError as error:
        raise write_error(run / HISTORY, error) from error


def read_history(run: Path) -> History:
    """The history of a run, as far as it was written.

    Raises:
        InputError: there is none yet.
        FileFormatError: history.csv is damaged.
    """
    try:
        text = (run / HISTORY).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"The run {run} has no {HISTORY} yet.") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{run / HISTORY} is damaged: {error}.") from None
    except OSError as error:
        raise InputError(f"{run / HISTORY} cannot be read: {error.strerror}.") from error
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        raise FileFormatError(f"{run / HISTORY} is damaged: it has not a line.")
    return history_from(whole, run / HISTORY)


def history_from(text: str, path: Path) -> History:
    """The lines of history.csv.

    Raises:
        FileFormatError: a line lacks a number, or one is none.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        history = msgspec.convert(list(map(_fields, lines)), list[HistoryLine], strict=False)
        for line in history:
            if not all(map(math.isfinite, (line.epoch, line.seconds, line.learning_rate))):
                raise ValueError(f"the line of update {line.update:,} has numbers without an end")
        return tuple(history)
    except (ValueError, csv.Error) as error:
        raise FileFormatError(f"{path} is damaged: {error}.") from None


def _fields(line: dict[str, str]) -> dict[str, Any]:
    """A line of the file as the fields of a `HistoryLine`: other columns are metrics."""
    # A metric that was not measured at this line has an empty field.
    metrics = {name: value for name, value in line.items() if name not in COLUMNS and value != ""}
    return {**{name: line[name] for name in COLUMNS if name in line}, "metrics": metrics}


def _row(line: HistoryLine, names: Sequence[str]) -> list[str]:
    own = (repr(line.metrics[name]) if name in line.metrics else "" for name in names)
    return [*(repr(getattr(line, name)) for name in COLUMNS), *own]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
