"""The page and the text of a comparison, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from descend.reporting.html import number_text
from descend.reporting.page import render
from descend.reporting.parts import Cell, KeyFigure, Plot, Section, Summary, Table
from descend.reporting.plots import Trace, figure, line, points
from descend.reporting.text import subject, table_text

Record = Mapping[str, Any]

PANELS = {
    "tuned": "Each at its own learning rate",
    "same": "All at one learning rate",
}
AXES = (
    ("seconds", "seconds"),
    ("updates", "update"),
    ("epochs", "epoch"),
    ("rows seen", "examples"),
)
HEADER = (
    "method",
    "rows per update",
    "learning rate",
    "came to the target",
    "updates to it",
    "epochs to it",
    "seconds to it",
    "best validation loss",
    "gradient off at the start",
    "gradient off when trained",
    "roughness",
    "rows per second",
    "peak memory",
)
NOTES = (
    "Middle value over the seeds, lowest and highest in brackets. The target is a validation loss "
    "5 % of the best gain above the best loss of any method; a method that did not come there in "
    "its seconds has no time to it. Gradient off: how far the gradient of a batch scatters around "
    "that over all rows, as a part of its length. Roughness: the part of the way of the loss curve "
    "that leads up, 0 for a curve that only falls, near 0.5 for one that only shakes. Peak memory "
    "is what training at this batch size holds, as counted from the compiled update.",
)
MOST_POINTS = 400


def compare_report(record: Record) -> str:
    """The page of a comparison.

    Args:
        record: what compare.json holds.
    """
    return render(
        compare_title(record),
        compare_summary(record),
        compare_sections(record),
        source=f"Made by descend {record['descend']} from compare.json.",
    )


def compare_title(record: Record) -> str:
    """Like `Methods compared: cnt from bike_sharing.csv`."""
    return f"Methods compared: {subject(record)}"


def compare_summary(record: Record) -> Summary:
    """Which was fastest, by how much, and how the claims fared."""
    lines = [one for one in record["table"] if one["panel"] == "tuned"]
    counts = {
        word: sum(claim["verdict"] == word for claim in record["claims"])
        for word in ("held", "did not hold", "undetermined")
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    rows = record["data"]["rows"]["training"]
    figures = [
        KeyFigure(
            one["method"]["title"],
            _seconds_text(one),
            f"to the target; best loss {number_text(one['best']['median'])}",
        )
        for one in lines
        if one["method"]["basic"]
    ]
    fastest = fastest_of(lines)
    text = f"{len(lines)} methods on {rows:,} rows, {record['seeds']} seeds, the same seconds each."
    if fastest is not None:
        text += (
            f" {fastest['method']['title']} came to the target first: "
            f"{_duration(fastest['seconds_to_target']['median'])}."
        )
    return Summary(text, figures, outcome=f"Common claims on this table: {told}.")


def fastest_of(lines: Sequence[Record]) -> Record | None:
    """The method that came to the target first, among those that always came."""
    came = [one for one in lines if one["arrived"] == one["runs"]]
    return min(came, key=lambda one: float(one["seconds_to_target"]["median"]), default=None)


def compare_sections(record: Record) -> list[Section]:
    """The claims, the measured table, the curves, and how the rates were found."""
    sections = [
        Section("What is commonly told", tables=[_claims_table(record)]),
        Section(
            "Measured",
            text=NOTES,
            plots=[_arrival_plot(record)],
            tables=[_table(record, "tuned")],
        ),
        Section("The curves", plots=[_curves(record, "tuned")]),
    ]
    if any(one["panel"] == "same" for one in record["table"]):
        sections.append(
            Section(
                PANELS["same"],
                text=[
                    f"The same runs, all at learning rate {number_text(record['same_rate'])}: the "
                    "rate that suits the advised mini-batch with momentum. What differs here and "
                    "not above is tuning, not the method."
                ],
                plots=[_curves(record, "same")],
                tables=[_table(record, "same")],
            )
        )
    sections.append(_tuning_section(record))
    return sections


def compare_text(record: Record) -> str:
    """What the command line prints."""
    parts = []
    for panel, title in PANELS.items():
        lines = [one for one in record["table"] if one["panel"] == panel]
        if not lines:
            continue
        rows = [
            [
                one["method"]["title"],
                number_text(one["learning_rate"]),
                _spread(one["updates_to_target"]),
                _spread(one["epochs_to_target"]),
                _arrival_text(one),
                _spread(one["best"]),
                f"{_middle(one['deviation_at_start'])} / {_middle(one['deviation_when_trained'])}",
                _spread(one["roughness"]),
                _middle(one["rows_per_second"]),
                _bytes(one["memory"]),
            ]
            for one in lines
        ]
        header = [
            "method",
            "rate",
            "updates to target",
            "epochs",
            "seconds",
            "best loss",
            "gradient off",
            "roughness",
            "rows/s",
            "memory",
        ]
        parts.append(f"{title}\n\n{table_text(header, rows, numbers=9)}")
    claims = "\n".join(f"- {claim['claim']} {claim['sentence']}" for claim in record["claims"])
    parts.append(f"What is commonly told\n\n{claims}")
    return "\n\n".join(parts)


def _claims_table(record: Record) -> Table:
    return Table(
        ["claim", "on this table", "what was measured"],
        [[one["claim"], one["verdict"], one["sentence"]] for one in record["claims"]],
        caption="Claims about batch sizes, held against these runs. In brackets the 90 % interval "
        "of a ratio over the seeds.",
    )


def _table(record: Record, panel: str) -> Table:
    rows: list[list[Cell]] = []
    for one in record["table"]:
        if one["panel"] == panel:
            rows.append(
                [
                    one["method"]["title"],
                    one["method"]["batch_size"],
                    one["learning_rate"],
                    f"{one['arrived']} of {one['runs']}"
                    + (f", {one['exploded']} exploded" if one["exploded"] else ""),
                    *(_spread(one[name]) for name in _SPREADS),
                    _bytes(one["memory"]),
                ]
            )
    return Table(HEADER, rows, caption=PANELS[panel])


_SPREADS = (
    "updates_to_target",
    "epochs_to_target",
    "seconds_to_target",
    "best",
    "deviation_at_start",
    "deviation_when_trained",
    "roughness",
    "rows_per_second",
)


def _curves(record: Record, panel: str) -> Plot:
    runs = [run for run in record["runs"] if run["panel"] == panel]
    first = min(run["seed"] for run in runs)
    shown = [run for run in runs if run["seed"] == first]
    traces: list[Trace] = []
    choices: dict[str, list[list[float]]] = {title: [] for title, _ in AXES}
    rows: list[list[Cell]] = []
    for place, run in enumerate(shown):
        history = _thinned(run["history"])
        traces.append(
            line(
                run["method"]["title"],
                history["seconds"],
                history["validation_loss"],
                place,
                dash="solid" if run["method"]["optimizer"] != "sgd" else "dot",
            )
        )
        for title, name in AXES:
            choices[title].append(history[name])
        step = max(1, len(history["update"]) // 8)
        for number in range(0, len(history["update"]), step):
            rows.append(
                [
                    run["method"]["title"],
                    *(history[name][number] for _, name in AXES),
                    history["validation_loss"][number],
                ]
            )
    header = ["method", *(title for title, _ in AXES), "validation loss"]
    return Plot(
        name=f"curves-{panel}",
        title=f"Validation loss. {PANELS[panel]}",
        figure=figure(traces, AXES[0][0], "validation loss", log_y=True),
        table=Table(header, rows, caption="Validation loss at some of the evaluations"),
        caption=f"The runs of seed {first}. Dotted lines are without momentum.",
        x_choices=choices,
        log_x=True,
        log_y=True,
    )


def _arrival_plot(record: Record) -> Plot:
    traces: list[Trace] = []
    rows: list[list[Cell]] = []
    lines = [one for one in record["table"] if one["panel"] == "tuned"]
    for rule in dict.fromkeys(one["method"]["optimizer"] for one in lines):
        own = [
            one
            for one in lines
            if one["method"]["optimizer"] == rule and one["seconds_to_target"] is not None
        ]
        if not own:
            continue
        middle = [one["seconds_to_target"]["median"] for one in own]
        trace = points(rule, [one["method"]["batch_size"] for one in own], middle, len(traces))
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [
                one["seconds_to_target"]["high"] - one["seconds_to_target"]["median"] for one in own
            ],
            "arrayminus": [
                one["seconds_to_target"]["median"] - one["seconds_to_target"]["low"] for one in own
            ],
        }
        traces.append(trace)
    for one in lines:
        rows.append(
            [
                one["method"]["title"],
                f"{one['arrived']} of {one['runs']}",
                _spread(one["seconds_to_target"]),
            ]
        )
    return Plot(
        name="arrival",
        title="Seconds to the target",
        figure=figure(traces, "rows per update", "seconds", log_x=True, log_y=True),
        table=Table(
            ["method", "came to the target", "seconds"], rows, caption="Seconds to the target"
        ),
        caption="Bars reach from the fastest seed to the slowest. A method that did not come to "
        "the target is not shown.",
        log_x=True,
        log_y=True,
    )


def _tuning_section(record: Record) -> Section:
    titles = {one["method"]["name"]: one["method"]["title"] for one in record["table"]}
    rows: list[list[Cell]] = []
    for one in record["tuning"]:
        for trial in one["trials"]:
            taken = trial["learning_rate"] == one["learning_rate"]
            rows.append(
                [
                    titles.get(one["method"], one["method"]),
                    trial["learning_rate"],
                    trial["updates"],
                    "diverged" if trial["loss"] is None else number_text(trial["loss"]),
                    "taken" if taken else "",
                ]
            )
    header = ["method", "learning rate", "updates", "validation loss", ""]
    return Section(
        "How the learning rates were found",
        text=["Short trials from one snapshot; the better half of them ran twice as far."],
        tables=[Table(header, rows, caption="Trials of learning rates")],
        folded=True,
    )


def _thinned(history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    count = len(history["update"])
    places = sorted({round(n * (count - 1) / (MOST_POINTS - 1)) for n in range(MOST_POINTS)})
    return {name: [values[place] for place in places] for name, values in history.items()}


def _seconds_text(one: Record) -> str:
    if one["seconds_to_target"] is None:
        return "did not arrive"
    text = _duration(one["seconds_to_target"]["median"])
    return text if one["arrived"] == one["runs"] else f"{text} ({one['arrived']} of {one['runs']})"


def _arrival_text(one: Record) -> str:
    text = _spread(one["seconds_to_target"])
    return text if one["arrived"] == one["runs"] else f"{text} {one['arrived']} of {one['runs']}"


def _spread(value: Mapping[str, float] | None) -> str:
    if value is None:
        return "—"
    low, middle, high = (_three(value[name]) for name in ("low", "median", "high"))
    return middle if low == high else f"{middle} ({low}–{high})"


def _middle(value: Mapping[str, float] | None) -> str:
    return "—" if value is None else _three(value["median"])


def _three(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def _bytes(value: Mapping[str, float] | None) -> str:
    if value is None:
        return "—"
    number = value["median"]
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"
