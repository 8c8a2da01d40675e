"""What a page is made of: tables, plots, sections and a summary, as records without markup.

Text in them is plain text, whatever it holds: who draws it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Figure = Mapping[str, Any]
"""A Plotly figure: `{"data": [trace, ...], "layout": {...}}`. Built by `plots`, which escapes."""


class Ranged(NamedTuple):
    """A cell with the range that it lies in, both as text."""

    value: str
    span: str


Cell = str | int | float | Ranged | None


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
        tall: whether it is a picture of a plane, about as high as wide.
    """

    name: str
    title: str
    figure: Figure
    table: Table
    caption: str = ""
    x_choices: Mapping[str, Sequence[Sequence[float]]] | None = None
    log_x: bool = False
    log_y: bool = False
    tall: bool = False


@dataclass(frozen=True)
class Interval:
    """A ratio with what is sure of it, drawn as a bar about 1.

    Attributes:
        label: what it is the ratio of.
        text: the numbers.
        value: the ratio, above 0.
        low: lower end; None where nothing is sure.
        high: upper end.
        tone: `good` where it is surely above 1, `bad` where below, `neutral` where neither.
    """

    label: str
    text: str
    value: float | None
    low: float | None
    high: float | None
    tone: str = "neutral"


@dataclass(frozen=True)
class Finding:
    """A statement with its verdict and the ratios that decided.

    Attributes:
        title: the statement.
        verdict: in a word or three.
        tone: of the verdict: `good`, `neutral` or `bad`.
        text: what was measured.
        intervals: the ratios.
    """

    title: str
    verdict: str
    tone: str
    text: str
    intervals: Sequence[Interval] = ()


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order.

    Attributes:
        heading: of the section.
        text: paragraphs, before everything else.
        findings: statements with their verdicts.
        plots: figures.
        tables: tables.
        warnings: what the reader should not miss.
        code: what was or can be typed, a block each.
        folded: whether the section is closed at first.
    """

    heading: str
    text: Sequence[str] = ()
    findings: Sequence[Finding] = ()
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


@dataclass(frozen=True)
class Page:
    """A page, told and not yet drawn.

    Attributes:
        title: of the page.
        summary: what is read first.
        sections: the evidence. Plots are told apart by their names: no two may be alike.
        source: the line at the foot.
    """

    title: str
    summary: Summary
    sections: Sequence[Section]
    source: str = ""

    @property
    def plots(self) -> list[Plot]:
        """All plots, from top to bottom."""
        return [plot for section in self.sections for plot in section.plots]
