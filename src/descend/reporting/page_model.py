"""What a page is made of: tables, plots, sections and a summary, as records without markup.

Text in them is plain text; whoever draws it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Figure = Mapping[str, Any]
"""A Plotly figure: `{"data": [trace, ...], "layout": {...}}`. Built by `plots`, which escapes."""


class Ranged(NamedTuple):
    """A cell with its range, both as text."""

    value: str
    span: str


Cell = str | int | float | Ranged | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header.

    Attributes:
        header: the names of the columns.
        rows: cells; numbers are aligned to the right, None is shown as a dash.
        caption: what the table shows.
        row_headers: whether the first cell of a row names the row.
        folded: whether the table is closed at first, under its caption.
        sortable: whether a click on a header sorts the rows.
        colours: of the line that belongs to each row; empty where none does.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    row_headers: bool = True
    folded: bool = False
    sortable: bool = False
    colours: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """A figure with its title, caption and table.

    Attributes:
        name: unique on its page, also that of its picture file; letters, digits and dashes.
        title: what it shows.
        figure: for Plotly and for `png`.
        table: the same numbers, for readers who cannot see the plot.
        caption: what to look for.
        x_choices: horizontal axes to choose from, by title: the x values of each trace. The
            first is the one of the figure.
        log_x: whether the horizontal axis can be made logarithmic.
        log_y: whether the vertical axis can be made logarithmic.
        tall: whether it is a plane, about as high as wide.
        half: whether two of them stand side by side where the page is wide enough.
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
    half: bool = False


@dataclass(frozen=True)
class Interval:
    """A ratio with its interval, drawn as a bar about 1.

    Attributes:
        label: what it is the ratio of.
        text: the numbers.
        value: the ratio, above 0.
        low: lower end; None where nothing is certain.
        high: upper end.
        tone: `good` where it is certainly above 1, `bad` where below, `even` where near 1,
            `neutral` where it is not known.
    """

    label: str
    text: str
    value: float | None
    low: float | None
    high: float | None
    tone: str = "neutral"


@dataclass(frozen=True)
class Finding:
    """A statement, whether it holds, and the ratios that decided.

    Attributes:
        title: the statement.
        verdict: in one to three words.
        tone: of the verdict: `good`, `warn`, `bad`, `even` or `neutral`.
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
    """A heading and its content, in this order.

    Attributes:
        heading: of the section.
        text: paragraphs, before everything else.
        findings: statements and whether they hold.
        plots: figures.
        tables: tables.
        warnings: what the reader must not miss.
        code: blocks of what was or can be typed.
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
        note: what to compare it with.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Check:
    """A check of what the page is about.

    Attributes:
        name: the finding in a few words.
        tone: `good`, `warn` or `bad`.
        text: what was found, and what to do.
    """

    name: str
    tone: str
    text: str = ""


@dataclass(frozen=True)
class Summary:
    """What a reader in a hurry reads.

    Attributes:
        text: one sentence or two.
        figures: a handful of numbers.
        outcome: how it ended, in a sentence.
        tone: of the outcome: `good`, `neutral`, `warn` or `bad`.
        checks: what the outcome sums up.
        facts: when, where and from what, in a line.
    """

    text: str
    figures: Sequence[KeyFigure] = ()
    outcome: str = ""
    tone: str = "neutral"
    checks: Sequence[Check] = ()
    facts: str = ""


@dataclass(frozen=True)
class Page:
    """A page as data, not yet drawn.

    Attributes:
        title: of the page.
        summary: what is read first.
        sections: the evidence. The names of all plots must differ.
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
