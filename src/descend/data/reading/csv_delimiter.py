"""Detect the delimiter and the quotes of CSV text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from descend.data.reading.csv_text import SAMPLE_RECORDS, parse

SPACES = " "
"""A delimiter that stands for any number of spaces and tabs."""
USUAL = ",;\t|"
_UNUSUAL = ":^~\x01"
NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


def is_tabbed(path: str) -> bool:
    """Whether the suffix of a file says that its delimiter is a tab."""
    return any(suffix.lower() in (".tsv", ".tab") for suffix in Path(path).suffixes)


def find_delimiter(text: str) -> str:
    """The delimiter that splits header and first records into the same number of fields."""
    scores = {delimiter: _score(text, delimiter) for delimiter in USUAL}
    best = max(USUAL, key=lambda delimiter: scores[delimiter])
    if scores[best][1] > 1 and (scores[best][0] == 1 or not _is_spaced(text)):
        return best
    for delimiter in _UNUSUAL:
        share, fields = _score(text, delimiter)
        if share == 1 and fields > 1:
            return delimiter
    return SPACES if _is_spaced(text) else ","


def _is_spaced(text: str) -> bool:
    """Whether spaces split each line into the same number of fields, some of them numbers."""
    found = [line.split() for line in text.splitlines()[:SAMPLE_RECORDS] if line.strip()]
    if len(found) < 3 or len(found[0]) < 2 or len({len(fields) for fields in found}) > 1:
        return False
    return len(numeric_places(found[1:], len(found[0]))) > 0


def _score(text: str, delimiter: str) -> tuple[float, int]:
    """(share of records with as many fields as the header, number of those fields)."""
    lengths = [len(record) for record in parse(text, delimiter, SAMPLE_RECORDS) if record]
    if not lengths or lengths[0] < 2:
        return 0.0, 1
    return share_of(lengths, lengths[0]), lengths[0]


def share_of(lengths: Sequence[int], length: int) -> float:
    """The share of the lengths that are equal to one of them."""
    return sum(one == length for one in lengths) / len(lengths)


def numeric_places(
    rows: Sequence[Sequence[str]],
    width: int,
    among: Sequence[int] | None = None,
    pattern: re.Pattern[str] = NUMBER,
) -> list[int]:
    """The indices of the columns whose fields are numbers or empty, but not all empty.

    Args:
        rows: fields.
        width: of the rows that are looked at.
        among: indices to look at; None: all.
        pattern: that takes the place of that of numbers.
    """
    full = [row for row in rows if len(row) == width]
    return [
        place
        for place in (range(width) if among is None else among)
        if any(row[place].strip() for row in full)
        and all(not row[place].strip() or pattern.fullmatch(row[place]) for row in full)
    ]


def find_quoting(text: str, delimiter: str) -> tuple[str, str]:
    """The (quote, escape) characters of a text."""
    if '\\"' in text and not _is_strict(text, delimiter, '"') and _is_strict(text, delimiter, "\\"):
        return '"', "\\"
    if "'" not in text:
        return '"', '"'
    rows = [row for row in parse(text, delimiter, SAMPLE_RECORDS)[1:] if row]
    single = [row for row in parse(text, delimiter, SAMPLE_RECORDS, quote="'", escape="'") if row]
    if (
        len(single) > 2
        and len({len(row) for row in single}) == 1
        and len({len(row) for row in rows}) > 1
    ):
        return "'", "'"
    if len(rows) < 3:
        return '"', '"'
    width = max(len(row) for row in rows)
    for place in range(width):
        fields = [row[place] for row in rows if len(row) > place and row[place]]
        if len(fields) >= 3 and all(
            len(field) > 1 and field[0] == field[-1] == "'" for field in fields
        ):
            return "'", "'"
    return '"', '"'


def _is_strict(text: str, delimiter: str, escape: str) -> bool:
    """Whether all quotes of a text are valid with this escape character."""
    double = escape == '"'
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        doublequote=double,
        escapechar=None if double else escape,
    )
    try:
        for _ in reader:
            pass
    except csv.Error:
        return False
    return True
