"""Which metrics of a run its assessment is of: of several targets, it is of the first alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

Record = Mapping[str, Any]


def assessed_target(names: Collection[str], assessment: Record) -> str:
    """The target that was assessed, where there are several; empty where there is one.

    Args:
        names: of the metrics of the run.
        assessment: of the same run.

    >>> assessed_target(["r2", "mae (a)", "mae (b)"], {"target": "a"})
    'a'
    >>> assessed_target(["r2", "mae"], {"target": "a"})
    ''
    """
    target = str(assessment.get("target", ""))
    return target if any(name.endswith(f" ({target})") for name in names) else ""


def assessed_metrics(names: Collection[str], assessment: Record) -> dict[str, Record]:
    """The assessed metrics by the names that they have among those of the run.

    Args:
        names: of the metrics of the run; R² is that of all targets together.
        assessment: of the same run.

    >>> known = {"target": "a", "metrics": {"r2": {"model": 0.5}}}
    >>> list(assessed_metrics(["r2", "mae (a)"], known)), list(assessed_metrics(["r2"], known))
    (['r2 (a)'], ['r2'])
    """
    known = assessment.get("metrics") or {}
    target = assessed_target(names, assessment)
    return {f"{name} ({target})" if target else name: one for name, one in known.items()}
