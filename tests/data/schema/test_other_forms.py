"""The same values in another ordinary form are read as in training, and another meaning is told."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, NumberColumn, Schema
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 60
SECONDS = [60 + 2_347 * row for row in range(ROWS)]
TIMES = [
    datetime.datetime(2021, 1, 3, 8, 15) + datetime.timedelta(hours=37 * row) for row in range(240)
]
MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    "short": "Jan. Feb. Mrz. Apr. Mai Jun. Jul. Aug. Sept. Okt. Nov. Dez.",
}


def frame(cells: Any) -> Any:
    """A table of a column x; cells of pandas keep their type."""
    if isinstance(cells, pd.Series):
        return pd.DataFrame({"x": cells, "z": 0.5})
    return pa.table({"x": cells, "z": [0.5] * len(cells)})


def learned(cells: Any, **options: Any) -> Schema:
    values = [row % 7 + 0.5 for row in range(len(cells))]
    if isinstance(cells, pd.Series):
        table: Any = pd.DataFrame({"x": cells, "z": values, "y": values})
    else:
        table = pa.table({"x": cells, "z": values, "y": values})
    return learn_schema(
        open_table(table), Settings(**{"target": "y", "task": "regression", **options})
    )


def read(schema: Schema, cells: Any) -> tuple[np.ndarray, list[str]]:
    unseen = UnseenValues(schema)
    parts = [*Encoder(schema).encode(open_table(frame(cells)), target=False, unseen=unseen)]
    values = [
        np.concatenate([part.batch.x[one] for part in parts], dtype=float)
        for one in ("numeric", "category")
    ]
    return np.concatenate(values, axis=1), unseen.sentences()


def check_alike(schema: Schema, cells: Any, as_trained: Any) -> list[str]:
    """The same numbers or codes as from cells in the form of training; what is told of them."""
    found, told = read(schema, cells)
    np.testing.assert_allclose(found, read(schema, as_trained)[0], rtol=1e-6, atol=1e-6)
    return told


def clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def deltas(seconds: Sequence[int]) -> pd.Series:
    return pd.Series(pd.to_timedelta(list(seconds), unit="s"))


@pytest.mark.parametrize("kind", ["text", "durations", "numbers"])
def test_durations_and_seconds_are_alike_and_told_apart(kind: str) -> None:
    cells = {
        "text": [clock(one) for one in SECONDS],
        "durations": deltas(SECONDS),
        "numbers": SECONDS,
    }
    schema = learned(cells[kind])
    asked = [3_600, 7_261, 90_000]
    for other in (
        [clock(one) for one in asked],
        [f"PT{one}S" for one in asked],
        deltas(asked),
        asked,
        [str(one) for one in asked],
    ):
        same = isinstance(other[0], int | np.integer) or str(other[0]).isdigit()
        told = check_alike(schema, other, asked)
        if (kind == "numbers") == same:
            assert not told
        else:
            assert "durations, read as seconds" in told[0]


@pytest.mark.parametrize("cell", ["3600 s", "60 min", "7261", "soon"])
def test_what_is_no_duration_is_named_as_such(cell: str) -> None:
    schema = learned([clock(one) for one in SECONDS])
    with pytest.raises(DataError, match=rf"row 2: expected a duration, such as .*found '{cell}'"):
        read(schema, ["1:00:00", cell])


def test_times_of_day_are_durations_and_durations_times_of_day() -> None:
    times = [datetime.time(13, 5), datetime.time(0, 30), datetime.time(23, 59)]
    seconds = [47_100, 1_800, 86_340]
    assert not check_alike(learned([clock(one) for one in SECONDS]), times, [*map(clock, seconds)])
    of_day = learned([f"{one:%H:%M}" for one in TIMES])
    assert not check_alike(of_day, deltas(seconds), [f"{one:%H:%M}" for one in times])
    assert not check_alike(of_day, ["1:05 p.m.", "12:30 a.m.", "23:59 Uhr"], times)
    with pytest.raises(DataError, match="row 2: expected a date or time"):
        read(of_day, deltas([60, 86_400]))


@pytest.mark.parametrize("form", ["epoch ms", "yyyymmdd"])
def test_numbered_times_are_the_same_as_dates(form: str) -> None:
    def number(time: datetime.datetime) -> int:
        if form == "yyyymmdd":
            return int(f"{time:%Y%m%d}")
        return int(time.replace(tzinfo=datetime.UTC).timestamp() * 1000)

    days = [time.replace(hour=0, minute=0) for time in TIMES]
    schema = learned([number(day) for day in days], datetime=("x",))
    expected = [number(day) for day in days[5:9]]
    for other in (
        days[5:9],
        [day.date() for day in days[5:9]],
        [day.isoformat() for day in days[5:9]],
        [f"{day:%d %B %Y}" for day in days[5:9]],
        [str(one) for one in expected],
    ):
        assert not check_alike(schema, other, expected)
    with pytest.raises(DataError, match="row 2: expected a date or time"):
        read(schema, ["2021-01-03", "soon"])


def test_months_are_read_in_any_of_their_forms() -> None:
    schema = learned([f"{time:%b %Y}" for time in TIMES])
    expected = ["Mar 2021", "Aug 2021"]
    for other in (["2021-03", "2021-08"], ["March 2021", "08/2021"], ["2021M03", "2021-08-01"]):
        assert not check_alike(schema, other, expected)


def check_times(columns: dict[str, list[str]], times: Sequence[Any]) -> None:
    """Every column is learned as these times and read as them."""
    values = [row % 7 + 0.5 for row in range(len(times))]
    schema = learn_schema(
        open_table(pa.table({**columns, "y": values})), Settings("y", task="regression")
    )
    assert {column.kind for column in schema.columns} == {"datetime"}, schema.columns
    found, expected = (
        [*Encoder(schema).encode(open_table(pa.table(cells)), target=False)]
        for cells in (columns, dict.fromkeys(columns, times))
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.batch.x["numeric"], other.batch.x["numeric"], atol=1e-5)


def test_a_month_may_have_its_name_in_other_languages() -> None:
    columns = {
        f"{form} {language}": [
            form.format(one.day, names.split()[one.month - 1], one.year) for one in TIMES
        ]
        for language, names in MONTHS.items()
        for form in ("{0}. {1} {2}", "{0} de {1} de {2}", "{1} {0}, {2}")
    }
    check_times(columns, [one.date() for one in TIMES])


FORMS = [
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%d-%b-%y %I.%M.%S.000000 %p",
    "%A, %B %dth, %Y at %I:%M %p",
    "%d %b %Y, %H:%M Uhr",
    "%Y年%m月%d日 %H:%M",
    "%Y%m%dT%H%M%S",
    "%m/%d/%Y, %I:%M:%S\u202f%p",
    "%d.%m.%Y, %H:%M:%S",
    "%d.%m.%Y %H:%M Uhr",
    "%d.%m.%Y %H:%M:%S.000",
    "%Y-%m-%d %H:%M:%S,000+00:00",
]


def test_a_time_as_programs_write_it() -> None:
    check_times({form: [one.strftime(form) for one in TIMES] for form in FORMS}, TIMES)


def test_an_offset_after_a_comma_counts() -> None:
    cells = [f"{one:%Y-%m-%d %H:%M:%S},500+01:00" for one in TIMES]
    earlier = datetime.timedelta(minutes=59, seconds=59.5)
    check_alike(learned(cells), cells, [one - earlier for one in TIMES])


def test_days_of_a_month_without_a_year_are_no_numbers_with_a_unit() -> None:
    forms = ("{} March", "{}. März", "{} août")
    cells = {form: [form.format(row % 28 + 1) for row in range(140)] for form in forms}
    for column in inspect_columns(open_table(pa.table(cells))).columns:
        assert isinstance(column, CategoryColumn)
        assert "without a year" in column.note


def test_other_digits_are_the_same_numbers() -> None:
    numbers = [round(-40 + 3.25 * row, 2) for row in range(ROWS)]
    wide = str.maketrans("0123456789.-", "０１２３４５６７８９．－")
    arabic = str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")
    for table in (wide, arabic):
        cells = [str(one).translate(table) for one in numbers]
        schema = learned(cells)
        assert isinstance(schema.columns[0], NumberColumn)
        assert schema.columns[0].mean == getattr(learned(numbers).columns[0], "mean", None)
        assert not check_alike(schema, cells, numbers)
        assert not check_alike(learned(numbers), cells, numbers)


def test_true_and_false_in_several_spellings_are_two_values() -> None:
    spelt = (["yes", "Yes", "Y", "1", "true"], ["no", "No", "N", "0", "false"])
    cells = [spelt[row % 2][row // 2 % 5] for row in range(ROWS)]
    schema = learned(cells)
    column = schema.columns[0]
    assert isinstance(column, CategoryColumn)
    assert sorted(column.values) == ["false", "true"]
    assert any("written in several ways" in one for one in schema.notes)
    truths = [row % 2 == 0 for row in range(ROWS)]
    assert not check_alike(schema, cells, truths)
    assert not any("several ways" in one for one in learned(["yes", "no"] * 30).notes)


def test_a_rare_word_beside_0_and_1_is_no_false() -> None:
    cells = [str(row % 2) for row in range(ROWS)] + ["no"]
    assert isinstance(learned(cells).columns[0], NumberColumn)


def test_classes_that_are_true_and_false_in_several_spellings_are_told() -> None:
    y = ["yes", "no", "1", "0"] * 20
    table = pa.table({"x": [row % 9 for row in range(80)], "y": y})
    schema = learn_schema(open_table(table), Settings("y"))
    assert any("written in several ways" in one for one in schema.warnings)
