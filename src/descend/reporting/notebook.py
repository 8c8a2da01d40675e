"""How runs and models are shown in a notebook."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from descend.errors import InputError
from descend.reporting.plots.colours import COLOURS
from descend.reporting.text.advice import timing_disturbed
from descend.types import Advice, HistoryLine

WIDTH, HEIGHT, EDGE = 420, 160, 8
LEFT = ' style="text-align:left"'
"""Notebooks set tables to the right or in the middle."""
LONGEST_BAR = 200
LETTER = 7
"""Width of a letter in the pictures, about."""


class Lines(tuple[HistoryLine, ...]):
    """A history that a notebook can show: a tuple of lines with a frame and a small plot."""

    def to_pandas(self) -> Any:
        """The lines as a pandas DataFrame, a column for each field and each metric.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InputError(
                "A DataFrame needs pandas, which is not installed. Type: pip install pandas"
            ) from None
        columns = [{**vars(line), **line.metrics} for line in self]
        return pd.DataFrame(columns).drop(columns="metrics", errors="ignore")

    def plot(self) -> Html:
        """Training and validation loss over the epochs, as a small picture."""
        return Html(curve_svg(self))


@dataclasses.dataclass(frozen=True)
class Html:
    """Something that a notebook shows as HTML."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


def page_frame(path: Path) -> Html:
    """A page of descend within a notebook."""
    page = escape(path.read_text(encoding="utf-8"))
    return Html(f'<iframe srcdoc="{page}" width="100%" height="700"></iframe>')


def curve_svg(history: Sequence[HistoryLine]) -> str:
    """Losses over the epochs as SVG; the loss axis is logarithmic where all are above 0."""
    known = [
        value
        for one in history
        for value in (one.train_loss, one.validation_loss)
        if math.isfinite(value)
    ]
    if len(history) < 2 or not known:
        return ""
    scale = math.log if min(known) > 0 else float
    low, high = scale(min(known)), scale(max(known))
    last = history[-1].epoch or 1.0

    def place(epoch: float, loss: float) -> str:
        x = EDGE + epoch / last * (WIDTH - 2 * EDGE)
        y = EDGE + (high - scale(loss)) / ((high - low) or 1.0) * (HEIGHT - 2 * EDGE)
        return f"{x:.1f},{y:.1f}"

    drawn = []
    for name, colour in (("train_loss", COLOURS[1]), ("validation_loss", COLOURS[0])):
        points = " ".join(
            place(one.epoch, getattr(one, name))
            for one in history
            if math.isfinite(getattr(one, name))
        )
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    losses = [one.validation_loss for one in history if math.isfinite(one.validation_loss)]
    told = f", {losses[0]:.4g} at first and {min(losses):.4g} at best," if losses else ""
    title = f"validation loss (blue){told} and training loss (orange) over {last:.3g} epochs"
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{''.join(drawn)}</svg><div><small>{title}</small></div>"
    )


def bars_svg(parts: Sequence[tuple[str, float, str]]) -> str:
    """Bars from zero with their names and values, as SVG.

    Args:
        parts: of each bar its name, its length (0 or more), and its value as text.
    """
    longest = max((length for _, length, _ in parts), default=0.0) or 1.0
    step, left = 22, 20 + LETTER * max((len(name) for name, _, _ in parts), default=0)
    drawn = []
    for place, (name, length, value) in enumerate(parts):
        y, wide = place * step, LONGEST_BAR * length / longest
        drawn.append(
            f'<text x="{left - 6}" y="{y + 15}" text-anchor="end" font-size="12" '
            f'fill="currentColor">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{wide:.1f}" height="14" fill="{COLOURS[0]}"/>'
            f'<text x="{left + wide + 5:.1f}" y="{y + 15}" font-size="12" fill="currentColor">'
            f"{escape(value)}</text>"
        )
    return (
        f'<svg width="{left + LONGEST_BAR + 90}" height="{step * len(parts)}" role="img" '
        f'aria-label="{escape("; ".join(f"{name} {value}" for name, _, value in parts))}">'
        f"{''.join(drawn)}</svg>"
    )


class ShownAdvice(Advice):
    """An advice that a notebook shows with its figure."""

    def _repr_html_(self) -> str:
        return advice_html(self)


def advice_html(advice: Advice) -> str:
    """An advice: what it says, and the seconds of each batch size that was measured."""
    words = "about as well"
    if timing_disturbed(advice.flat_region, advice.evidence):
        words = "not to be told apart"
    facts = [
        ("batch size", f"{advice.batch_size:,}{_ends_text(words, *advice.flat_region)}"),
        (
            "learning rate",
            f"{advice.learning_rate:g}{_ends_text('about as well', *advice.interval)}",
        ),
        ("measured in", f"{advice.cost:.3g} s"),
    ]
    parts = [
        (f"{one['batch_size']:,} rows", seconds, f"{1e6 * seconds:,.3g} µs")
        for one in advice.evidence.get("speed") or ()
        if (seconds := one.get("seconds_per_update")) is not None
    ]
    figure = f"<div><small>Time per update</small></div>{bars_svg(parts)}" if parts else ""
    return card("descend.Advice", facts) + figure


def _ends_text(words: str, low: float, high: float) -> str:
    return f" ({words}: {low:,g} to {high:,g})" if low < high else ""


def comparison_html(record: Mapping[str, Any]) -> str:
    """A comparison: the lowest loss of each method at its own rate, and the claims."""
    lines = [one for one in record["table"] if one["panel"] == "tuned" and one["best"]]
    parts = [
        (str(one["method"]["title"]), float(one["best"]["median"]), f"{one['best']['median']:.4g}")
        for one in lines
    ]
    claims = [(str(one["claim"]), one["verdict"]) for one in record["claims"]]
    shown = [(name, max(0.0, length), value) for name, length, value in parts]
    return (
        f"{card('descend.Comparison', claims)}<div><small>Lowest validation loss, median over "
        f"{record['seeds']} seeds</small></div>{bars_svg(shown)}"
    )


def card(title: str, facts: Sequence[tuple[str, object]]) -> str:
    """A title and a table of facts as HTML; what the user named is escaped.

    Example:
        >>> card("a <b>", [("rows", 3)]).replace(LEFT, "")
        '<div><strong>a &lt;b&gt;</strong><table><tr><th>rows</th><td>3</td></tr></table></div>'
    """
    lines = "".join(
        f"<tr><th{LEFT}>{escape(name)}</th><td{LEFT}>{escape(_fact_text(value))}</td></tr>"
        for name, value in facts
    )
    return f"<div><strong>{escape(title)}</strong><table>{lines}</table></div>"


def _fact_text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
