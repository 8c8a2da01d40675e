"""Pages that open offline: one file with its plots, its style and its script inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from descend.reporting.advice_page import advice_sections, advice_summary, advice_title
from descend.reporting.html import (
    anchors,
    escaped,
    figures_json,
    section_html,
    summary_html,
)
from descend.reporting.parts import Section, Summary
from descend.reporting.train_page import train_sections, train_summary, train_title
from descend.types import History


def render(title: str, summary: Summary, sections: Sequence[Section], *, source: str = "") -> str:
    """A page from its parts.

    Scripts run by their checksum alone and nothing may be fetched, so that not even markup that
    slipped through from the data could do anything.

    Args:
        title: of the page.
        summary: what is read first.
        sections: the evidence. Plots are told apart by their names: no two may be alike.
        source: the line at the foot.

    Returns:
        HTML, complete in itself.

    Raises:
        ValueError: two plots have one name.
    """
    plots = [plot for section in sections for plot in section.plots]
    names = [plot.name for plot in plots]
    if len(set(names)) < len(names):
        raise ValueError(f"two plots of a page have one name: {sorted(names)}")
    named = list(zip(anchors(sections), sections, strict=True))
    scripts = [_asset("plotly-cartesian.min.js"), _asset("page.js")]
    policy = _policy(scripts)
    links = "".join(
        f'<a href="#{anchor}">{escaped(section.heading)}</a>' for anchor, section in named
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="generator" content="descend">\n<link rel="icon" href="data:,">',
            f"<title>{escaped(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>",
            "<body>\n<header>",
            f"<div class=top><h1>{escaped(title)}</h1>"
            '<button class=theme type=button hidden aria-label="Light or dark"></button></div>',
            summary_html(summary),
            "<noscript><p>The plots need JavaScript. Their numbers are in the tables.</p>"
            "</noscript>",
            f'</header>\n<nav aria-label="Sections">{links}</nav>\n<main>',
            *(section_html(section, anchor) for anchor, section in named),
            f"</main>\n<footer>{escaped(source)}</footer>",
            f'<script type="application/json" id="figures">{figures_json(plots)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        ]
    )


def train_report(record: Mapping[str, Any], history: History) -> str:
    """The page of a training run.

    Args:
        record: what run.json holds; one of a run that is not finished will do.
        history: of the run.
    """
    return render(
        train_title(record),
        train_summary(record),
        train_sections(record, history),
        source=f"Made by descend {record.get('descend', '')} from run.json and history.csv.",
    )


def advice_report(record: Mapping[str, Any]) -> str:
    """The page of an advice.

    Args:
        record: what `descend advise --json` prints.
    """
    return render(
        advice_title(record),
        advice_summary(record),
        advice_sections(record["advice"]),
        source="Made by descend from the record of an advice.",
    )


def _policy(scripts: Sequence[str]) -> str:
    hashes = " ".join(f"'sha256-{_checksum(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _asset(name: str) -> str:
    path = resources.files("descend.reporting") / "assets" / name
    return path.read_text(encoding="utf-8")
