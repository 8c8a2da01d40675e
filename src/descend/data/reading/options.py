"""The options that say how a text file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from descend.choices import DELIMITERS, is_delimiter
from descend.errors import SettingsError, option_text
from descend.settings import Settings


@dataclass(frozen=True)
class ReadingOptions:
    """How a text file is written, as far as the user says; the rest is detected.

    Attributes:
        delimiter: between fields; a space stands for any number of spaces and tabs; None
            detects it.
        header: whether the first line holds the names of the columns.
        skip_lines: lines above the header, or above the first row; None detects them.
    """

    delimiter: str | None = None
    header: bool = True
    skip_lines: int | None = None


def reading_options(settings: Settings, given: Mapping[str, Any] | None = None) -> ReadingOptions:
    """The options of the settings, with those that are given for a table instead.

    Args:
        settings: of a run or a model.
        given: `delimiter`, `header` and `skip_lines` for this table; a value of None keeps that
            of the settings.

    Raises:
        SettingsError: an impossible delimiter, or a number of lines that is none.
    """
    names = ("delimiter", "header", "skip_lines")
    values = {name: getattr(settings, name) for name in names}
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    delimiter = values["delimiter"]
    if delimiter is not None:
        if not is_delimiter(delimiter):
            raise SettingsError(
                f"{option_text('delimiter')} must be one character, such as ';', or tab, or space; "
                f"found {delimiter!r}."
            )
        values["delimiter"] = DELIMITERS.get(delimiter, delimiter)
    return ReadingOptions(**values)
