"""Tables, plots, findings and sections as HTML."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from descend.reporting.escaping import escape_html, escape_json
from descend.reporting.page_model import (
    Cell,
    Check,
    Finding,
    Interval,
    Plot,
    Ranged,
    Section,
    Summary,
    Table,
)

PERCENT = re.compile(r"(?<=\d) %")
OPTION = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*")
PAPER, LETTER, PADDING = 700, 7, 15
"""Pixels between the margins of a page on paper, of a letter there, and around a cell."""
LONG_TABLE = 20
"""A table of more rows than this scrolls within its own box."""
TONES = {"good": ("✓", "Passed:"), "warn": ("!", "Caution:"), "bad": ("✗", "Failed:")}
MARKS = {"good": "✓", "warn": "~", "bad": "✗", "even": "=", "neutral": "?"}
LEAST_REACH, MOST_REACH = 2.0, 100.0


def figures_json(plots: Sequence[Plot]) -> str:
    """The figures of a page by name, as its script reads them."""
    return escape_json(
        {plot.name: {**plot.figure, "x_choices": plot.x_choices or {}} for plot in plots}
    )


def summary_html(summary: Summary) -> str:
    """The top of a page."""
    figures = "".join(
        f"<div class=key><dt>{escape_html(one.label)}</dt><dd><b>{escape_html(one.value)}</b>"
        f"<small>{escape_html(one.note)}</small></dd></div>"
        for one in summary.figures
    )
    parts = [f"<p class=lead>{prose_html(summary.text)}</p>"]
    if summary.outcome:
        parts.append(
            f'<p class="outcome {escape_html(summary.tone)}">{_mark(summary.tone)}'
            f"{prose_html(summary.outcome)}</p>"
        )
    if figures:
        parts.append(f"<dl class=keys>{figures}</dl>")
    if summary.checks:
        parts.append(f"<ul class=checks>{''.join(map(_check_html, summary.checks))}</ul>")
    if summary.facts:
        parts.append(f"<p class=facts>{escape_html(summary.facts)}</p>")
    return "\n".join(parts)


def _check_html(check: Check) -> str:
    text = f" <span>{prose_html(check.text)}</span>" if check.text else ""
    return (
        f"<li class={check.tone}>{_mark(check.tone)}"
        f"<div><b>{escape_html(check.name)}</b>{text}</div></li>"
    )


def prose_html(text: str) -> str:
    """Text as HTML in which no option such as `--batch-size` is broken, and no `5 %`.

    >>> prose_html("Type --l2 <0.1>.")
    'Type <span class=option>--l2</span> &lt;0.1&gt;.'
    """
    text = PERCENT.sub("\N{NO-BREAK SPACE}%", escape_html(text))
    return OPTION.sub(r"<span class=option>\g<0></span>", text)


def _mark(tone: str) -> str:
    if tone not in TONES:
        return ""
    sign, word = TONES[tone]
    return f'<i class=mark role=img aria-label="{word}">{sign}</i> '


def section_html(section: Section, anchor: str) -> str:
    """A heading and its content."""
    parts = [f"<p>{prose_html(text)}</p>" for text in section.text]
    parts += [f"<p class=warning>{prose_html(text)}</p>" for text in section.warnings]
    parts += [findings_html(section.findings)] if section.findings else []
    if section.plots:
        plots = "\n".join(plot_html(plot) for plot in _without_gaps(section.plots))
        parts.append(f"<div class=plots>\n{plots}\n</div>")
    parts += [table_html(table) for table in section.tables]
    parts += [f"<pre tabindex=0><code>{prose_html(text)}</code></pre>" for text in section.code]
    heading = f"<h2>{escape_html(section.heading)}</h2>"
    body = "\n".join(parts)
    if section.folded:
        body = f"<details><summary>{heading}</summary>\n{body}\n</details>"
    else:
        body = f"{heading}\n{body}"
    return f'<section id="{anchor}">\n{body}\n</section>'


def _without_gaps(plots: Sequence[Plot]) -> list[Plot]:
    """The plots; one of half width that would stand alone in its row takes the whole row."""
    shown: list[Plot] = []
    waiting = False
    for place, plot in enumerate(plots):
        followed = plots[place + 1 : place + 2]
        alone = plot.half and not waiting and not (followed and followed[0].half)
        shown.append(dataclasses.replace(plot, half=False) if alone else plot)
        waiting = plot.half and not waiting and not alone
    return shown


def plot_html(plot: Plot) -> str:
    """A plot with its switches, its caption and its numbers as a table."""
    name = escape_html(plot.name)
    caption = f"<p class=caption>{prose_html(plot.caption)}</p>" if plot.caption else ""
    shape = "canvas tall" if plot.tall else "canvas"
    half = " class=half" if plot.half else ""
    return (
        f'<figure data-plot="{name}"{half}>\n'
        f"<figcaption><h3>{escape_html(plot.title)}</h3></figcaption>\n"
        f"{_switches(plot)}"
        f'<div class="{shape}" role=group aria-label="{escape_html(plot.title)}. '
        'The numbers are in the table below."></div>\n'
        f"{caption}"
        f"<details class=numbers><summary>The numbers as a table</summary>\n"
        f"{table_html(plot.table)}</details>\n</figure>"
    )


def table_html(table: Table) -> str:
    """A table that scrolls sideways where it is wider than the screen."""
    numeric = [
        any(isinstance(row[place], int | float | Ranged) for row in table.rows)
        and all(isinstance(row[place], int | float | Ranged | None) for row in table.rows)
        for place in range(len(table.header))
    ]
    caption = (
        f"<caption><span>{escape_html(table.caption)}</span></caption>" if table.caption else ""
    )
    head = "".join(
        f"<th scope=col{_numeric_class(is_number)}>{escape_html(name)}</th>"
        for name, is_number in zip(table.header, numeric, strict=True)
    )
    rows = []
    for number, row in enumerate(table.rows):
        cells = []
        for place, cell in enumerate(row):
            tag, scope = ("th", " scope=row") if place == 0 and table.row_headers else ("td", "")
            value = f' data-value="{cell}"' if table.sortable and _is_number(cell) else ""
            kind = f"{tag}{scope}{_numeric_class(numeric[place])}{value}"
            mark = _swatch(table.colours[number]) if place == 0 and table.colours else ""
            cells.append(f"<{kind}>{mark}{cell_text(cell)}</{tag}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    label = f' aria-label="{escape_html(table.caption)}"' if table.caption else ""
    long = '"scroll long"' if len(rows) > LONG_TABLE else "scroll"
    width = "fits" if _fits_paper(table) else "wide"
    kind = f'class="sortable {width}"' if table.sortable else f"class={width}"
    body = (
        f"<div class={long} tabindex=0 role=group{label}><table {kind}>{caption}"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(rows)}</tbody></table></div>\n"
    )
    if table.folded:
        title = escape_html(table.caption)
        return f"<details class=numbers><summary>{title}</summary>\n{body}</details>\n"
    return body


def _fits_paper(table: Table) -> bool:
    """Whether the table is narrow enough for paper without a word being broken.

    >>> _fits_paper(Table(["a", "b"], [["some words", "more"]]))
    True
    >>> _fits_paper(Table([30 * "long"], []))
    False
    """
    widths = []
    for column in zip(table.header, *table.rows, strict=True):
        words = [word for cell in column for word in _plain_text(cell).split()]
        widths.append(max(map(len, words), default=0))
    return sum(LETTER * width + PADDING for width in widths) <= PAPER


def _plain_text(cell: Cell) -> str:
    return f"{cell.value} {cell.span}" if isinstance(cell, Ranged) else cell_text(cell)


def _swatch(colour: str) -> str:
    """A mark in the colour of a line; the page's script swaps it on a dark page."""
    return f'<i class=swatch data-colour="{colour}" style="background:{colour}"></i>'


