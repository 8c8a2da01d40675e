"""Find the header of CSV text: below comments and titles, above the rows."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence

from descend.data.reading.csv_delimiter import (
    NUMBER,
    USUAL,
    find_delimiter,
    numeric_places,
    share_of,
)
from descend.data.reading.csv_text import SAMPLE_RECORDS, parse
from descend.data.reading.missing import MARKS
from descend.data.reading.options import ReadingOptions
from descend.errors import option_text

_MOST_SKIPPED = 50
_COMMENT = re.compile(r"\s*(#|%|//)")
_VALUE = re.compile(r"(?=\D*\d)[\W\d]+(?:T[\W\d]+Z?)?\s*")
"""A number, an amount, a date or a time: digits, and signs, but no letters."""


def skip_comments(lines: Sequence[str], options: ReadingOptions) -> tuple[int, list[str]]:
    """(number of lines to skip at the top, sentences): comments, or as the user says."""
    if options.skip_lines is not None:
        return options.skip_lines, []
    comments = 0
    while comments < min(len(lines), _MOST_SKIPPED) and _COMMENT.match(lines[comments]):
        comments += 1
    blank = comments
    while comments and blank < len(lines) and not lines[blank].strip():
        blank += 1
    if not comments or blank == len(lines):
        return 0, []
    rest = "".join(lines[blank:])
    delimiter = options.delimiter or find_delimiter(rest)
    found = [one for one in parse(rest, delimiter, SAMPLE_RECORDS) if one]
    header = looks_like_header(found[0], found[1:]) if found else None
    last = parse(lines[comments - 1], delimiter, 1)
    # "#id,name" is a header if the next line has as many fields and is no header itself.
    if options.header and header is not True and last and len(last[0]) == len(found[0]) > 1:
        note = (
            f"Line {comments} begins with a comment sign and was taken as the column names. "
            f"If it is a comment, add {option_text('skip_lines', comments)}."
        )
        skipped = [f"{lines_text(1, comments - 1, 'comments')} skipped."] if comments > 1 else []
        return comments - 1, [*skipped, note] if header is None else skipped
    return blank, [f"{lines_text(1, comments, 'comments')} skipped."]


def lines_text(first: int, last: int, what: str) -> str:
    """Like `Lines 1 to 3 (comments) are`."""
    if first == last:
        return f"Line {first} ({what}) is"
    return f"Lines {first} to {last} ({what}) are"


def find_titles(
    text: str, delimiter: str, found: Sequence[Sequence[str]], options: ReadingOptions
) -> tuple[int, str] | None:
    """(number of title lines above the header, delimiter below them), or None if there are none."""
    if padded := _count_padded_titles(found):
        return count_lines(text, delimiter, records=padded), delimiter
    lengths = [len(record) for record in found if record]
    if len(lengths) < 3 or (share_of(lengths, lengths[0]) >= 0.5 and lengths[0] > 1):
        return None
    candidates = [options.delimiter] if options.delimiter else [*USUAL]
    best: tuple[int, str] | None = None
    widest = max(1, lengths[0]) if share_of(lengths, lengths[0]) >= 0.5 else 1
    for candidate in candidates:
        records = parse(text, candidate, SAMPLE_RECORDS)
        full = [len(record) for record in records]
        usual = max(set(full), key=full.count, default=0)
        if usual <= widest or usual not in full:
            continue
        start = full.index(usual)
        below = [length for length in full[start:] if length]
        header = records[start]
        if start == 0 or len(below) < 2 or share_of(below, usual) < 0.95:
            continue
        if has_row_names(records[0], records[1:]):
            continue
        if not looks_like_header(header, records[start + 1 :]):
            continue
        height = count_lines(text, candidate, records=start)
        widest, best = usual, (height, candidate)
    return best


def _count_padded_titles(found: Sequence[Sequence[str]]) -> int:
    """How many records above the header are titles, padded with empty fields, or are empty.

    Spreadsheets write them so: `Report of 2021,,` and `printed by,Ann,,`.
    """
    titles = list(itertools.takewhile(_is_padded, found[:_MOST_SKIPPED]))
    header, rows = found[len(titles) : len(titles) + 1], found[len(titles) + 1 :]
    filled = [title for title in titles if any(field.strip() for field in title)]
    if not titles or not header or len(titles[0]) < 2 or (filled and not filled[0][0].strip()):
        return 0
    names = {field.strip() for field in header[0]} - {""}
    named = len(names) == len(header[0]) == len(titles[0])
    return len(titles) if named and looks_like_header(header[0], rows) else 0


def _is_padded(record: Sequence[str]) -> bool:
    """Whether a record has text in its first field alone, or in at most half of its fields.

    A header may lack the name of a column or two.
    """
    filled = [bool(field.strip()) for field in record]
    return not any(filled[1:]) or 2 * sum(filled) <= len(filled)


def looks_like_header(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool | None:
    """Whether a record holds names above columns of numbers or dates; None without such columns."""
    values = numeric_places(rows, len(header), pattern=_VALUE)
    if any(_VALUE.fullmatch(header[place]) for place in _same_form(header, rows, values)):
        return False
    return True if values else None


def _same_form(
    record: Sequence[str], rows: Sequence[Sequence[str]], values: Sequence[int]
) -> list[int]:
    """Which of the columns of values have cells written as the field of a record is.

    A year or a date may be the name of a column of numbers, and is none of a column of dates.
    """
    dates = [place for place in values if not NUMBER.fullmatch(record[place])]
    numbers = set(numeric_places(rows, len(record), dates))
    return [place for place in values if place not in numbers]


def looks_like_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a header has a value above a column of such values, except years and numbering."""
    places = [place for place, field in enumerate(header) if _VALUE.fullmatch(field)]
    values = numeric_places(rows, len(header), places, pattern=_VALUE)
    found = [header[place] for place in _same_form(header, rows, values)]
    if not found or len(rows) < 2:
        return False
    try:
        numbers = [int(field) for field in found]
    except ValueError:
        return True
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    return not (len(steps) == 1 and steps != {0}) and not (
        len(numbers) == 1 and (numbers[0] < 10 or 1000 <= numbers[0] < 3000)
    )


def names_below(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The fields of the first row, if it has words wherever all other rows have numbers or dates.

    Those are names of columns, below a title that fills as many fields, or units.
    """
    if len(rows) < 3 or len(rows[0]) != len(header):
        return []
    places = numeric_places(rows[1:], len(header), pattern=_VALUE)
    words = [word for place in places if (word := rows[0][place].strip())]
    # Marks of missing values are no names, and one word alone may be such a mark.
    if not words or any(word.lower() in MARKS or _VALUE.fullmatch(word) for word in words):
        return []
    filled = all(field.strip() for field in rows[0])
    return words if len(words) > 1 or filled else []


def has_row_names(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether every row has one field more than the header, at the front."""
    if len(rows) < 2 or any(len(row) != len(header) + 1 for row in rows):
        return False
    # A delimiter at the end of each row gives an empty last field.
    return any(row[-1].strip() for row in rows) and len({row[0] for row in rows}) == len(rows)


def count_lines(text: str, delimiter: str, *, records: int, quote: str = '"') -> int:
    """The number of lines that the first records of a text take."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    for _ in itertools.islice(reader, records):
        pass
    return reader.line_num
