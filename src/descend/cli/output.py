"""What a command prints and records of itself."""

from __future__ import annotations

import json
import sys
from typing import Any

from descend.errors import printable
from descend.io.secrets import without_secrets


def command_as_typed() -> list[str]:
    """What was typed, for records, without passwords in addresses."""
    return [without_secrets(part) for part in sys.argv[1:]]


def show(record: Any, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or text for people."""
    if as_json:
        from descend.io.atomic import json_text

        content = json_text(record)
        encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8":  # What such a terminal lacks is written as JSON writes it.
            content = json.dumps(json.loads(content), indent=2)
        print(content)
    else:
        print(printable(text))