def cell_text(cell: Cell) -> str:
    """A cell as HTML: thousands are separated, a missing value is a dash."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "—"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return number_text(cell)
    if isinstance(cell, Ranged):
        span = f"<small>{escape_html(cell.span)}</small>" if cell.span else ""
        return f"{escape_html(cell.value)}{span}"
    return escape_html(cell)


def number_text(value: float | None) -> str:
    """A number in four significant digits."""
    if value is None or math.isnan(value):
        return "—"
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    digits = f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return digits.replace("-", "−")


def three_text(value: float | None) -> str:
    """A number in three significant digits."""
    return number_text(None if value is None else float(f"{value:.3g}"))


def anchors(sections: Sequence[Section]) -> list[str]:
    """A unique anchor for each section."""
    taken: list[str] = []
    for section in sections:
        stem = re.sub("[^a-z0-9]+", "-", section.heading.lower()).strip("-") or "section"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.append(name)
    return taken


def _switches(plot: Plot) -> str:
    """Buttons for the unit of the horizontal axis and for logarithmic axes."""
    name = escape_html(plot.name)
    choices = list(plot.x_choices or {})
    layout = plot.figure["layout"]
    parts = []
    if len(choices) > 1:
        buttons = "".join(
            f'<label><input type=radio name="x-{name}" value="{escape_html(choice)}"'
            f"{' checked' if place == 0 else ''}><span>{escape_html(choice)}</span></label>"
            for place, choice in enumerate(choices)
        )
        parts.append(f"<fieldset><legend>Horizontal axis</legend>{buttons}</fieldset>")
    logs = [
        (axis, f"{axis}axis") for axis, offered in (("x", plot.log_x), ("y", plot.log_y)) if offered
    ]
    if logs:
        words = {"x": "horizontal", "y": "vertical"}
        boxes = "".join(
            f'<label><input type=checkbox data-log="{axis}"'
            f"{' checked' if layout[key].get('type') == 'log' else ''}>"
            f"<span>{words[axis]}</span></label>"
            for axis, key in logs
        )
        parts.append(f"<fieldset><legend>Logarithmic</legend>{boxes}</fieldset>")
    return f"<div class=switches>{''.join(parts)}</div>\n" if parts else ""


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _numeric_class(is_number: bool) -> str:
    return " class=n" if is_number else ""


def findings_html(findings: Sequence[Finding]) -> str:
    """Statements with their ratios as bars about 1, all on one scale so that they compare."""
    reach = reach_of([one for finding in findings for one in finding.intervals])
    items = "\n".join(_finding_html(finding, reach) for finding in findings)
    return f"<ul class=findings>\n{items}\n</ul>"


def reach_of(intervals: Sequence[Interval]) -> float:
    """The scale of the bars goes from 1/reach to reach, within MOST_REACH.

    >>> reach_of([Interval("", "", 5.0, 0.1, 20.0)])
    20.0
    """
    ends = [end for one in intervals for end in (one.value, one.low, one.high) if end]
    furthest = max((max(end, 1.0 / end) for end in ends), default=LEAST_REACH)
    return min(MOST_REACH, max(LEAST_REACH, furthest))


def _finding_html(finding: Finding, reach: float) -> str:
    ratios = "".join(_ratio(one, reach) for one in finding.intervals)
    return (
        f"<li class={finding.tone}><div class=verdict><span aria-hidden=true>"
        f"{MARKS[finding.tone]}</span> {escape_html(finding.verdict)}</div>"
        f"<div class=told><h3>{escape_html(finding.title)}</h3><p>{escape_html(finding.text)}</p>"
        f"<ul class=ratios>{ratios}</ul></div></li>"
    )


def _ratio(one: Interval, reach: float) -> str:
    bar = ""
    if one.value is not None:
        low, high = (
            _percent_along(end, reach) for end in (one.low or one.value, one.high or one.value)
        )
        bar = (
            f'<i style="left:{low:.1f}%;width:{max(0.0, high - low):.1f}%"></i>'
            f'<b style="left:{_percent_along(one.value, reach):.1f}%"></b>'
        )
    return (
        f"<li class={one.tone}><span class=label>{escape_html(one.label)}</span>"
        f"<span class=bar aria-hidden=true>{bar}</span>"
        f"<span class=ratio>{escape_html(one.text)}</span></li>"
    )


def _percent_along(value: float, reach: float) -> float:
    """The place of a ratio on a logarithmic scale, in percent."""
    part = math.log(min(reach, max(1.0 / reach, value))) / math.log(reach)
    return 50.0 * (1.0 + part)
