"""A landscape as text, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.units import percent_text
from descend.reporting.html import number_text
from descend.reporting.pages.landscape import HEADER, landscape_summary
from descend.reporting.text.tables import paragraph, table_text

Record = Mapping[str, Any]


def landscape_text(record: Record) -> str:
    """What the command line prints."""
    rows = [
        [
            path["method"],
            f"{path['rows_read']:,.0f}",
            "—" if path["learning_rate"] is None else number_text(path["learning_rate"]),
            f"{path['updates'][-1]:,}",
            number_text(path["losses"][-1]),
        ]
        for path in record["paths"]
    ]
    parts = [
        paragraph(f"{record['name']}: {record['title']}"),
        table_text(HEADER[:5], rows, numbers=4),
    ]
    if record.get("left"):
        parts.append(_left_text(record))
    parts.append(paragraph(landscape_summary(record).outcome))
    return "\n\n".join(parts)


def _left_text(record: Record) -> str:
    rates = sorted({one["learning_rate"] for one in record["left"]})
    lines: dict[tuple[str, int], list[str]] = {}
    for one in sorted(record["left"], key=lambda one: float(one["learning_rate"])):
        kind = (one["rule"], one["batch_size"])
        lines.setdefault(kind, []).append(percent_text(one["left"]))
    order = dict.fromkeys((one["rule"], one["batch_size"]) for one in record["left"])
    rows = [[rule, f"{size}", *lines[rule, size]] for rule, size in order]
    header = ["left the shallow well", "batch", *(f"rate {rate:g}" for rate in rates)]
    title = f"Runs that left within learning rate × updates = {record['left_time']}"
    return f"{title}\n\n{table_text(header, rows, numbers=len(rates) + 1)}"
