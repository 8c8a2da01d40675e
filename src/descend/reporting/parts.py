"""What a page is made of: tables, plots, sections and a summary, as records without markup.

Text in them is plain text, whatever it holds: who draws it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figure = Mapping[str, Any]
"""A Plotly figure: `{"data": [trace, ...], "layout": {...}}`. Built by `plots`, which escapes."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header.

    Attributes:
        header: the names of the columns.
        rows: cells; numbers are set to the right, None is shown as a dash.
        caption: what the table shows, for those who hear it read.
        row_headers: whether the first cell of a row names the row.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    row_headers: bool = True


@dataclass(frozen=True)
class Plot:
    """A figure with what stands around it.

    Attributes:
        name: of the plot on its page and of its picture file; letters, digits and dashes.
        title: what it shows.
        figure: for Plotly, and for the pictures of `png`.
        table: the same numbers for those who cannot see the plot.
        caption: what to look for.
        x_choices: horizontal axes to choose from, by title: the x values of each trace. The
            first is the one that the figure holds.
        log_x: whether the horizontal axis can be made logarithmic.
        log_y: whether the vertical axis can be made logarithmic.
    """

    name: str
    title: str
    figure: Figure
    table: Table
    caption: str = ""
    x_choices: Mapping[str, Sequence[Sequence[float]]] | None = None
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order.

    Attributes:
        heading: of the section.
        text: paragraphs, before everything else.
        plots: figures.
        tables: tables.
        warnings: what the reader should not miss.
        code: what was or can be typed, a block each.
        folded: whether the section is closed at first.
    """

    heading: str
    text: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    warnings: Sequence[str] = ()
    code: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True)
class KeyFigure:
    """One number of a summary.

    Attributes:
        label: what it is.
        value: as text.
        note: beside what to judge it by.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """What a busy person reads in ten seconds.

    Attributes:
        text: one sentence or two.
        figures: a handful of numbers.
        outcome: how it ended, in a sentence.
        tone: of the outcome: `good`, `neutral` or `bad`.
    """

    text: str
    figures: Sequence[KeyFigure] = ()
    outcome: str = ""
    tone: str = "neutral"
