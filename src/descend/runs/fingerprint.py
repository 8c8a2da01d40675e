"""Check that the data of a run has not changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from descend.errors import DataError


def check_unchanged(path: Path, before: Any, now: Any) -> None:
    """Raise DataError where the data of a run is no longer what it was.

    Args:
        path: of the run.
        before: fingerprint, as the record holds it.
        now: fingerprint.
    """
    before, now = (json.loads(json.dumps(one)) for one in (before, now))
    if before == now:
        return
    changed = "; ".join(_differences(before, now)) or "its content"
    raise DataError(
        f"The data of the run {path} changed since: {changed}. Bring the old data back, or train "
        "again on the new data."
    )


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted({*before, *now})
            for line in _differences(before.get(key), now.get(key), key)
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            line
            for one, other in zip(before, now, strict=True)
            for line in _differences(one, other, name)
        ]
    return [f"{name} was {before}, is {now}"]
