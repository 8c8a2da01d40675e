"""Count the values that training did not have while rows are encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.data.encoding.other_units import unit_sentences, zone_sentences
from descend.data.reading.times import TIME
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
    RegressionTarget,
    Schema,
)
from descend.data.schema.dates import DAY
from descend.data.schema.describe import moment_text
from descend.data.schema.odd_rows import odd_cell
from descend.data.schema.odd_values import FAR
from descend.errors import DataWarning, quoted_cell, warn_user
from descend.io.units import count_text, percent_text

Numbers = NDArray[Any]

MANY = 0.05
"""Share of unseen values in a column from which on the user is warned."""

_COUNTED = (
    *("_values", "_unseen", "_strays", "_rows", "_classes", "_units", "_zoned"),
    *("_missing", "_all", "_far", "_far_examples", "_broken", "_broken_examples", "_hours"),
    *("_farthest", "_farthest_examples", "_notes"),
)
"""What is counted by column, beside the examples, and what is told of the table."""
_SENT = 100
"""Most examples of a column that are kept or sent."""
_KEPT = 10_000
_SHOWN = 3
_MOST_CODES = 10
"""Most whole numbers without a gap that may be codes, such as those of answers."""
_YEARS = tuple((1900 * scale, 2101 * scale - 1) for scale in (1, 100, 10_000))
"""Numbers between these may be years, months (202401) or days (20240131), which are no codes: a
later one is none of another kind."""
_LEAST_TOLD = 3
"""Least number of decimals where training had whole numbers, and of times all at midnight, that is
told."""
_BY_CHANCE = 0.01
"""Chance from which on times that are all at midnight are not told."""


@final
class UnseenValues:
    """Counts the values of each column that training did not have.

    Args:
        schema: what was learned.
        drop_classes: whether rows of a class that training did not have are left out and counted,
            or are an error.
    """

    def __init__(self, schema: Schema, *, drop_classes: bool = True) -> None:
        self._schema = schema
        self.drop_classes = drop_classes
        self._values: Counter[str] = Counter()
        self._unseen: Counter[str] = Counter()
        self._examples: dict[str, Counter[str]] = {}
        self._strays: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._units: dict[str, str] = {}
        self._zoned: dict[str, bool] = {}
        self._missing: Counter[str] = Counter()
        self._all: Counter[str] = Counter()
        self._far: Counter[str] = Counter()
        self._far_examples: dict[str, float] = {}
        self._farthest: Counter[str] = Counter()
        self._farthest_examples: dict[str, float] = {}
        self._broken: Counter[str] = Counter()
        self._broken_examples: dict[str, float] = {}
        self._hours: Counter[str] = Counter()
        self._notes: dict[str, bool] = {}

    def add(
        self, name: str, texts: Sequence[str], codes: Sequence[int], counts: NDArray[np.int64]
    ) -> None:
        """Count values of a category column; code 0 is a value that training did not have."""
        counted = counts[: len(texts)]
        self._values[name] += int(counted.sum())
        if 0 not in codes:
            return
        examples = self._examples.setdefault(name, Counter())
        for text, code, count in zip(texts, codes, counted.tolist(), strict=True):
            if code == 0:
                self._unseen[name] += count
                if text in examples or len(examples) < _KEPT:
                    examples[text] += count

    def add_strays(self, name: str, count: int, rows: int) -> None:
        """Count cells that are no numbers (or dates), in a column that had some in training."""
        self._strays[name] += count
        self._rows[name] += rows

    def add_classes(self, counts: dict[str, int]) -> None:
        """Count rows of a class that training did not have."""
        self._classes.update(counts)

    def add_missing(self, name: str, count: int, rows: int) -> None:
        """Count missing values of a column."""
        self._missing[name] += count
        self._all[name] += rows

    def add_values(self, column: NumberColumn | DatetimeColumn, values: pa.Array) -> None:
        """Count numbers, or microseconds, that are missing or unlike those of training."""
        self.add_missing(column.name, values.null_count, len(values))
        known = _known(values)
        if isinstance(column, NumberColumn) and column.whole:
            broken = known[known != np.floor(known)]
            _count(self._broken, self._broken_examples, column.name, broken)
        # Most tables have an hour in their first rows: then no others need be looked at.
        if not self._hours[column.name] and _has_hours(column):
            self._hours[column.name] += int(np.count_nonzero(known % DAY))
        low, high = column.minimum, column.maximum
        least = 365 * DAY if isinstance(column, DatetimeColumn) else 0
        self._add_farthest(column.name, known, low, high, least)
        if _are_codes(column):
            if column.distinct == 2:  # Between -1 and 1 there may be a 0.
                others = known[(known != low) & (known != high)]
                _count(self._far, self._far_examples, column.name, others)
                return
        else:
            low, high = _wide_range(low, high)
        self._add_outside(column.name, known, low, high)

    def add_targets(self, target: RegressionTarget, values: Mapping[str, pa.Array]) -> None:
        """Count targets, by name, that are far from those of training."""
        for name, low, high in zip(target.names, target.minimum, target.maximum, strict=True):
            self.add_missing(name, values[name].null_count, len(values[name]))
            known = _known(values[name])
            self._add_farthest(name, known, low, high)
            self._add_outside(name, known, *_wide_range(low, high))

    def _add_outside(self, name: str, known: Numbers, low: float, high: float) -> None:
        if len(known) and not (known.min() >= low and known.max() <= high):
            outside = known[(known < low) | (known > high)]
            _count(self._far, self._far_examples, name, outside)

    def _add_farthest(
        self, name: str, known: Numbers, low: float, high: float, least: float = 0.0
    ) -> None:
        """Count values that would be told if they were among those of training."""
        gap = FAR * max(high - low, least)
        if len(known) and gap and not (known.min() >= low - gap and known.max() <= high + gap):
            farthest = known[(known < low - gap) | (known > high + gap)]
            _count(self._farthest, self._farthest_examples, name, farthest)

    def add_notes(self, notes: Sequence[str]) -> None:
        """Take what is to be told of how the table was read, such as formulas without a value."""
        self._notes.update(dict.fromkeys(notes, True))

    def add_units(self, units: Mapping[str, str]) -> None:
        """Take the unit of columns of numbers: per cent, a currency or another one."""
        self._units.update(units)

    def add_zones(self, zoned: Mapping[str, bool]) -> None:
        """Take whether the times of columns have an offset from UTC."""
        self._zoned.update(zoned)

    def as_json(self) -> dict[str, Any]:
        """What was counted, as values that JSON holds; of examples the commonest."""
        examples = {
            name: dict(counts.most_common(_SENT)) for name, counts in self._examples.items()
        }
        plain = {name.lstrip("_"): dict(getattr(self, name)) for name in _COUNTED}
        return {**plain, "examples": examples}

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Add what another one has counted, as `as_json` holds it."""
        for name in _COUNTED:
            mine: dict[str, Any] = getattr(self, name)
            for key, value in record.get(name.lstrip("_"), {}).items():
                if isinstance(mine, Counter):
                    mine[key] += value
                else:
                    mine.setdefault(key, value)
        for name, counts in record.get("examples", {}).items():
            self._examples.setdefault(name, Counter()).update(counts)

    def categories(self) -> dict[str, list[str]]:
        """Up to three categories of each column that training did not have, the commonest first."""
        return {
            name: [value for value, _ in examples.most_common(_SHOWN)]
            for name, examples in self._examples.items()
            if examples
        }

    def warn(self) -> None:
        """Warn of each column with many values that training did not have."""
        for sentence in self.sentences():
            warn_user(sentence, DataWarning)

    def warn_of_cells(self) -> None:
        """Warn of the cells alone that a model cannot tell apart: all of them have one meaning.

        Rows given for a sum over many settings of a column, such as those of a partial dependence,
        have numbers unlike those of training by intention.
        """
        for column in self._schema.columns:
            if isinstance(column, CategoryColumn) and self._values[column.name]:
                for sentence in self._of_column(column):
                    warn_user(sentence, DataWarning)
        for sentence in self._of_strays():
            warn_user(sentence, DataWarning)

    def sentences(self) -> list[str]:
        """The warnings: on how the table was read, and on each column with unseen values."""
        said = list(self._notes)
        for column in self._schema.columns:
            if isinstance(column, CategoryColumn) and self._values[column.name]:
                said += self._of_column(column)
                said += self._of_odd_rows(column.name)
            elif isinstance(column, NumberColumn) and column.name in self._units:
                said += unit_sentences(
                    f"column {column.name!r}", column.unit, self._units[column.name]
                )
            elif isinstance(column, DatetimeColumn) and column.name in self._zoned:
                said += zone_sentences(column, zoned=self._zoned[column.name])
            if isinstance(column, NumberColumn | DatetimeColumn):
                said += self._of_far_values(column) or self._of_broken_values(column.name)
            if isinstance(column, DatetimeColumn):
                said += self._of_midnights(column)
            if not isinstance(column, LeftOutColumn):
                said += self._of_missing(column)
        target = self._schema.target
        if isinstance(target, RegressionTarget):
            for name, unit in zip(target.names, target.units, strict=False):
                if name in self._units:
                    said += unit_sentences(f"the target {name!r}", unit, self._units[name])
            for name, low, high in zip(target.names, target.minimum, target.maximum, strict=True):
                said += self._of_far(f"the target {name!r}", name, f"{low:.8g}", f"{high:.8g}")
        said += self._of_strays()
        if self._classes:
            rows, name = sum(self._classes.values()), target.names[0]
            labels = target.labels if isinstance(target, ClassificationTarget) else ()
            known = ", ".join(map(repr, labels[:_SHOWN]))
            said.append(
                f"The target {name!r} has a class that training did not have in "
                f"{count_text(rows, 'row')} ({_list_examples(self._classes)}); such rows are left "
                f"out of the metrics. Training had {known}{', …' * (len(labels) > _SHOWN)}."
            )
        return said

    def _of_column(self, column: CategoryColumn) -> list[str]:
        values, unseen = self._values[column.name], self._unseen[column.name]
        # Code 0 also holds the rare values of training, which are expected here too.
        present = self._schema.rows.training - column.missing
        rare = 1 - sum(column.counts) / present if present > 0 else 0.0
        chance = 3 * (values * rare * (1 - rare)) ** 0.5
        if unseen <= (rare + MANY) * values or unseen - rare * values <= chance:
            return []
        known = ", ".join(repr(value) for value in column.values[:_SHOWN])
        return [
            f"In column {column.name!r} training never or hardly ever saw {unseen:,} of "
            f"{count_text(values, 'value')} ({percent_text(unseen / values)}): "
            f"{_list_examples(self._examples[column.name])}. Training had {known}"
            f"{', …' if len(column.values) > _SHOWN else ''}."
        ]

    def _of_strays(self) -> list[str]:
        return [
            f"Column {name!r} holds no number or date in {count:,} of "
            f"{count_text(self._rows[name], 'cell')}; such cells count as missing, as in training."
            for name, count in self._strays.items()
            if count > MANY * self._rows[name]
        ]

    def _of_odd_rows(self, name: str) -> list[str]:
        """A sentence for each unseen value that totals have, or that is the column's name."""
        found = (odd_cell(name, *one) for one in self._examples.get(name, Counter()).items())
        ending = "They are predicted like other rows; leave them out."
        return [f"{what} {ending}" for _, what in found if what]

    def _of_far_values(self, column: NumberColumn | DatetimeColumn) -> list[str]:
        """A sentence if many values of a column are far from those of training."""
        what = f"column {column.name!r}"
        if isinstance(column, DatetimeColumn):
            low, high = (moment_text(column, end) for end in (column.minimum, column.maximum))
            return self._of_far(what, column.name, low, high, lambda one: moment_text(column, one))
        low, high = f"{column.minimum:.8g}", f"{column.maximum:.8g}"
        count, far = self._known(column.name), self._far[column.name]
        if not _are_codes(column) or far <= MANY * count:
            return self._of_far(what, column.name, low, high)
        had = f"{low} and {high}" if column.distinct == 2 else f"the whole numbers {low} to {high}"
        return [
            f"In {what} {far:,} of {count_text(count, 'value')} ({percent_text(far / count)}) are "
            f"none that training had: {had}; the first is {self._far_examples[column.name]:.10g}. "
            "Are they coded in the same way?"
        ]

    def _of_far(
        self, what: str, name: str, low: str, high: str, text: Callable[[int], str] | None = None
    ) -> list[str]:
        """A sentence if many values lie outside the range of training by more than its width.

        That is how thousands look that are decimals, a unit that was converted, a number that
        stands for a missing value.
        """
        count, far = self._known(name), self._far[name]
        few = far <= MANY * count
        if few and not self._farthest[name]:
            return []
        example = (self._farthest_examples if few else self._far_examples)[name]
        found = text(int(example)) if text else f"{example:.10g}"
        if few:
            values = count_text(self._farthest[name], "value")
            return [
                f"In {what} {values} of {count:,} {'is' if self._farthest[name] == 1 else 'are'} "
                f"farther from those of training ({low} to {high}) than {FAR:g} times their range, "
                f"the first is {found}. If that is wrong, correct it."
            ]
        return [
            f"In {what} {far:,} of {count_text(count, 'value')} ({percent_text(far / count)}) are "
            f"far from those of training ({low} to {high}), the first is {found}. Is it the same "
            "unit, and written in the same way?"
        ]

    def _of_broken_values(self, name: str) -> list[str]:
        """A sentence if many values have decimals, in a column of whole numbers in training.

        That is how shares look that were counts, standardised numbers, and thousands with points.
        """
        count, broken = self._known(name), self._broken[name]
        if broken < _LEAST_TOLD or broken <= MANY * count:
            return []
        return [
            f"In column {name!r} {broken:,} of {count_text(count, 'value')} "
            f"({percent_text(broken / count)}) have decimals, and training had whole numbers "
            f"only; the first is {self._broken_examples[name]:.10g}. Is it the same unit, and "
            "written in the same way?"
        ]

    def _of_midnights(self, column: DatetimeColumn) -> list[str]:
        """A sentence if all times are at midnight, as dates alone are, and that is no chance."""
        count = self._known(column.name)
        if not _has_hours(column) or count < _LEAST_TOLD or self._hours[column.name]:
            return []
        share = _most_midnights(column)
        if share**count > _BY_CHANCE:
            return []
        return [
            f"All {count_text(count, 'time')} of column {column.name!r} are at midnight, as dates "
            f"without a time are; in training at least {percent_text(1 - share)} had another time "
            "of the day. Give the times too."
        ]

    def _known(self, name: str) -> int:
        """How many values of a column are not missing."""
        return self._all[name] - self._missing[name]

    def _of_missing(self, column: NumberColumn | CategoryColumn | DatetimeColumn) -> list[str]:
        """A sentence if far more values are missing than in training."""
        name, rows = column.name, self._all[column.name]
        missing = self._missing[name]
        share = column.missing / max(1, self._schema.rows.training)
        chance = 3 * (rows * share * (1 - share)) ** 0.5
        if missing <= (share + MANY) * rows or missing - share * rows <= chance:
            return []
        if self._strays[name] > MANY * self._rows[name]:
            return []  # That sentence says it already.
        return [
            f"Column {name!r} is missing in {missing:,} of {count_text(rows, 'row')} "
            f"({percent_text(missing / rows)}); in training it was in {percent_text(share)}."
        ]


