"""Check that the data of a run has not changed."""

from __future__ import annotations

import datetime
import json
import shlex
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
        f"again on the new data.{_touched(before, now)}"
    )


def _touched(before: Any, now: Any) -> str:
    """What to type where files differ in their times alone, as copies do."""
    files, others = before.get("files") or [], now.get("files") or []
    timeless = [
        {**one, "mtime_ns": old["mtime_ns"]} for old, one in zip(files, others, strict=False)
    ]
    if not files or {**now, "files": timeless} != before:
        return ""
    commands = [
        f"touch -d @{old['mtime_ns'] // 10**9}.{old['mtime_ns'] % 10**9:09d} "
        f"{shlex.quote(old['path'])}"
        for old, one in zip(files, others, strict=True)
        if old != one
    ]
    more = f" and {len(commands) - 1:,} more" if len(commands) > 1 else ""
    return f" If only the time of the file changed, and not its content: {commands[0]}{more}"


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        differ = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        if differ == ["hash"] and "query" in now:
            return [
                "the rows of the query or their order, as those of samples and of the current time "
                "are others each time; a file that holds its result stays the same"
            ]
        return [line for key in differ for line in _differences(before.get(key), now.get(key), key)]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            line
            for one, other in zip(before, now, strict=True)
            for line in _differences(one, other, name)
        ]
    if name == "mtime_ns":
        return [f"last written at {_moment(before)}, now {_moment(now)}"]
    return [f"{name} was {before}, is {now}"]


def _moment(nanoseconds: Any) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(nanoseconds / 1e9, datetime.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return str(nanoseconds)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
