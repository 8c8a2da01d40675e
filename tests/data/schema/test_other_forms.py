"""The same values in another ordinary form are read as in training, and another meaning is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading import csv_files
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, NumberColumn, Schema
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import DataError
from descend.settings import Settings
from tests.data.schema.other_forms import (
    ROWS,
    check_alike,
    learned,
    learned_columns,
    read_columns,
)


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
        ("{}5x2{}", "several numbers with x between them"),
        ("{}.5 cm × {}", "several numbers with x between them"),
        ("{}.5±0.{}", "what they may be off by"),
        ("{}.00{}.-", "a dash for the cents"),
        ("{}{}0 BC", "years BC or AD"),
        ("FY201{}/1{}", "fiscal years"),
        ("FY{}{}", "fiscal years"),
        ("Q1-{}{}", "written 2016Q1"),
        ("0x{}{}F", "written as 255"),
        ("{}h0{}", "written 12:30"),
        ("{}:{}", "scores"),
        ("{} out of 1{}", "scores"),
    ],
)
def test_text_with_digits_that_is_no_number_is_told_with_its_reason(cell: str, said: str) -> None:
    schema = learned([cell.format(row % 3 + 4, row % 4 + 1) for row in range(80)])
    (note,) = [one for one in schema.notes if "'x'" in one]
    assert said in note
    assert "Write one number in each cell, or give categorical=['x'] for categories." in note
    assert "numeric" not in note


@pytest.mark.parametrize("cell", ["{}.{}.{}", "v{}.{}.{}", "1.{}.{}.{}"])
def test_versions_are_no_dates(cell: str) -> None:
    versions = [cell.format(row % 4 + 1, row // 4, row % 7 + 1) for row in range(120)]
    rare = learned(versions)
    assert "look like versions" in getattr(rare.columns[0], "reason", "")
    common = learned([versions[row % 6] for row in range(120)])
    assert isinstance(common.columns[0], CategoryColumn)
    assert not common.notes


@pytest.mark.parametrize("cell", ["{}*", "{}.5 (a)", "{} % p.a.", "{}0s", "{}th"])
def test_text_that_begins_with_digits_has_a_reason(cell: str) -> None:
    column = learned([cell.format(row) for row in range(80)]).columns[0]
    assert "its cells have other text beside their digits" in getattr(column, "reason", "")
    repeated = learned([cell.format(row % 4) for row in range(80)])
    assert isinstance(repeated.columns[0], CategoryColumn)
    assert not [one for one in repeated.notes if "beside their digits" in one]


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
