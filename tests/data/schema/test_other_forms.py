"""The same values in another ordinary form are read as in training, and another meaning is told."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.read_plan import plan_reading
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading import csv_files
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn, Schema
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


LATITUDES = [round(-60 + 1.377 * row, 3) for row in range(80)]
SCALED = [round(1.137**row * 13) / 10 for row in range(80)]
PLAIN_SECONDS = [60 * (7 + 37 * row) for row in range(80)]


def sexagesimal(degrees: float) -> str:
    minutes, seconds = divmod(round(abs(degrees) * 3600, 1), 60)
    whole, minutes = divmod(int(minutes), 60)
    return f"{whole}° {minutes:02d}' {seconds:.1f}\" {'S' if degrees < 0 else 'N'}"


def scaled(number: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size!r}{letter}"
    return f"{number!r}"


def worded(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}h{minutes}m" if hours else f"{minutes}m"


LETTERED: dict[str, tuple[list[str], list[float], str]] = {
    "48.1N": ([f"{abs(one)}{'SN'[one > 0]}" for one in LATITUDES], LATITUDES, "south is negative"),
    "48.1 N": ([f"{abs(one)} {'SN'[one > 0]}" for one in LATITUDES], LATITUDES, "south"),
    "S": ([f"{abs(one)}S" for one in LATITUDES], [-abs(one) for one in LATITUDES], "south"),
    "48° 12' 30": ([sexagesimal(one) for one in LATITUDES], LATITUDES, "south is negative"),
    "E/W": ([f"{abs(one)}°{'WE'[one > 0]}" for one in LATITUDES], LATITUDES, "west is negative"),
    "1.2K": ([scaled(one) for one in SCALED], SCALED, "K a thousand"),
    "3,5K": ([f"{one / 4}K".replace(".", ",") for one in range(80)], [*range(0, 20_000, 250)], "K"),
    "1h30m": ([worded(one) for one in PLAIN_SECONDS], PLAIN_SECONDS, "durations in seconds"),
    "2d 4h": (
        [f"{one}d 4h" for one in range(80)],
        [86_400 * one + 14_400 for one in range(80)],
        "d",
    ),
    "min and h": (
        [f"{one} min" if one % 2 else f"{one / 4} h" for one in range(80)],
        [60 * one if one % 2 else 900 * one for one in range(80)],
        "durations in seconds",
    ),
    "Excel": ([f'="{one}.5"' for one in range(80)], [one + 0.5 for one in range(80)], ""),
}


def learned_columns(columns: dict[str, list[Any]], **options: Any) -> Schema:
    """What is learned of a table of 80 rows, besides its target."""
    table = pa.table({**columns, "y": [row % 7 + 0.5 for row in range(80)]})
    settings = Settings(**{"target": "y", "task": "regression", **options})
    return learn_schema(open_table(table), settings)


def read_columns(schema: Schema, columns: dict[str, list[Any]]) -> tuple[np.ndarray, str]:
    unseen = UnseenValues(schema)
    parts = [*Encoder(schema).encode(open_table(pa.table(columns)), target=False, unseen=unseen)]
    numbers = np.concatenate([part.batch.x["numeric"] for part in parts], dtype=float)
    return numbers, " ".join(unseen.sentences())


def test_numbers_with_letters_are_the_numbers_that_they_are() -> None:
    cells = {form: listed for form, (listed, _, _) in LETTERED.items()}
    plain = {form: [float(one) for one in listed] for form, (_, listed, _) in LETTERED.items()}
    schema, other = learned_columns(cells), learned_columns(plain)
    for column, same in zip(schema.columns, other.columns, strict=True):
        assert isinstance(column, NumberColumn)
        assert isinstance(same, NumberColumn)
        np.testing.assert_allclose(
            [column.mean, column.deviation, column.minimum],
            [same.mean, same.deviation, same.minimum],
        )
        assert LETTERED[column.name][2] in column.note
    asked = {form: [*listed[:3], *listed[-3:]] for form, listed in cells.items()}
    numbers = {form: [*listed[:3], *listed[-3:]] for form, listed in plain.items()}
    for trained in (schema, other):
        expected, _ = read_columns(trained, numbers)
        found, told = read_columns(trained, asked)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert told.count("durations, read as seconds") == (3 if trained is other else 0)
        assert "without a unit" not in told or trained is other


def test_numbers_with_letters_that_may_be_codes_are_told() -> None:
    cells = {
        "a power": [f"{row % 30}M" for row in range(80)],
        "fewer than 11 cells": [f"{row % 5}{'KM'[row % 2]}" for row in range(80)],
        "mix latitudes": [f"{row % 30}.5{'NE'[row % 2]}" for row in range(80)],
        "no degrees": [f"{4800 + row % 30}.038N" for row in range(80)],
        "from 60 on": [f"{48 + row % 9}°{row % 9 * 9}'N" for row in range(80)],
        "no durations": ["1,234 min" if row % 9 == 1 else f"{row % 20} h" for row in range(80)],
        "asked": [f"{row}M" for row in range(80)],
    }
    schema = learned_columns(cells, numeric=("asked",))
    *doubtful, asked = schema.columns
    for column in doubtful:
        assert isinstance(column, CategoryColumn)
        (note,) = [one for one in schema.notes if repr(column.name) in one]
        offered = {column.name: cells[column.name]}
        if "numeric=[" in note:
            assert isinstance(
                learned_columns(offered, numeric=(column.name,)).columns[0], NumberColumn
            )
        else:
            with pytest.raises(DataError, match="is to be read as numbers, and holds none"):
                learned_columns(offered, numeric=(column.name,))
    assert getattr(asked, "maximum", 0) == 79e6
    with pytest.raises(DataError, match=r"a number such as 1200 or 1\.2K, as in training"):
        read_columns(
            schema, {**{one: listed[:1] for one, listed in cells.items()}, "asked": ["5kg"]}
        )


def test_the_sides_of_an_account_are_no_hours_and_seconds() -> None:
    cells = [f"{row % 20},50 {'SH'[row % 2]}" for row in range(80)]
    schema = learned_columns({"x": cells})
    assert isinstance(schema.columns[0], CategoryColumn)
    assert any("different units: H, S" in note for note in schema.notes)


def test_west_is_a_longitude_beside_latitudes() -> None:
    cells = {"lat": [f"{30 + row / 7:.2f}N" for row in range(80)]}
    cells["lon"] = [f"{80 + row / 3:.3f}W" for row in range(80)]
    columns = learned_columns(cells).columns
    assert [getattr(one, "mean", 0) > 0 for one in columns] == [True, False]


def test_text_that_excel_wrote_as_a_formula_is_the_text_inside() -> None:
    codes = [f"{row % 7:05d}" for row in range(80)]
    column = learned_columns({"x": [f'="{code}"' for code in codes], "z": codes})
    formula, text = column.columns
    assert getattr(formula, "values", 0) == getattr(text, "values", 1)


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


def test_rows_of_totals_are_told_when_predicting() -> None:
    shops = [f"S{row % 7}" for row in range(80)]
    schema = learned_columns({"shop": shops, "z": [*range(80)]})
    asked = {"shop": [*shops[:30], "Total:", "shop"], "z": [*range(32)]}
    _, told = read_columns(schema, asked)
    assert "1 row with 'Total:' in the column 'shop' may be a total of other rows." in told
    assert "1 row with 'shop' in the column 'shop' repeats the names" in told


@pytest.mark.parametrize("width", [1, pytest.param(140, marks=pytest.mark.slow)])
def test_later_cells_with_points_between_thousands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(csv_files, "SAMPLE_ROWS", 100)

    def table(cells: list[str]) -> Any:
        names = ["x", *(f"z{place}" for place in range(width)), "y"]
        rows = [",".join([cell, *["0.5"] * width, str(n % 7)]) for n, cell in enumerate(cells)]
        (tmp_path / "t.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
        return open_table(str(tmp_path / "t.csv"))

    def values(schema: Schema, cells: list[str]) -> np.ndarray:
        parts = Encoder(schema).encode(table(cells), target=False)
        return np.concatenate([np.asarray(part.batch.x["numeric"]) for part in parts])

    counts = [(row * 37) % 900 + 1 + (row > 150) * (row % 3 == 0) * row * 9 for row in range(400)]
    grouped = [f"{one:,}".replace(",", ".") for one in counts]
    few = [
        cell if row in (200, 300) else str(row % 900) for row, cell in enumerate(["1.234"] * 400)
    ]
    settings = Settings(target="y", task="regression")
    schema = learn_schema(table(grouped), settings)
    (column,) = [one for one in schema.columns if one.name == "x"]
    assert isinstance(column, NumberColumn)
    assert column.maximum == max(counts)
    np.testing.assert_array_equal(values(schema, grouped), values(schema, list(map(str, counts))))
    told = learn_schema(table(few), settings).notes
    assert any("they are read as 1.234. decimal='comma' reads them as 1234." in one for one in told)


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


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{}'{}\"", "feet and inches"),
        ("{} ft {} in", "feet and inches"),
        ("{} {}/4", "fractions"),
        ("{}{}/100", "fractions"),
        ("<{}.{}", "bounds"),
        ("{}{}+", "bounds"),
        ("{}-1{}", "ranges"),
        ("{}.{}x10^3", "written 1.2e+3"),
        ("{}.{}00,-", "dash for the cents"),
    ],
)
def test_text_with_digits_that_is_no_number_is_told_with_its_reason(cell: str, said: str) -> None:
    schema = learned([cell.format(row % 3 + 4, row % 4 + 1) for row in range(80)])
    (note,) = [one for one in schema.notes if "'x'" in one]
    assert said in note
    assert "numeric" not in note


def test_text_stored_as_bytes_is_text(tmp_path: Path) -> None:
    codes = [f"é{row % 7}" for row in range(80)]
    images = [bytes([255, row % 7, 0]) for row in range(80)]
    table = pa.table({"x": [one.encode() for one in codes], "im": images, "y": [*range(80)]})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    for data in (table, str(tmp_path / "a.parquet")):
        text, image, _ = inspect_columns(open_table(data)).columns
        assert getattr(text, "values", ()) == tuple(sorted(set(codes)))
        assert getattr(image, "reason", "").startswith("unsupported type")


def test_what_looks_like_grouped_numbers_or_months_by_chance() -> None:
    counts = [row * row * 7 + 300 for row in range(80)]
    columns = {
        "thousands": [f"{one:,}".replace(",", ".") for one in counts],
        "few": ["1.234" if row % 9 == 0 else f"{row + 1}" for row in range(80)],
        "address": [f"192.168.{100 + row % 9}.{100 + row % 7}" for row in range(80)],
        "school": [f"{2001 + row % 11}-{2 + row % 11:02d}" for row in range(80)],
        "clock": [f"{row % 24}.{row * 7 % 60:02d} Uhr" for row in range(80)],
    }
    schema = learned_columns(columns)
    thousands, few, *texts, clock = schema.columns
    assert isinstance(thousands, NumberColumn)
    assert thousands.maximum == max(counts)
    assert isinstance(few, NumberColumn)
    assert few.minimum == 1.234
    assert not any(isinstance(one, NumberColumn) for one in texts)
    assert [one.kind for one in texts] == ["left out", "category"]
    assert clock.kind == "datetime"
    for name, decimal in (("thousands", "point"), ("few", "comma")):
        assert any(repr(name) in one and f"decimal='{decimal}'" in one for one in schema.notes)
