"""How many processes are worth it, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.units import span_text
from descend.reporting.text.tables import paragraph, table_text


def processes_text(record: Mapping[str, Any]) -> str:
    """What to take, why, and a line for each number of processes.

    Args:
        record: `processes` of an advice's record.
    """
    advised = record["advised"]
    count, size = advised["processes"], advised["batch_size"]
    if count == 1:
        text = "One process: no number of processes is surely faster."
    else:
        low, high = advised["interval"]
        text = (
            f"{count} processes with batches of {size:,} rows: to the same loss they take "
            f"{advised['time']:.2g} times as long as one ({low:.2g} to {high:.2g})."
        )
    if record.get("confirmed") is not None:
        text += (
            " Measured twice, in both orders."
            if record["confirmed"]
            else " A second measurement, in the other order, did not confirm what the first had "
            "advised; the table has both."
        )
    elif advised["extrapolated"]:
        text += " Nothing confirms it here: measure on the machines before they are paid for."
    if record["critical"] is None:
        text += (
            " The critical batch size is not known here, so all have the same batch size; larger "
            "batches may pay with more processes."
        )
    rows = [
        [
            "extrapolated" if job["extrapolated"] else "measured",
            f"{job['processes']:,}",
            f"{job['batch_size']:,}",
            span_text(job["seconds_per_update"]),
            f"{job['time']:.2f}",
            "{:.2f} to {:.2f}".format(*job["interval"]),
        ]
        for job in record["jobs"]
    ]
    header = ["how", "processes", "batch size", "per update", "time", "between"]
    table = table_text(header, rows, numbers=5)
    lines = [paragraph(text), table]
    if any(job["extrapolated"] for job in record["jobs"]):
        lines.append(
            paragraph(
                f"Extrapolated: this machine has {record['cores']} cores. Each process is taken to "
                "have a machine like this one, over links as fast as those between processes here."
            )
        )
    return "\n".join(lines)
