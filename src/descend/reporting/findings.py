"""Statements with their verdicts as HTML: each ratio with its interval as a bar about 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

from descend.reporting.escaping import escaped
from descend.reporting.page_model import Finding, Interval

MARKS = {"good": "✓", "bad": "✗", "neutral": "?"}
LEAST_REACH, MOST_REACH = 2.0, 100.0


def findings_html(findings: Sequence[Finding]) -> str:
    """A list of statements; all bars have one scale, so that they can be compared."""
    reach = reach_of([one for finding in findings for one in finding.intervals])
    items = "\n".join(_item(finding, reach) for finding in findings)
    return f"<ul class=findings>\n{items}\n</ul>"


def reach_of(intervals: Sequence[Interval]) -> float:
    """The bars go from 1/reach to reach: as far as the ratios do, within reason.

    >>> reach_of([Interval("", "", 5.0, 0.1, 20.0)])
    20.0
    """
    ends = [end for one in intervals for end in (one.value, one.low, one.high) if end]
    furthest = max((max(end, 1.0 / end) for end in ends), default=LEAST_REACH)
    return min(MOST_REACH, max(LEAST_REACH, furthest))


def _item(finding: Finding, reach: float) -> str:
    ratios = "".join(_ratio(one, reach) for one in finding.intervals)
    return (
        f"<li class={finding.tone}><div class=verdict><span aria-hidden=true>"
        f"{MARKS[finding.tone]}</span> {escaped(finding.verdict)}</div>"
        f"<div class=told><h3>{escaped(finding.title)}</h3><p>{escaped(finding.text)}</p>"
        f"<ul class=ratios>{ratios}</ul></div></li>"
    )


def _ratio(one: Interval, reach: float) -> str:
    bar = ""
    if one.value is not None:
        low, high = (_place(end, reach) for end in (one.low or one.value, one.high or one.value))
        bar = (
            f'<i style="left:{low:.1f}%;width:{max(0.0, high - low):.1f}%"></i>'
            f'<b style="left:{_place(one.value, reach):.1f}%"></b>'
        )
    return (
        f"<li class={one.tone}><span class=label>{escaped(one.label)}</span>"
        f"<span class=bar aria-hidden=true>{bar}</span>"
        f"<span class=ratio>{escaped(one.text)}</span></li>"
    )


def _place(value: float, reach: float) -> float:
    """Where on a logarithmic bar a ratio stands, in percent."""
    part = math.log(min(reach, max(1.0 / reach, value))) / math.log(reach)
    return 50.0 * (1.0 + part)
