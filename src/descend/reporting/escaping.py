"""Whatever a text holds, a page shows it letter by letter."""

from __future__ import annotations

import html
import json
import unicodedata
from typing import Any


def escaped(text: object) -> str:
    """Text for HTML, inside an element or a quoted attribute.

    What cannot stand in a page (control characters, half characters) becomes `�`, and so do the
    characters that turn the direction of what follows.
    """
    return html.escape("".join(map(_shown, str(text))))


def json_escaped(value: Any) -> str:
    """JSON that can stand in a script element: no `<`, no `&`, nothing beyond ASCII."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return "".join(f"\\u{ord(letter):04x}" if letter in "<>&" else letter for letter in text)


def _shown(letter: str) -> str:
    if letter in "\n\t":
        return letter
    if unicodedata.category(letter) in ("Cc", "Cs") or letter in _TURNING:
        return "\ufffd"
    return letter


_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
