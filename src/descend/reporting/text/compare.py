"""A comparison as text, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.measures import (
    ARRIVAL,
    NATURE,
    Measure,
    arrived_text,
    median_and_range,
    middle_text,
)
from descend.reporting.pages.compare import compare_warnings
from descend.reporting.text.tables import paragraph, table_text

Record = Mapping[str, Any]

INDENT = " " * 19


def compare_text(record: Record) -> str:
    """What the command line prints: the tables, then the claims and whether they held."""
    tuned = [one for one in record["table"] if one["panel"] == "tuned"]
    same = [one for one in record["table"] if one["panel"] == "same"]
    parts = [
        f"Each at its own learning rate\n\n{_arrivals(tuned)}",
        f"Noise, speed and memory\n\n{_natures(tuned)}",
    ]
    if same:
        rate = number_text(record["same_rate"])
        parts.append(f"All at learning rate {rate}\n\n{_arrivals(same)}")
    claims = "\n".join(map(_claim_text, record["claims"]))
    parts.append(f"Common claims, tested on this table\n\n{claims}")
    parts += [paragraph(warning) for warning in compare_warnings(record)]
    return "\n\n".join(parts)


def _arrivals(lines: Sequence[Record]) -> str:
    exploded = any(line["exploded"] for line in lines)
    header = ["method", "rate", "reached", *(["exploded"] if exploded else [])]
    header += [one.short for one in ARRIVAL]
    rows = [
        [
            line["method"]["title"],
            number_text(line["learning_rate"]),
            arrived_text(line),
            *([f"{line['exploded']} of {line['runs']}"] if exploded else []),
            *(_cell(line, one) for one in ARRIVAL),
        ]
        for line in lines
    ]
    return table_text(header, rows, numbers=len(header) - 1)


def _natures(lines: Sequence[Record]) -> str:
    header = ["method", *(one.short for one in NATURE)]
    rows = [
        [line["method"]["title"], *(middle_text(line[one.name], one) for one in NATURE)]
        for line in lines
    ]
    return table_text(header, rows, numbers=5)


def _cell(line: Record, measure: Measure) -> str:
    """The median; for the seconds, which decide, the range too."""
    spread = median_and_range(line[measure.name], measure)
    if spread is None:
        return "—"
    if measure.name != "seconds_to_target" or not spread.span:
        return spread.value
    return f"{spread.value} ({spread.span})"


def _claim_text(claim: Record) -> str:
    said = paragraph(claim["claim"], INDENT)
    lines = [f"{claim['verdict']:<{len(INDENT)}}{said[len(INDENT) :]}"]
    lines.append(paragraph(f"{claim['measured']}:", INDENT))
    lines += [
        paragraph(f"{ratio['part']}: {ratio['text']}", f"{INDENT}  ") for ratio in claim["ratios"]
    ]
    return "\n".join(lines)
