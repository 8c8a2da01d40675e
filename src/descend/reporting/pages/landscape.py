"""The page of a landscape, from its record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from descend.io.units import count_text, percent_text
from descend.reporting.html import number_text
from descend.reporting.page_model import Cell, KeyFigure, Page, Section, Summary, Table
from descend.reporting.pages.facts import facts_text
from descend.reporting.plots.landscape import (
    contours_plot,
    law_plot,
    left_plot,
    losses_plot,
    paths_in_order,
)

Record = Mapping[str, Any]

HEADER = ("method", "rows per update", "learning rate", "updates", "loss at the end", "ends at")
FAR_OFF = 0.1
"""A path that ends this far off the plane, as a share of the picture's width, is named."""
PLANE_NOTES = {
    "path": "The directions are those in which the snapshots of the weights lie furthest apart.",
    "random": "The directions are random, filter by filter as long as the weights.",
}


def landscape_page(record: Record) -> Page:
    """The page of a landscape.

    Args:
        record: what landscape.json holds.
    """
    return Page(
        landscape_title(record),
        landscape_summary(record),
        landscape_sections(record),
        f"Made by descend {record['descend']} from landscape.json.",
    )


def landscape_title(record: Record) -> str:
    """Like `Landscape: valley`."""
    return f"Landscape: {record['name']}"


def landscape_summary(record: Record) -> Summary:
    """What is to be seen, and the ends of the paths."""
    paths, shown = paths_in_order(record)
    floor = record.get("lowest", 0.0)
    above = "above the lowest point, after" if floor else "after"
    figures = [
        KeyFigure(
            path["method"],
            number_text(_without_rounding_error(path["losses"][-1] - floor)),
            f"{above} {count_text(path['updates'][-1], 'update')} of {_rows_text(path)}",
        )
        for path in paths[:shown]
    ]
    lowest = _lowest_text(paths)
    if record["of"] == "run":
        text = (
            f"{record['title']}, from the initial weights of the run on. The plane holds "
            f"{percent_text(record['explained'])} of the squared extent of the paths. The weights "
            "have many more directions: a path far off the plane is drawn at a height that is "
            "not its own loss."
        )
        return Summary(text, figures, outcome=lowest, facts=facts_text(record))
    law = record.get("escape_law")
    if law:
        lowest += (
            " The time to leave the shallow well grows exponentially with batch size over learning "
            f"rate (R² {law['explained']:.3f}); two learning rates agree to a factor of "
            f"{law['apart']:.2f}."
        )
    return Summary(record["title"], figures, outcome=lowest, facts=facts_text(record))


def _lowest_text(paths: Sequence[Record]) -> str:
    """Which method ends lowest, of those that read about as many rows, and of all.

    A classical method reads all rows several times for each step.
    """
    rules = [path for path in paths if path["learning_rate"] is not None]
    most = max((_read(path) for path in rules), default=math.inf)
    equal = [path for path in paths if _read(path) <= 1.01 * most]
    best = min(equal or paths, key=lambda path: float(path["losses"][-1]))
    text = f"{best['method']} ends lowest: {_end_text(best)}."
    over = min(paths, key=lambda path: float(path["losses"][-1]))
    if number_text(over["losses"][-1]) == number_text(best["losses"][-1]):
        return text
    return (
        f"Of those that read at most {most:,.0f} rows, {text} {over['method']} ends lower: "
        f"{_end_text(over)}."
    )


def _read(path: Record) -> float:
    return float(path["updates"][-1] * path["rows_read"])


def _end_text(path: Record) -> str:
    return (
        f"a loss of {number_text(path['losses'][-1])} after "
        f"{count_text(path['updates'][-1], 'update')}, {_read(path):,.0f} rows read"
    )


def landscape_sections(record: Record) -> list[Section]:
    """The contours with the paths, the losses along them, and the times to leave."""
    if record["of"] == "run":
        note = PLANE_NOTES[record["directions"]]
    else:
        note = (
            f"Each update rule reads the rows {record.get('epochs', 40)} times, at the learning "
            "rate, out of a grid of factors of two, that gives the lowest loss at the end, "
            "averaged over several orders of rows; for gradient descent on all rows among the "
            "rates at which its loss never rises."
        )
    far = [path["method"] for path in record["paths"] if path.get("away", 0.0) > FAR_OFF]
    off = [
        f"Not on the plane at their ends: {', '.join(far)}. The surface under them is not their "
        "loss; the table says how far off they are, as a share of the width of the picture, and "
        "their own loss."
    ]
    sections = [
        Section(
            "The paths",
            text=[note],
            warnings=off if far else [],
            plots=[contours_plot(record)],
            tables=[_ends(record)],
        ),
        Section(
            "The loss along them",
            text=[str(record["loss_note"])] if record.get("loss_note") else [],
            plots=[losses_plot(record)],
        ),
    ]
    if record.get("escapes"):
        sections.append(
            Section(
                "Leaving a shallow minimum",
                text=[
                    "Many runs start in the shallow well at once. The ratio of learning rate to "
                    "batch size decides how soon they leave, not the batch size alone: the noise "
                    "in the weights grows with that ratio."
                ],
                plots=[law_plot(record), left_plot(record)],
            )
        )
    if record.get("rates"):
        sections.append(_rates_section(record))
    return sections


def _ends(record: Record) -> Table:
    away = all("away" in path for path in record["paths"])
    rows: list[list[Cell]] = [
        [
            path["method"],
            path["rows_read"],
            path["learning_rate"],
            path["updates"][-1],
            path["losses"][-1],
            *([percent_text(path["away"])] if away else []),
            "(" + ", ".join(_coordinate(value) for value in path["points"][-1]) + ")",
        ]
        for path in record["paths"]
    ]
    header = [*HEADER[:-1], *(["off the plane"] if away else []), HEADER[-1]]
    return Table(header, rows, caption="Where the paths end")


def _rates_section(record: Record) -> Section:
    rates = record["rates"]
    paths = [path for path in record["paths"] if path["trials"]]
    rows: list[list[Cell]] = [
        [
            rate,
            *(
                "rose or diverged"
                if path["trials"][place] is None
                else _trial_text(path, place, rate)
                for path in paths
            ),
        ]
        for place, rate in enumerate(rates)
    ]
    return Section(
        "How the learning rates were found",
        text=[
            "The loss at the end of the path; for mini-batches the mean over several orders of "
            "rows, other than the one shown. The lowest is marked *."
        ],
        tables=[
            Table(
                ["learning rate", *(path["method"] for path in paths)],
                rows,
                caption="Loss at the end at each learning rate",
            )
        ],
        folded=True,
    )


def _trial_text(path: Record, place: int, rate: float) -> str:
    if path["trials"][place] is None:
        return "rose or diverged"
    text = number_text(path["trials"][place])
    return f"{text} *" if rate == path["learning_rate"] else text


def _without_rounding_error(value: float) -> float:
    """Differences below the rounding of float32 are none."""
    return 0.0 if abs(value) < 1e-6 else value


def _rows_text(path: Record) -> str:
    return "1 row" if path["rows_read"] == 1 else f"{path['rows_read']:,.0f} rows"


def _coordinate(value: float) -> str:
    """Three decimals, which is more than a picture shows."""
    return number_text(round(value, 3) + 0.0)
