"""A comparison as text, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.measures import (
    ARRIVAL,
    NATURE,
    Measure,
    arrived_text,
    middle_text,
    ranged,
)
from descend.reporting.pages.compare import compare_warnings
from descend.reporting.text.records import table_text

Record = Mapping[str, Any]

WIDTH = 96
INDENT = " " * 14


def compare_text(record: Record) -> str:
    """What the command line prints: the tables, then what became of the claims."""
    tuned = [one for one in record["table"] if one["panel"] == "tuned"]
    same = [one for one in record["table"] if one["panel"] == "same"]
    parts = [
        f"Each at its own learning rate\n\n{_arrivals(tuned)}",
        f"What they are like\n\n{_natures(tuned)}",
    ]
    if same:
        rate = number_text(record["same_rate"])
        parts.append(f"All at learning rate {rate}\n\n{_arrivals(same)}")
    told = "\n".join(map(_claim_text, record["claims"]))
    parts.append(f"What is commonly told, on this table\n\n{told}")
    parts += [textwrap.fill(warning, WIDTH) for warning in compare_warnings(record)]
    return "\n\n".join(parts)


def _arrivals(lines: Sequence[Record]) -> str:
    header = ["method", "rate", "arrived", *(one.short for one in ARRIVAL)]
    rows = [
        [
            line["method"]["title"],
            number_text(line["learning_rate"]),
            arrived_text(line),
            *(_cell(line, one) for one in ARRIVAL),
        ]
        for line in lines
    ]
    return table_text(header, rows, numbers=6)


def _natures(lines: Sequence[Record]) -> str:
    header = ["method", *(one.short for one in NATURE)]
    rows = [
        [line["method"]["title"], *(middle_text(line[one.name], one) for one in NATURE)]
        for line in lines
    ]
    return table_text(header, rows, numbers=5)


def _cell(line: Record, measure: Measure) -> str:
    """The middle; of the seconds, which decide, the range too."""
    spread = ranged(line[measure.name], measure)
    if spread is None:
        return "—"
    if measure.name != "seconds_to_target" or not spread.span:
        return spread.value
    return f"{spread.value} ({spread.span})"


def _claim_text(claim: Record) -> str:
    lines = [f"{claim['verdict']:<{len(INDENT) - 1}} {claim['claim']}"]
    lines += textwrap.wrap(
        f"{claim['measured']}:", WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
    )
    widest = max(len(ratio["part"]) for ratio in claim["ratios"])
    lines += [f"{INDENT}  {ratio['part']:<{widest}}  {ratio['text']}" for ratio in claim["ratios"]]
    return "\n".join(lines)
