"""What can go wrong, as exceptions.

Each message is one short text: what was expected, what was found, what to type instead.

    DescendError
    ├── InputError              the user's data or arguments              exit 2
    │   ├── DataError           a table that cannot be read or used
    │   ├── SettingsError       an option with an impossible value
    │   └── FileFormatError     a model, store or checkpoint that is damaged or too new
    ├── DivergedError           the loss left the finite numbers          exit 3
    └── InterruptedRunError     stopped by the user, can be resumed       exit 130
"""

from __future__ import annotations


class DescendError(Exception):
    """Base of every error that `descend` raises on purpose."""

    exit_status = 1


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
    """Training left the finite numbers and could not be rescued."""

    exit_status = 3


class InterruptedRunError(DescendError):
    """The user stopped the run; everything is saved and `descend resume` goes on."""

    exit_status = 130
