"""What the user says about how a table is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from descend.errors import SettingsError, option_text
from descend.settings import DELIMITERS, Settings, is_delimiter


@dataclass(frozen=True)
class ReadingOptions:
    """What the user says about how text files are written; it goes before what is found.

    Attributes:
        delimiter: between fields; a space stands for any number of spaces and tabs; None finds it.
        header: whether the first line holds the names of the columns.
        skip_lines: lines above the header, or above the first row; None finds them.
    """

    delimiter: str | None = None
    header: bool = True
    skip_lines: int | None = None


def reading_options(settings: Settings, given: Mapping[str, Any] | None = None) -> ReadingOptions:
    """How a table is read: as the settings say, but for what is given.

    Args:
        settings: of a run or a model.
        given: `delimiter`, `header`, `skip_lines`, where the user says otherwise for a table;
            None as a value says nothing.

    Raises:
        SettingsError: a delimiter that cannot be one, or lines that are no number.
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
