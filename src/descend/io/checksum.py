"""A checksum over the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from descend.io.atomic import json_digest


def seal_of(record: Mapping[str, Any]) -> str:
    """The checksum, the same before the record is written and after it is read."""
    return json_digest({name: record[name] for name in record if name != "seal"})