def _wide_range(low: float, high: float) -> tuple[float, float]:
    """The range of training, wider by its width on either side."""
    width = high - low
    return low - width, high + width


def _has_hours(column: NumberColumn | DatetimeColumn) -> bool:
    """Whether a column has times with their date, whose hour varied in training."""
    if isinstance(column, NumberColumn):
        return False
    hours = any(part.name.startswith("hour") for part in column.parts)
    return hours and column.pattern != TIME


def _most_midnights(column: DatetimeColumn) -> float:
    """The greatest share of the training times that may have been at midnight.

    With x = 1 - cos(hour), which is 0 at midnight and above 0 at all other times, Cantelli's
    inequality is P(x = 0) ≤ variance/(variance + mean²).
    """
    hour = next((part for part in column.parts if part.name == "hour cos"), None)
    if hour is None:  # It is constant and not 1, or the sine would be constant too.
        return 0.0
    variance, mean = hour.deviation**2, 1.0 - hour.mean
    return variance / (variance + mean**2)


def _are_codes(column: NumberColumn | DatetimeColumn) -> bool:
    """Whether the numbers of a column may be codes: two, or a few whole ones without a gap."""
    if not isinstance(column, NumberColumn) or column.distinct is None:
        return False
    if any(low <= column.minimum and column.maximum <= high for low, high in _YEARS):
        return False
    gapless = column.distinct == column.maximum - column.minimum + 1
    return column.distinct == 2 or bool(column.whole and gapless and column.distinct <= _MOST_CODES)


def _known(values: pa.Array) -> Numbers:
    """The values that are not missing; to compare them in Arrow would import pandas."""
    return np.asarray(pc.drop_null(values).to_numpy(zero_copy_only=False))


def _count(counts: Counter[str], examples: dict[str, float], name: str, found: Numbers) -> None:
    """Count values of a column, and keep the first one."""
    if len(found):
        counts[name] += len(found)
        examples.setdefault(name, found[0].item())


def _list_examples(counts: Counter[str]) -> str:
    shown = ", ".join(
        f"{quoted_cell(text)} ({count:,})" for text, count in counts.most_common(_SHOWN)
    )
    return shown + (", ..." if len(counts) > _SHOWN else "")
