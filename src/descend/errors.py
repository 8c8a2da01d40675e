"""What can go wrong, as exceptions, and how their messages are written.

Each message is one short text: what was expected, what was found, what to type instead. Options
are named as the caller types them, and whatever is quoted from the user's files is made printable;
both are done here, in one place.

    DescendError
    ├── InputError              the user's data or arguments              exit 2
    │   ├── DataError           a table that cannot be read or used
    │   ├── SettingsError       an option with an impossible value
    │   └── FileFormatError     a model, store or checkpoint that is damaged or too new
    ├── DivergedError           the loss became NaN or infinite          exit 3
    └── InterruptedRunError     stopped by the user, can be resumed       exit 130
        └── LostProcessError    another process of the job ended
"""

from __future__ import annotations

import inspect
import os
import shlex
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST_ERROR = 1200
"""Characters of a message; what is longer is cut in the middle."""
LONGEST_CELL = 60
"""Characters of a cell that a message quotes."""
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn_user(text: str, kind: type[Warning]) -> None:
    """Warn, and name the line of the user's program that led here, not one of this package.

    Args:
        text: what is said.
        kind: of the warning.
    """
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, kind, stacklevel=level)


def printable(text: object, longest: int | None = None) -> str:
    r"""Text that a terminal shows as letters, whatever a name or a cell in it holds.

    Control characters (which could colour, move or rename a terminal), halves of surrogate pairs
    and characters that turn the direction of what follows are written as their code.

    Args:
        text: what is to be shown.
        longest: characters; what is longer is cut in the middle, and says so.

    Returns:
        The text; line ends and tabs stay.

    >>> print(printable("red: \x1b[31m"), printable("a" * 5000, 60))
    red: \x1b[31m aaaaaaaaaaaaaaaaaaaaa ... (4,958 more) ... aaaaaaaaaaaaaaaaaaaaa
    """
    text = str(text)
    if longest is not None:
        text = _cut(text, longest)  # First: what is left out need not be looked at.
    if text.isascii() and text.isprintable():
        return text
    shown = {ord(letter): _printable_letter(letter) for letter in set(text)}
    return text.translate(shown)


def quoted_cell(text: str) -> str:
    """A cell of a table in quotes, cut where it is long: a cell may be a book.

    >>> quoted_cell("n/a"), quoted_cell("a" * 100)
    ("'n/a'", "'aaaaaaaaaaaaaaaaaaaaa ... (58 more) ... aaaaaaaaaaaaaaaaaaaaa'")
    """
    return repr(_cut(text, LONGEST_CELL))


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = (longest - 18) // 2
    return f"{text[:end]} ... ({len(text) - 2 * end:,} more) ... {text[-end:]}"


def cell_option_text(name: str, text: str, placeholder: str) -> str:
    """An option with a cell of a table as its value, or a placeholder for a cell too long to type.

    >>> cell_option_text("missing", "n/a", "TEXT"), cell_option_text("missing", "a" * 100, "TEXT")
    ("missing=['n/a']", "missing=['TEXT']")
    """
    typeable = len(text) <= LONGEST_CELL and text.isprintable()
    return option_text(name, [text if typeable else placeholder])


def _printable_letter(letter: str) -> str:
    if letter in "\n\t":
        return letter
    if unicodedata.category(letter) in ("Cc", "Cs") or letter in _TURNING:
        return letter.encode("unicode_escape").decode("ascii")
    return letter


_on_command_line = False
_renamed: ContextVar[Mapping[str, str] | None] = ContextVar("_renamed", default=None)


def option_text(name: str, value: object = None, *, typed: str | None = None) -> str:
    """An option, and a value for it, as the caller types them: in Python or on the command line.

    Args:
        name: of the option, such as `batch_size`.
        value: to show with it; None shows the name alone.
        typed: the value as it is typed on the command line, where that is not its plain text.

    Returns:
        `batch_size=64` in Python, `--batch-size 64` on the command line.

    >>> option_text("batch_size"), option_text("exclude", ["day", "my id"])
    ('batch_size', "exclude=['day', 'my id']")
    >>> with command_line_words():
    ...     option_text("force", True), option_text("exclude", ["day", "my id"])
    ('--force', "--exclude 'day,my id'")
    """
    if not _on_command_line:
        name = (_renamed.get() or {}).get(name, name)
        return name if value is None else f"{name}={value!r}"
    dashed = name.replace("_", "-")
    if value is None or value is True:
        return f"--{dashed}"
    if value is False:
        return f"--no-{dashed}"
    return f"--{dashed} {typed or shell_text(_as_typed(value))}"


