"""Tables and paragraphs that fit the width of the terminal, and never break a word."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

USUAL_WIDTH = 100
"""Columns where the output is no terminal and COLUMNS is not set."""
LEAST_COLUMN = 10
"""A column of text is not made narrower than this, or than its longest word up to 24 letters."""
LONGEST_WORD = 24
GAP = 2
_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})
"""A cell is part of one line, whatever stands in it."""


def width() -> int:
    """Columns of the terminal: COLUMNS, else what the terminal says."""
    return max(20, shutil.get_terminal_size((USUAL_WIDTH, 24)).columns)


def paragraph(text: str, indent: str = "") -> str:
    """Each line of a text wrapped at words."""
    return "\n".join(
        textwrap.fill(
            line,
            width(),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def table_text(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: int = 0,
    columns: int | None = None,
) -> str:
    """Columns of text, as wide as the terminal at most.

    A table that is too wide first wraps its columns of text at words; where that is not enough,
    each row becomes a block of lines `name: value`.

    Args:
        header: names of the columns.
        rows: cells as text.
        numbers: how many of the last columns hold numbers; they are set to the right.
        columns: the width to fit; None takes that of the terminal.
    """
    space = columns or width()
    header, *rows = [[cell.translate(_BREAKS) for cell in row] for row in (header, *rows)]
    lines = [header, *rows]
    widths = [max(len(row[place]) for row in lines) for place in range(len(header))]
    left = len(header) - numbers
    least = [
        min(full, _least(row[place] for row in lines)) if place < left else full
        for place, full in enumerate(widths)
    ]
    excess = sum(widths) + GAP * (len(header) - 1) - space
    while excess > 0:
        # The column that can give most gives one letter, until the table fits.
        place = max(range(len(widths)), key=lambda one: widths[one] - least[one])
        if widths[place] == least[place]:
            return _stack_rows(header, rows, space)
        widths[place] -= 1
        excess -= 1
    rule = ["─" * one for one in widths]
    return "\n".join(
        [_line(header, widths, left), _line(rule, widths, left)]
        + [_line(row, widths, left) for row in rows]
    )


def _least(cells: object) -> int:
    words = [word for cell in cells for word in str(cell).split()]  # type: ignore[attr-defined]
    return max(LEAST_COLUMN, min(LONGEST_WORD, max(map(len, words), default=0)))


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    """A row as one line, or as several where a cell is wrapped."""
    cells = [
        textwrap.wrap(cell, wide, break_on_hyphens=False) or [""] if len(cell) > wide else [cell]
        for cell, wide in zip(row, widths, strict=True)
    ]
    gap = " " * GAP
    lines = []
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        lines.append(
            gap.join(
                part.ljust(wide) if place < left else part.rjust(wide)
                for place, (part, wide) in enumerate(zip(parts, widths, strict=True))
            ).rstrip()
        )
    return "\n".join(lines)


def _stack_rows(header: Sequence[str], rows: Sequence[Sequence[str]], space: int) -> str:
    """A block of lines for each row, named by its first cell."""
    blocks = []
    for row in rows:
        facts = [
            f"{name}: {cell}" if name else cell
            for name, cell in zip(header[1:], row[1:], strict=True)
            if cell
        ]
        wrapped = textwrap.wrap(
            " · ".join(facts),
            space,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        blocks.append("\n".join([row[0], *wrapped]))
    return "\n".join(blocks)
