"""Pages that open offline: one file with its plots, style and script inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from descend.reporting.escaping import escape_html, escape_json
from descend.reporting.html import anchors, figures_json, section_html, summary_html
from descend.reporting.page_model import Page
from descend.reporting.plots.colours import COLOURS, DARK_COLOURS


def render(page: Page, *, live: float | None = None) -> str:
    """A page as HTML.

    The content security policy allows only the page's own scripts (by their checksums) and no
    request, so that markup that slipped through from the data could not do anything.

    Args:
        page: its content.
        live: seconds after which the page of a running run requests itself again, its only
            request; None for a page that does not change.

    Returns:
        HTML, complete in itself.

    Raises:
        ValueError: two plots have one name.
    """
    names = [plot.name for plot in page.plots]
    if len(set(names)) < len(names):
        raise ValueError(f"two plots of a page have one name: {sorted(names)}")
    named = list(zip(anchors(page.sections), page.sections, strict=True))
    scripts = [asset("plotly-cartesian.min.js"), asset("theme.js") + asset("page.js")]
    policy = policy_for(scripts, live is not None)
    links = "".join(
        f'<a href="#{anchor}">{escape_html(section.heading)}</a>' for anchor, section in named
    )
    dark = escape_html(json.dumps(dict(zip(COLOURS, DARK_COLOURS, strict=True))))
    attributes = refresh = notice = ""
    if live is not None:
        attributes = f' data-live="{live:g}"'
        refresh = f'\n<noscript><meta http-equiv="refresh" content="{live:g}"></noscript>'
        notice = "<p class=live role=status>This page follows the run.</p>"
    return "\n".join(
        [
            head(page.title, policy, asset("page.css"), refresh, attributes),
            "<body>\n<header>",
            title_bar(page.title),
            notice + summary_html(page.summary),
            "<noscript><p>The plots need JavaScript. Their numbers are in the tables.</p>"
            "</noscript>",
            f'</header>\n<nav aria-label="Sections">{links}</nav>\n<main>',
            *(section_html(section, anchor) for anchor, section in named),
            f"</main>\n<footer>{escape_html(page.source)}</footer>",
            f'<script type="application/json" id="figures" data-dark="{dark}">'
            f"{figures_json(page.plots)}</script>",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        ]
    )


def page_to_play(
    title: str, about: str, main: str, source: str, name: str, data: Mapping[str, Any]
) -> str:
    """A page that a script of its own draws and plays, as HTML, complete in itself.

    Args:
        title: of the page.
        about: what it shows, one paragraph.
        main: the HTML of its main part.
        source: the line at its end.
        name: of the script in `assets`, without its ending, and of the data for it.
        data: what the script reads.
    """
    script = asset("theme.js") + asset(f"{name}.js")
    return "\n".join(
        [
            head(title, policy_for([script]), asset("page.css") + asset("play.css")),
            f"<body>\n<header>{title_bar(title)}",
            f"<p class=lead>{escape_html(about)}</p>",
            "<noscript><p>This page needs JavaScript.</p></noscript></header>\n<main>",
            main,
            f"</main>\n<footer>{escape_html(source)}</footer>",
            f'<script type="application/json" id="{name}">{escape_json(data)}</script>',
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def head(title: str, policy: str, style: str, more: str = "", attributes: str = "") -> str:
    """From the doctype to the end of the head."""
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en"{attributes}>\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="generator" content="descend">\n<link rel="icon" href="data:,">',
            f"<title>{escape_html(title)}</title>\n<style>\n{style}</style>{more}",
            "</head>",
        ]
    )


def title_bar(title: str) -> str:
    """The title, beside the button that changes between light and dark."""
    return (
        f"<div class=top><h1>{escape_html(title)}</h1>"
        '<button class=theme type=button hidden aria-label="Light or dark"></button></div>'
    )


def policy_for(scripts: Sequence[str], live: bool = False) -> str:
    """The content security policy of a page with these scripts."""
    hashes = " ".join(f"'sha256-{_checksum(script)}'" for script in scripts)
    itself = "connect-src 'self'; " if live else ""
    return (
        f"default-src 'none'; script-src {hashes}; {itself}style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def asset(name: str) -> str:
    """The text of a file in `assets`."""
    path = resources.files("descend.reporting") / "assets" / name
    return path.read_text(encoding="utf-8")