def command_text(name: str, argument: object, **options: object) -> str:
    """A command as the caller types it.

    Args:
        name: of the command.
        argument: its first argument.
        options: those that follow, by name.

    Returns:
        `descend.resume('runs/bike')` in Python, `descend resume runs/bike` on the command line.
    """
    given = [option_text(option, value) for option, value in options.items()]
    first = argument_text(argument)
    if not _on_command_line:
        return f"descend.{name}({', '.join([first, *given])})"
    return " ".join([f"descend {name} {first}", *given])


def argument_text(argument: object) -> str:
    """The first argument of a command, a file or a query, as the caller types it."""
    return shell_text(str(argument)) if _on_command_line else repr(str(argument))


def shell_text(text: str) -> str:
    r"""A text as a shell takes it: in double quotes where it holds single ones, as queries do.

    >>> print(shell_text("a b"), shell_text("SELECT * FROM 'a.csv'"), shell_text("a.csv"))
    'a b' "SELECT * FROM 'a.csv'" a.csv
    >>> print(shell_text('SELECT "my x" FROM \'a.csv\''))
    "SELECT \"my x\" FROM 'a.csv'"
    """
    if "'" in text and not any(mark in text for mark in "$`\\!\n"):
        escaped = text.replace('"', '\\"')
        return f'"{escaped}"'
    return shlex.quote(text)


def _as_typed(value: object) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    return ",".join(_in_list(str(one)) for one in value)


def _in_list(text: str) -> str:
    """A text as it stands in a list with commas: in double quotes where these are needed."""
    odd = "," in text or text.startswith('"') or text != text.strip()
    return '"' + text.replace('"', '""') + '"' if odd else text


def name_text(name: str) -> str:
    r"""The name of a column as the caller types it: in Python or on the command line.

    >>> name_text("day"), name_text(" x")
    ("'day'", "' x'")
    >>> with command_line_words():
    ...     name_text("day"), name_text(" x")
    ("'day'", '\'" x"\'')
    """
    typed = _in_list(name)
    return repr(name) if not _on_command_line or typed == name else shlex.quote(typed)


def listed_names(names: Sequence[str]) -> str:
    """The first names of a list of columns; those that need quotes have them."""
    shown = [one if _in_list(one) == one else name_text(one) for one in names[:20]]
    return ", ".join(shown) + (", ..." if len(names) > 20 else "")


@contextmanager
def command_line_words(on: bool = True) -> Iterator[None]:
    """Inside the `with`, messages name options as they are typed on the command line.

    Args:
        on: False names them as in Python, as a program does that the command line runs.
    """
    global _on_command_line  # noqa: PLW0603 - a process has one caller
    before, _on_command_line = _on_command_line, on
    try:
        yield
    finally:
        _on_command_line = before


@contextmanager
def parameters_named(names: Mapping[str, str]) -> Iterator[None]:
    """Within this block, messages give some options other names: those of an estimator.

    Args:
        names: such as `{"epochs": "max_epochs"}`.
    """
    token = _renamed.set(names)
    try:
        yield
    finally:
        _renamed.reset(token)


class DataWarning(UserWarning):
    """What a table holds may not be what the model expects; the message names column and cells."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message, LONGEST_ERROR))


class DescendError(Exception):
    """Base of every error that `descend` raises on purpose; its message is printable."""

    exit_status = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message, LONGEST_ERROR))


class InputError(DescendError, ValueError):
    """The user's input or arguments cannot be used as they are."""

    exit_status = 2


class DataError(InputError):
    """A table cannot be read, or its content cannot be learned from."""


class SettingsError(InputError):
    """An option has a value that it cannot have."""


class FileFormatError(InputError):
    """A file that `descend` wrote is truncated, altered, or of a newer version."""


class DivergedError(DescendError):
    """The loss kept becoming NaN or infinite, even at lower learning rates."""

    exit_status = 3


class InterruptedRunError(DescendError):
    """The user stopped the run; everything is saved and `descend resume` goes on."""

    exit_status = 130


def what_after_a_loss(processes: int) -> str:
    """What to do after one of several processes was lost: what they did may have had no run.

    Args:
        processes: of the job.
    """
    return (
        "If it trained a run whose folder has a checkpoint, the run goes on from there: resume it "
        f"in {processes} processes. Anything else, such as an advice, starts again."
    )


class LostProcessError(InterruptedRunError):
    """A process that trained together with this one ended; a run that was saved can be resumed."""
