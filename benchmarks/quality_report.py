"""What `quality` prints and draws of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import measure
from descend.defaults import EFFORTS

if TYPE_CHECKING:
    pass
from benchmarks.quality_sides import TREES

CHOSEN_ON = ("bike", "hflights", "taxi", "adult", "elevators", "diamonds")
"""Tables that the network was designed on; the others prove it."""
SMALL_ROWS = 5_000
"""Seconds of `quick` are held against the MLP's on tables of more rows than this; on smaller ones
both are mostly start-up."""


def mean(result: dict[str, Any], side: str, what: str) -> float:
    """Over the seeds; NaN where it was not measured."""
    values = [scores[what] for scores in result["scores"].get(side, []) if what in scores]
    return float(np.mean(values)) if values else float("nan")


def report(results: Sequence[dict[str, Any]]) -> str:
    """A line for each task: errors, seconds, and ours over the better of the trees."""
    sides = list(results[0]["scores"])
    efforts = [side for side in sides if side in EFFORTS]
    lines = []
    for result in results:
        best = np.nanmin([mean(result, side, "error") for side in TREES])
        errors = {side: mean(result, side, "error") for side in sides}
        mark = "" if result["task"] in CHOSEN_ON else " *"
        lines.append(
            [f"{result['task']}{mark}"]
            + [f"{errors[side]:.4f}" for side in sides]
            + [f"{errors[side] / best:.3f}" for side in efforts]
            + [f"{mean(result, side, 'covered'):.3f}" for side in efforts[-1:]]
        )
    heads = ["task", *sides, *(f"{side} / trees" for side in efforts), "covered"]
    return (
        "Held-out error, mean over seeds; * marks the tables that nothing was chosen on. Ratios "
        "are to the better of LightGBM and CatBoost; covered: targets within 95 % intervals, "
        f"{efforts[-1]} effort.\n\n{measure.table(heads, lines)}\n\n{medians(results, efforts)}"
        "\n\nSeconds of the whole process; ours find their compiled programs in the cache:\n\n"
        f"{costs(results, sides, 'process')}"
        "\n\nThe same with an empty cache, as at the first run on a machine:\n\n"
        f"{costs(results, efforts, 'first')}"
        f"\n\nSeconds of the fit:\n\n{costs(results, sides, 'seconds')}"
        f"\n\nPeak memory, MiB:\n\n{costs(results, sides, 'memory')}"
        f"\n\n{aims(results)}"
    )


def costs(results: Sequence[dict[str, Any]], sides: Sequence[str], what: str) -> str:
    """A line for each task, a column for each candidate."""
    digits = 0 if what == "memory" else 1
    lines = [
        [one["task"], *(f"{mean(one, side, what):.{digits}f}" for side in sides)] for one in results
    ]
    return measure.table(["task", *sides], lines)


def aims(results: Sequence[dict[str, Any]]) -> str:
    """What the default model is meant to reach, and whether it does, over all tables."""

    def ratios(
        side: str, peers: Sequence[str], what: str = "error", own: str = "", above: int = 0
    ) -> list[float]:
        pairs = (
            (mean(one, side, own or what), [mean(one, p, what) for p in peers])
            for one in results
            if one["rows"] > above
        )
        return [ours / min(theirs) for ours, theirs in pairs if np.isfinite([ours, *theirs]).all()]

    checks: list[tuple[str, list[float], Mapping[str, float]]] = [
        ("default, error over the trees", ratios("default", TREES), {"median": 0.98, "max": 1.05}),
        ("default, error over the MLP", ratios("default", ["mlp"]), {"max": 1.0}),
        (
            "default, seconds over CatBoost",
            ratios("default", ["catboost"], "process"),
            {"median": 1.0},
        ),
        (
            "default, seconds over CatBoost, empty cache",
            ratios("default", ["catboost"], "process", "first"),
            {"median": 1.0},
        ),
        ("quick, error over LightGBM", ratios("quick", ["lightgbm"]), {"median": 1.02}),
        (
            f"quick, seconds over the MLP, above {SMALL_ROWS:,} rows",
            ratios("quick", ["mlp"], "process", above=SMALL_ROWS),
            {"max": 1.0},
        ),
        (
            "the same, empty cache",
            ratios("quick", ["mlp"], "process", "first", above=SMALL_ROWS),
            {"max": 1.0},
        ),
        ("thorough, error over the trees", ratios("thorough", TREES), {"median": 0.95}),
    ]
    lines = []
    for words, found, bounds in checks:
        for kind, bound in bounds.items():
            if found:
                value = float(np.median(found) if kind == "median" else max(found))
                reached = "yes" if value <= bound else "no"
                lines.append([words, kind, f"{value:.3f}", f"{bound:g}", reached])
    return measure.table(["aim", "of the tables", "found", "at most", "reached"], lines)


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Error over the better of the trees, a row for each task, as SVG; no plot without trees."""
    sides = [side for side in results[0]["scores"] if side not in TREES]
    colours = ("#888", "#0b6", "#063", "#c60", "#90c", "#c09", "#09c")
    left, width, step = 120, 560, 24
    low, high = 0.6, 1.4
    parts = []
    for place, result in enumerate(results):
        y = 50 + step * place
        best = min(mean(result, side, "error") for side in TREES)
        parts.append(f'<text x="8" y="{y + 4}">{result["task"]}</text>')
        for side, colour in zip(sides, colours, strict=False):
            ratio = mean(result, side, "error") / best
            if np.isfinite(ratio):
                x = left + width * (min(max(ratio, low), high) - low) / (high - low)
                title = f"<title>{side} {ratio:.3f}</title>"
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}">{title}</circle>'
                )
    bottom = 50 + step * len(results)
    for tick in (0.6, 0.8, 1.0, 1.2, 1.4):
        x = left + width * (tick - low) / (high - low)
        parts.append(f'<path d="M{x:.0f} 36V{bottom}" stroke="#ccc"/>')
        parts.append(f'<text x="{x - 8:.0f}" y="{bottom + 14}">{tick}</text>')
    for place, (side, colour) in enumerate(zip(sides, colours, strict=False)):
        parts.append(f'<text x="{left + 90 * place}" y="20" fill="{colour}">{side}</text>')
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 40} {bottom + 40}" '
        'font-family="sans-serif" font-size="12">'
        f"{''.join(parts)}<text x='{left}' y='{bottom + 32}'>error over the better of LightGBM "
        "and CatBoost; beyond the ends at the ends</text></svg>\n"
    )


def medians(results: Sequence[dict[str, Any]], efforts: Sequence[str]) -> str:
    """Over the tables, all and those that nothing was chosen on."""
    texts = []
    for words, chosen in (
        ("all tables", results),
        ("tables with *", [one for one in results if one["task"] not in CHOSEN_ON]),
    ):
        if not chosen:
            continue
        best = [min(mean(one, side, "error") for side in TREES) for one in chosen]
        for effort in efforts:
            ratios = [
                mean(one, effort, "error") / least for one, least in zip(chosen, best, strict=True)
            ]
            texts.append(
                f"{effort}, {words}: {np.median(ratios):.3f} in the median, "
                f"{min(ratios):.3f} to {max(ratios):.3f}."
            )
    return "\n".join(texts)
