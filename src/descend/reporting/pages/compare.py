"""The page of a comparison, from its record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from descend.errors import option_text
from descend.io.units import count_text, percent_text, span_text, three
from descend.reporting.html import number_text
from descend.reporting.measures import ARRIVAL, NATURE, Measure, arrived_text, median_and_range
from descend.reporting.page_model import (
    Cell,
    Finding,
    Interval,
    KeyFigure,
    Page,
    Section,
    Summary,
    Table,
)
from descend.reporting.pages.facts import facts_text
from descend.reporting.plots.compare import arrival_plot, curves_plot, noise_plot
from descend.reporting.text.losses import loss_note
from descend.reporting.text.records import subject

Record = Mapping[str, Any]

TONES = {
    "held": "good",
    "held in part": "warn",
    "did not hold": "bad",
    "little difference": "even",
    "undetermined": "neutral",
}
LEAST_GAIN = 0.02
"""If the best method gains less than this share of the loss, there was little to learn."""
TUNED, SAME = "each at its own learning rate", "all at one learning rate"
AT_RATE_OF_SGD = "SGD, and mini-batch at its learning rate"
CLAIMS_NOTE = (
    "Every ratio below is above 1 where the claim is right. The line in the middle of each scale "
    "is 1, the scale is logarithmic, and the bar is a 90 % interval. Claims about gradients are "
    "tested over many mini-batches at the weights of these runs, claims about runs over the seeds."
)
ARRIVAL_NOTE = (
    "For each seed, the target is a validation loss that lies 5 % of the best gain above the best "
    "loss of any method. Shown is the median over all seeds, where a seed that did not reach it "
    "counts as later than any that did (a dash: most did not), and below it the lowest and the "
    "highest of those that reached it."
)
EXPLODED_NOTE = (
    " A run whose loss exploded went on from its last good weights at a lower rate, or ended "
    "there; its curve is no longer that of the common rate."
)
NATURE_NOTE = (
    "Gradient error: the distance from a mini-batch gradient to the true gradient over all rows, "
    "as a multiple of the length of the true gradient (root mean square). Roughness: {roughness}, "
    "while the learning rate is the tuned one. Peak memory: what training at this size holds, "
    "according to the compiled update."
)
ROUGHNESS = {
    "loss": (
        "by how much the loss jumps from one evaluation to the next, as a share of itself (how far "
        "its logarithm lies from the straight line between its neighbours)"
    ),
    "gain": (
        "how far an evaluation lies from the straight line between its neighbours, as a share of "
        "the gain"
    ),
}
"""What the roughness of a record is, by what it is relative to; to the gain in older records."""


def compare_page(record: Record) -> Page:
    """The page of a comparison.

    Args:
        record: what compare.json holds.
    """
    return Page(
        compare_title(record),
        compare_summary(record),
        compare_sections(record),
        f"Made by descend {record['descend']} from compare.json.",
    )


def compare_title(record: Record) -> str:
    """Like `Methods compared: cnt from bike_sharing.csv`."""
    return f"Methods compared: {subject(record)}"


def compare_warnings(record: Record) -> list[str]:
    """What a reader should know first."""
    warnings = []
    gains: dict[tuple[str, str], list[float]] = {}
    for run in record["runs"]:
        start = run["history"]["validation_loss"][0]
        gain = (start - run["measures"]["best"]) / abs(start or 1.0)
        gains.setdefault((run["method"]["name"], run["panel"]), []).append(gain)
    # Of many runs one gains by chance even where nothing can be learned.
    largest = max((statistics.median(seeds) for seeds in gains.values()), default=LEAST_GAIN)
    if largest < LEAST_GAIN:
        warnings.append(
            f"No method gained more than {percent_text(largest)} of the loss in the median of its "
            "runs: there is little to learn here, and the differences are mostly chance."
        )
    unknown = any(ratio["value"] is None for claim in record["claims"] for ratio in claim["ratios"])
    if unknown and record.get("budget"):
        longer = 10 * record["budget"]
        longer = round(longer) if longer >= 1 else float(f"{longer:.2g}")
        warnings.append(
            f"{span_text(record['budget'])} per run were too short to decide every claim: "
            f"{option_text('budget', longer, typed=f'{longer}s')} gives each run ten times as long."
        )
    return warnings


def compare_summary(record: Record) -> Summary:
    """Which method was fastest, by how much, and how many claims held."""
    lines = [one for one in record["table"] if one["panel"] == "tuned"]
    counts = {word: sum(one["verdict"] == word for one in record["claims"]) for word in TONES}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    rows = record["data"]["rows"]["training"]
    figures = [
        KeyFigure(one["method"]["title"], *_speed_text(one, record))
        for one in lines
        if one["method"]["basic"]
    ]
    text = (
        f"{count_text(len(lines), 'method')} on {count_text(rows, 'row')}, "
        f"{_seeds_text(record, lines)}, the same time for each."
    )
    fastest = fastest_of(lines)
    if fastest is not None and not fastest["seconds_to_target"]["median"]:
        # The target lies between the first loss and the lowest.
        text += " No method lowered the validation loss: the target is the loss at the start."
    elif fastest is not None:
        text += (
            f" {fastest['method']['title']} reached the target first, after "
            f"{span_text(fastest['seconds_to_target']['median'])}{_ahead(fastest, lines, record)}."
        )
    return Summary(
        text, figures, outcome=f"Common claims on this table: {told}.", facts=facts_text(record)
    )


def _seeds_text(record: Record, lines: Sequence[Record]) -> str:
    """How many seeds; those that read all rows for each step have fewer."""
    text = count_text(record["seeds"], "seed")
    fewest = min((one["runs"] for one in lines), default=record["seeds"])
    return text if fewest == record["seeds"] else f"{text} ({fewest} of methods that read all rows)"


def fastest_of(lines: Sequence[Record]) -> Record | None:
    """The method that reached the target first, among those that reached it in every run."""
    came = [one for one in lines if one["arrived"] == one["runs"]]
    return min(came, key=lambda one: float(one["seconds_to_target"]["median"]), default=None)


def compare_sections(record: Record) -> list[Section]:
    """The claims, the tables, the curves, and how the learning rates were found."""
    sections = [
        Section(
            "Common claims",
            text=[CLAIMS_NOTE],
            warnings=compare_warnings(record),
            findings=_findings(record),
        ),
        Section(
            "Time to the target",
            text=[one for one in (loss_note(record), ARRIVAL_NOTE) if one],
            plots=[arrival_plot(record), curves_plot(record, "tuned", TUNED)],
            tables=[_table(record, "tuned", ARRIVAL, TUNED)],
        ),
        Section(
            "Noise, speed and memory",
            text=[
                NATURE_NOTE.format(roughness=ROUGHNESS[record.get("roughness_relative_to", "gain")])
            ],
            plots=[noise_plot(record)] if record.get("noise") else [],
            tables=[_table(record, "tuned", NATURE, "Gradient error, roughness, speed and memory")],
        ),
    ]
    if any(one["panel"] == "same" for one in record["table"]):
        sections.append(
            Section(
                "All at one learning rate",
                text=[
                    f"The same methods, all at learning rate {number_text(record['same_rate'])}, "
                    "the tuned rate of the advised mini-batch with momentum. A difference that "
                    "shows here and not above comes from tuning, not from the method."
                    + (EXPLODED_NOTE if _exploded(record, "same") else "")
                ],
                plots=[curves_plot(record, "same", SAME)],
                tables=[_table(record, "same", ARRIVAL, SAME)],
            )
        )
    if any(one["panel"] == "rate-of-sgd" for one in record["table"]):
        sections.append(
            Section(
                "Mini-batch at the learning rate of SGD",
                text=[
                    "At the learning rate of SGD one expects a mini-batch, which averages over its "
                    "rows, to have the smoother curve, and to fall more slowly, since it makes "
                    "fewer updates. Its own tuned rate is mostly higher: that makes it faster, and "
                    "may make it as rough again. Whether it was so here is said with the claims."
                ],
                plots=[curves_plot(record, "rate-of-sgd", AT_RATE_OF_SGD)],
            )
        )
    sections.append(_tuning_section(record))
    return sections


def _findings(record: Record) -> list[Finding]:
    return [
        Finding(
            title=claim["claim"],
            verdict=claim["verdict"],
            tone=TONES[claim["verdict"]],
            text=f"{claim['measured']}.",
            intervals=[_interval(ratio) for ratio in claim["ratios"]],
        )
        for claim in record["claims"]
    ]


def _interval(ratio: Record) -> Interval:
    low, high = ratio["interval"] or (None, None)
    tone = TONES[ratio["verdict"]]
    return Interval(ratio["part"], ratio["text"], ratio["value"], low, high, tone)


def _table(record: Record, panel: str, measures: Sequence[Measure], caption: str) -> Table:
    timed = measures is ARRIVAL
    exploded = timed and _exploded(record, panel)
    rows: list[list[Cell]] = []
    for one in record["table"]:
        if one["panel"] == panel:
            row: list[Cell] = [one["method"]["title"], one["method"]["batch_size"]]
            row += [one["learning_rate"], arrived_text(one)] if timed else []
            row += [one["exploded"]] if exploded else []
            rows.append(
                [*row, *(median_and_range(one[measure.name], measure) for measure in measures)]
            )
    header = [
        "method",
        "rows per update",
        *(["learning rate", "reached the target"] if timed else []),
        *(["runs in which the loss exploded"] if exploded else []),
        *(measure.header for measure in measures),
    ]
    return Table(header, rows, caption=caption[0].upper() + caption[1:])


def _exploded(record: Record, panel: str) -> bool:
    return any(one["exploded"] for one in record["table"] if one["panel"] == panel)


def _tuning_section(record: Record) -> Section:
    titles = {one["method"]["name"]: one["method"]["title"] for one in record["table"]}
    rows: list[list[Cell]] = []
    for one in record["tuning"]:
        if not one["trials"]:
            # Trials take too long, or the rule has no rate to find.
            title = titles.get(one["method"], one["method"])
            rows.append([title, one["learning_rate"], None, "not tried", "taken"])
        for trial in one["trials"]:
            taken = trial["learning_rate"] == one["learning_rate"]
            rows.append(
                [
                    titles.get(one["method"], one["method"]),
                    trial["learning_rate"],
                    trial["updates"],
                    "diverged" if trial["loss"] is None else number_text(trial["loss"]),
                    "chosen" if taken else "",
                ]
            )
    header = ["method", "learning rate", "updates", "validation loss", ""]
    return Section(
        "How the learning rates were found",
        text=[
            "Short trials from one snapshot; after each rung the better half went on for twice as "
            "long. Where updates take too long for trials, the rate of the next smaller batch is "
            "taken."
        ],
        tables=[Table(header, rows, caption="Trials of learning rates")],
        folded=True,
    )


def _speed_text(one: Record, record: Record) -> tuple[str, str]:
    best = number_text(one["best"]["median"])
    some = f"in {one['arrived']} of {one['runs']} runs"
    if 2 * one["arrived"] <= one["runs"]:
        budget = record.get("budget")
        late = f"> {span_text(budget)}" if budget else "—"
        came = f"reached the target {some}" if one["arrived"] else "did not reach the target"
        return late, f"{came}; best loss {best}"
    came = "" if one["arrived"] == one["runs"] else f" {some}"
    return span_text(one["seconds_to_target"]["median"]), f"to the target{came}; best loss {best}"


def _ahead(fastest: Record, lines: Sequence[Record], record: Record) -> str:
    """How far the fastest is ahead of the two extremes with the same update rule."""
    rule, family = fastest["method"]["optimizer"], fastest["method"]["family"]
    told = []
    for one in lines:
        other = one["method"]
        extreme = other["family"] in ("full", "stochastic") and other["family"] != family
        if not extreme or other["optimizer"] != rule or not one["method"]["basic"]:
            continue
        if one["arrived"] == one["runs"]:
            times = one["seconds_to_target"]["median"] / fastest["seconds_to_target"]["median"]
            told.append(f"{other['title']} took {three(times)} times as long")
        else:
            time = f" in {span_text(record['budget'])}" if record.get("budget") else ""
            never = "did not reach it" if one["arrived"] == 0 else "did not always reach it"
            told.append(f"{other['title']} {never}{time}")
    return ": " + ", ".join(told) if told else ""
