"""Dates, times and durations in another ordinary form are read as in training, or told apart."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.read_plan import plan_reading
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, DatetimeColumn
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import DataError
from descend.settings import Settings
from tests.data.schema.other_forms import (
    SECONDS,
    TIMES,
    check_alike,
    frame,
    learned,
    learned_columns,
    read,
    read_columns,
)

MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
    " diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
    " dicembre",
    "short": "Jan. Feb. Mrz. Apr. Mai Jun. Jul. Aug. Sept. Okt. Nov. Dez.",
}


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


@pytest.mark.parametrize("cell", ["3600 kg", "1 month", "7261", "soon"])
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


OFFSETS = {"CET": 1, "MESZ": 2, "EDT": -4, "UTC": 0}
FORMS = ["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%d %B %Y %H:%M"]


def test_names_of_time_zones_are_their_offsets() -> None:
    def in_utc(zone: str) -> list[str]:
        shift = datetime.timedelta(hours=OFFSETS[zone])
        return [f"{one - shift:%Y-%m-%dT%H:%M:%SZ}" for one in TIMES[:80]]

    asked = [(form, zone) for form in FORMS for zone in OFFSETS]
    cells = {" ".join(pair): [one.strftime(" ".join(pair)) for one in TIMES[:80]] for pair in asked}
    instants = {" ".join(pair): in_utc(pair[1]) for pair in asked}
    schema, other = learned_columns(cells), learned_columns(instants)
    for column, same in zip(schema.columns, other.columns, strict=True):
        assert getattr(column, "parts", 0) == getattr(same, "parts", 1)
    first = {form: listed[:4] for form, listed in cells.items()}
    found, told = read_columns(schema, first)
    np.testing.assert_allclose(
        found, read_columns(schema, {form: listed[:4] for form, listed in instants.items()})[0]
    )
    assert not told


def test_dates_of_several_meanings_are_told() -> None:
    forms = {
        **dict.fromkeys(
            [f"%Y-%m-%d %H:%M {zone}" for zone in ("IST", "CST", "EST", "PST", "MSK", "AST")],
            "the name of a time zone that is not known",
        ),
        "%Y-%m-%d %H:%M Europe/Rome": "the name of a time zone that is not known",
        "%H:%M CET": "times of a day with a time zone",
        "%b %d": "months with a number that may be a day or a year",
    }
    schema = learned_columns(
        {"z": [*range(80)], **{form: [one.strftime(form) for one in TIMES[:80]] for form in forms}}
    )
    for form, said in forms.items():
        assert any(repr(form) in one and said in one for one in schema.warnings)


def test_every_form_of_date_is_planned_only_where_a_cell_needs_it() -> None:
    cells = [f"{one:%d.%m.%Y}" for one in TIMES]
    schema = learned(cells)
    dates = [one for one in schema.columns if isinstance(one, DatetimeColumn)]

    def planned(*more: str) -> int:
        table = open_table(frame([*cells, *more]))
        return len(plan_reading(schema, dates, table, target=False).select[0])

    assert planned("n/a", "") == planned() < planned("3. März 2021") / 3
    check_alike(schema, [*cells, "3. März 2021"], [*cells, "03.03.2021"])


def test_names_of_several_zones_are_american_beside_names_that_only_america_has() -> None:
    def times(*zones: str) -> list[str]:
        return [f"{one:%d.%m.%Y %H:%M} {zones[row % len(zones)]}" for row, one in enumerate(TIMES)]

    schema = learned(times("EDT", "EST", "CST"))
    cells = [f"03.01.2021 08:15 {zone}" for zone in ("EST", "CST", "PST", "EDT")]
    instants = [f"2021-01-03 08:15{offset}" for offset in ("-05:00", "-06:00", "-08:00", "-04:00")]
    check_alike(schema, cells, instants)
    other = learned(times("CET", "CEST"))
    with pytest.raises(DataError, match="row 1: expected a date or time"):
        read(other, cells[:1])


def test_months_by_name_with_their_year() -> None:
    cells: dict[str, list[Any]] = {}
    plain: dict[str, list[Any]] = {}
    for years in (5, 40):
        first = 1990 if years == 40 else 2005
        days = [datetime.date(first + row % years, row % 12 + 1, 1) for row in range(80)]
        for form in ("{} {:%Y}", "{}-{:%y}", "{} '{:%y}"):
            name = f"{form} {years}"
            cells[name] = [form.format(MONTHS["short"].split()[day.month - 1], day) for day in days]
            plain[name] = [f"{day:%Y-%m}" for day in days]
    schema, other = learned_columns(cells), learned_columns(plain)
    for column, same in zip(schema.columns, other.columns, strict=True):
        assert getattr(column, "parts", 0) == getattr(same, "parts", 1)
        said = "as Excel writes them"
        told = any(repr(column.name) in one and said in one for one in schema.warnings)
        assert told == (column.name.endswith("5") and "y" in column.name)


def test_forms_with_a_plain_twin() -> None:
    days = [datetime.datetime(2016, 1, 1) + datetime.timedelta(hours=29 * row) for row in range(80)]
    seconds = [row * 86_400 + row % 24 * 3_600 + 184 for row in range(80)]
    cells: dict[str, list[Any]] = {
        "slurm": [f"{one // 86_400}-{one // 3_600 % 24:02d}:03:04" for one in seconds],
        "hours": [f"{one:%Y-%m-%dT%H}" for one in days],
        "zoned": [f"{one:%Y-%m-%d %H}+01:00" for one in days],
        "quarters": [f"{row % 4 + 1}. Quartal {1990 + row % 20}" for row in range(80)],
        "worded": [f"{row % 4 + 1}th quarter {1990 + row % 20}" for row in range(80)],
    }
    quarters = [f"{1990 + row % 20}Q{row % 4 + 1}" for row in range(80)]
    plain: dict[str, list[Any]] = {
        "slurm": [f"{one // 3_600}:03:04" for one in seconds],
        "hours": days,
        "zoned": [one - datetime.timedelta(hours=1) for one in days],
        "quarters": quarters,
        "worded": quarters,
    }
    schema, twin = learned_columns(cells), learned_columns(plain)
    np.testing.assert_array_equal(read_columns(schema, cells)[0], read_columns(twin, plain)[0])
    np.testing.assert_array_equal(read_columns(twin, cells)[0], read_columns(twin, plain)[0])


@pytest.mark.parametrize("form", ["%I.%M %p", "%I.%M%p", "%I:%M:%S%p", "%I%p", "%I %p"])
def test_times_of_half_days_are_times(form: str) -> None:
    cells = [one.strftime(form).lower() for one in TIMES[:80]]
    plain = [datetime.datetime.strptime(one, form).strftime("%H:%M:%S") for one in cells]
    schema, other = learned(cells), learned(plain)
    assert getattr(schema.columns[0], "pattern", "") == "time"
    np.testing.assert_array_equal(read(schema, cells)[0], read(other, plain)[0])
    check_alike(other, cells, plain)


def test_years_of_one_digit_are_none() -> None:
    """strptime alone reads 1/2/3 as a day of 2003, and 1.2.3 is a version."""
    schema = learned([f"{one:%d/%m/%y}" for one in TIMES])
    with pytest.raises(DataError, match="expected a date or time, as in training, found '1/2/3'"):
        read(schema, ["1/2/3"])
