"""What the user says about how a table is written."""

from __future__ import annotations

from dataclasses import dataclass


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
