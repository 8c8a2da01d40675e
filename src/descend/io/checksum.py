"""A checksum over the record of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from descend.io.atomic import json_text


def seal_of(record: Mapping[str, Any]) -> str:
    """The checksum, the same before the record is written and after it is read."""
    content = json.loads(json_text({name: record[name] for name in record if name != "seal"}))
    return hashlib.sha256(json_text(content).encode("utf-8")).hexdigest()
