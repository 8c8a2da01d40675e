"""When and where something was measured, in one line of its page."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from descend.io.units import bytes_text, count_text, span_text

Record = Mapping[str, Any]

NAMED = {"jax": "JAX", "python": "Python"}
"""Versions that stand in the line of facts, and what they are called there."""


def facts_text(record: Record) -> str:
    """When and where a run was made, in one line; what is not known is left out."""
    machine = record.get("machine") or {}
    parts = [str(record["note"])] if record.get("note") else []
    if record.get("started"):
        parts.append(moment_text(record["started"]))
    took = _seconds_between(record.get("started"), record.get("ended"))
    if took and "result" not in record:  # Its training time has a card of its own.
        parts.append(f"took {span_text(took)}")
    rows = (record.get("data") or record).get("rows")
    if isinstance(rows, Mapping):
        rows = rows.get("total") or rows["training"]
    parts += [count_text(rows, "row")] if rows else []
    if machine.get("processor"):
        parts.append(str(machine["processor"]))
    if machine.get("cores"):
        parts.append(count_text(int(machine["cores"]), "core"))
    if machine.get("memory"):
        parts.append(f"{bytes_text(machine['memory'])} memory")
    device = str(record.get("device", ""))
    parts += [device] if device and not device.startswith("cpu") else []
    parts.append(f"descend {record.get('descend', '')}")
    known = record.get("versions") or {}
    parts += [f"{NAMED[name]} {known[name]}" for name in NAMED if known.get(name)]
    return " · ".join(part for part in parts if part.strip())


def moment_text(moment: object) -> str:
    """A time of a record as people write it.

    >>> moment_text("2026-11-27T20:21:30+00:00")
    '2026-11-27 20:21:30 UTC'
    """
    return str(moment).replace("T", " ").removesuffix("+00:00") + " UTC"


def _seconds_between(started: object, ended: object) -> float:
    """Seconds between two times of a record; 0 where one is not known."""
    try:
        first, last = (datetime.datetime.fromisoformat(str(one)) for one in (started, ended))
        return (last - first).total_seconds()
    except (TypeError, ValueError):
        return 0.0
