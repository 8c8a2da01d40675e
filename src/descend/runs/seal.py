"""A checksum over the part of a record that decides how a run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from descend.runs.files import json_text

SEALED = ("asked", "settings", "data", "schema")


def seal_of(record: Mapping[str, Any]) -> str:
    """The checksum, the same before the record is written and after it is read."""
    content = json.loads(json_text({name: record.get(name) for name in SEALED}))
    return hashlib.sha256(json_text(content).encode("utf-8")).hexdigest()
