"""The result of a finished run, as far as it does not depend on what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descend.errors import InputError
from descend.io.units import span_text
from descend.reporting.loss_curve import ending_text
from descend.reporting.notebook import Html, Lines, page_frame
from descend.reporting.text.records import NAMES, chosen_rate, round_metric
from descend.runs.contents import REPORT
from descend.types import History, StopReason

Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, but for the model.

    Attributes:
        history: a line per evaluation.
        stop_reason: why it ended.
        record: what run.json holds.
        folder: the run directory, or None where nothing was written.
    """

    history: History
    stop_reason: StopReason
    record: Mapping[str, Any]
    folder: Path | None

    def __post_init__(self) -> None:
        """The history becomes one that can be shown."""
        object.__setattr__(self, "history", Lines(self.history))

    def report(self) -> Html:
        """The page of the run, shown within a notebook.

        Raises:
            InputError: the run has no folder.
        """
        if self.folder is None or not (self.folder / REPORT).is_file():
            raise InputError("This run has no report: give out='runs/NAME' to train or fit.")
        return page_frame(self.folder / REPORT)

    @property
    def metrics(self) -> Metrics:
        """Metrics on the validation rows: `{"model": {...}, "baseline": {...}}`.

        Of several outputs with a loss each, those of each by its name, as `accuracy (kind)`.
        Empty where you wrote the loss: descend does not know what it measures.
        """
        return dict(self.record["result"]["metrics"])

    def _shown(self, figures: str) -> str:
        """The run as one line, with its figures."""
        where = f" in {self.folder}" if self.folder else ""
        return f"<descend.{type(self).__name__}{where}: {figures}; {self.stop_reason.name}>"

    def _facts(self, first: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """What a notebook shows: the first facts, metrics, settings, cost and ending."""
        settings, result = self.record["settings"], self.record["result"]
        baseline = self.metrics.get("baseline", {})
        return [
            *first,
            *(
                (NAMES.get(name, name), _beside_text(name, value, baseline[name]))
                for name, value in self.metrics.get("model", {}).items()
                if baseline.get(name) is not None
            ),
            ("batch size", settings["batch_size"]),
            ("learning rate", chosen_rate(self.record) or "in your optimizer"),
            ("epochs", result["epochs"]),
            ("training time", span_text(result["seconds"])),
            ("ended", ending_text(result, self.history) or self.stop_reason.value),
            *([("folder", self.folder)] if self.folder else []),
        ]


def _beside_text(name: str, value: float, trivial: float) -> str:
    model, simple = (round_metric(name, one) for one in (value, trivial))
    return f"{model:.4g} (trivial prediction: {simple:.4g})"
