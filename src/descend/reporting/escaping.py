"""Text in a page is shown literally, whatever it holds."""

from __future__ import annotations

import html
import json
import unicodedata
from typing import Any


def escape_html(text: object) -> str:
    """Text for HTML, inside an element or a quoted attribute.

    Characters that a page cannot hold (control characters, lone surrogates) become `�`, and so
    do those that change the direction of the text after them.
    """
    return html.escape("".join(map(_printable_letter, str(text))))


def escape_json(value: Any) -> str:
    """JSON that is safe inside a script element: no `<`, no `&`, ASCII only."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return "".join(f"\\u{ord(letter):04x}" if letter in "<>&" else letter for letter in text)


def _printable_letter(letter: str) -> str:
    if letter in "\n\t":
        return letter
    if unicodedata.category(letter) in ("Cc", "Cs") or letter in _TURNING:
        return "\ufffd"
    return letter


_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
