"""How runs and models show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def card(title: str, facts: Sequence[tuple[str, object]]) -> str:
    """A title and a table of facts as HTML; what the user named is escaped.

    Example:
        >>> card("a <b>", [("rows", 3)])
        '<div><strong>a &lt;b&gt;</strong><table><tr><th>rows</th><td>3</td></tr></table></div>'
    """
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>" for name, value in facts
    )
    return f"<div><strong>{escape(title)}</strong><table>{lines}</table></div>"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
