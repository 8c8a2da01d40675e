"""Which run a checkpoint is of: its settings, its columns and its data.

A record that was edited carries on another run than the one that was saved: with another seed the
rows come in another order, with another target another quantity is learned from then on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.errors import FileFormatError
from descend.io.atomic import json_digest, json_text
from descend.runs.contents import RECORD

IDENTITY = "run"
"""The key in the description of a checkpoint."""
_PLACES = ("store", "validation")
"""Settings that say where rows are; what the rows are, the fingerprint of the data says."""


def identity_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of a run that does not change until it ends.

    Args:
        record: what run.json holds.

    Returns:
        The settings as they stand, and digests of columns and data.
    """
    data, settings = record.get("data") or {}, record.get("settings") or {}
    known = {name: value for name, value in settings.items() if name not in _PLACES}
    return {
        "settings": json.loads(json_text(known)),
        "columns": json_digest(record.get("schema")),
        "data": json_digest([data.get(name) for name in ("fingerprint", "layout")]),
    }


def check_identity(path: Path, record: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise FileFormatError where run.json and a checkpoint are not of the same run.

    Args:
        path: of the run.
        record: what run.json holds.
        saved: the description in the checkpoint; one of an older version does not say.
    """
    kept = saved.get(IDENTITY)
    if not isinstance(kept, dict):
        return
    now = identity_of(record)
    if kept == now:
        return
    before = kept.get("settings")
    settings = before if isinstance(before, dict) else {}
    differ = [
        f"{name} is {now['settings'].get(name)!r} in {RECORD} and {settings.get(name)!r} there"
        for name in sorted({*settings, *now["settings"]})
        if settings.get(name) != now["settings"].get(name)
    ]
    differ += [f"the {part} differ" for part in ("columns", "data") if kept.get(part) != now[part]]
    raise FileFormatError(
        f"{path / RECORD} was altered: it describes another run than the checkpoint beside it "
        f"({'; '.join(differ)}). Bring the old file back; to train with other settings, start a "
        "new run."
    )
