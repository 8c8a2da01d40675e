"""What the user is warned of: spellings, several values in a cell, far targets, known entities."""

from __future__ import annotations

import ast
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.settings import Settings

ROWS = 120
Y = np.random.default_rng(0).normal(size=ROWS) + 1
ROW = np.arange(ROWS)


def warned(columns: dict[str, Any], **options: Any) -> str:
    table = open_table(pa.table({"x": Y * Y, "y": Y, **columns}))
    settings = Settings(target="y", task="regression", **options)
    return "\n".join(learn_schema(table, settings).warnings)


def test_spellings_that_differ_in_case_or_spaces_are_told_with_their_counts() -> None:
    texts = [["Red", "red", "blue", "light  blue", "light blue"][row % 5] for row in ROW]
    texts[0] = "RED"
    columns = inspect_columns(open_table(pa.table({"colour": texts, "x": Y})))
    (said,) = columns.warnings
    assert "'red' (24) and 'Red' (23) and 'RED' (1)" in said
    assert "'light  blue' (24) and 'light blue' (24)" in said
    assert "'blue'" not in said.replace("'light blue'", "")


def test_spaces_around_a_value_are_none_of_it() -> None:
    texts = [["red", " red", "red "][row % 3] if row % 2 else "blue" for row in ROW]
    assert not inspect_columns(open_table(pa.table({"colour": texts, "x": Y}))).warnings


@pytest.mark.parametrize("separator", [";", "|", "; ", ", "])
def test_cells_with_several_values_are_told_with_what_to_do(tmp_path: Path, separator: str) -> None:
    options = ["tea", "milk", "water", "juice"]
    several = [[one for bit, one in enumerate(options) if row % 15 + 1 >> bit & 1] for row in ROW]
    path = tmp_path / "t.csv"
    lines = [f'"{separator.join(one)}",{y}' for one, y in zip(several, Y, strict=True)]
    path.write_text("\n".join(["drinks,x", *lines]) + "\n")
    (said,) = inspect_columns(open_table(path)).warnings
    assert "'drinks' seem to hold several values each" in said
    query = ast.literal_eval(said.partition("the query  ")[2])
    table = open_table(query)
    name = table.columns[-1].name
    found = table.query(f'SELECT count_if("{name}") AS n FROM {table.rows}').to_pylist()[0]["n"]
    assert found == sum(name.removeprefix("drinks ") in one for one in several)


@pytest.mark.parametrize(
    "texts",
    [
        [f"{'ABCDEFGH'[row % 8]}, Town {row % 8}" for row in ROW],
        [f"word {row % 9}" for row in ROW],
        [f"part {row}; and {row + 1}" for row in ROW],
    ],
)
def test_other_text_holds_one_value(texts: list[str]) -> None:
    table = open_table(pa.table({"text": texts, "x": Y}))
    assert not any("several" in one for one in inspect_columns(table).warnings)


@pytest.mark.parametrize("far", [1e9, -1e9, 46826.21])
def test_a_target_far_from_all_others_is_named_by_its_row(far: float) -> None:
    y = Y.copy()
    y[40] = far
    said = warned({"y": y})
    assert f"1 value far from all others ({far:g} in data row 41;" in said
    written = repr(far).removesuffix(".0")
    assert f"missing=['y={written}']" in said
    assert "far from all others" not in warned({"y": y}, missing=(f"y={written}",))


@pytest.mark.parametrize(("far", "offered"), [(1_000.0, True), (1e7, False)])
def test_a_loss_is_offered_only_where_it_helps(far: float, offered: bool) -> None:
    y = Y.copy()
    y[40] = far
    assert ("huber" in warned({"y": y})) is offered


def test_a_few_far_targets_among_many_are_counted() -> None:
    y = np.tile(Y, 10)
    y[[5, 700]] = 1e9, 1e8
    table = open_table(pa.table({"x": y * 0 + np.arange(len(y)) % 7, "y": y}))
    (said,) = learn_schema(table, Settings(target="y", task="regression")).warnings
    assert "2 values far from all others (1e+09 in data row 6;" in said


@pytest.mark.parametrize(
    "y",
    [Y, np.exp(2 * Y), np.where(ROW == 7, 1.0, 0.0) + ROW % 2, Y * 1e9],
    ids=["normal", "skewed", "counts", "large"],
)
def test_ordinary_targets_are_not_far(y: Any) -> None:
    assert "far from all others" not in warned({"y": y})


@pytest.mark.parametrize("row", range(0, 60, 7))
def test_an_input_far_from_all_others_is_named_by_its_row(row: int) -> None:
    x = np.round(Y, 3)
    x[row] = 1e6  # Some of these rows are held out, and are looked at too.
    said = warned({"x": x})
    assert f"Column 'x' has 1 value far from all others (1e+06 in data row {row + 1};" in said
    assert "missing=['x=1000000']" in said
    assert "far from all others" not in warned({"x": x}, missing=("x=1000000",))
    assert any(
        "far from all" in one for one in inspect_columns(open_table(pa.table({"x": x}))).warnings
    )


@pytest.mark.parametrize(
    "x",
    [Y, np.exp(2 * Y), np.where(ROW == 7, 1.0, 0.0), Y * 1e9, ROW == 7, np.where(ROW < 3, Y, 0)],
    ids=["normal", "skewed", "one of two", "large", "boolean", "mostly 0"],
)
def test_ordinary_inputs_are_not_far(x: Any) -> None:
    assert "far from all others" not in warned({"x": x, "z": Y})


@pytest.mark.parametrize("rows", [60, 150, 400])
def test_inputs_far_on_both_sides_are_told(rows: int) -> None:
    x = np.linspace(0.0, 7.0, rows)
    x[[20, 30]] = 1e6, -1e6
    said = warned({"x": x, "y": np.arange(rows) % 7 + 0.5})
    assert "Column 'x' has 2 values far from all others (1e+06 in data row 21;" in said


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%Y-%m-%d %H:%M"])
def test_a_date_far_from_all_others_is_told(form: str) -> None:
    first = datetime.datetime(2021, 1, 3, 8, 15)
    days = [first + datetime.timedelta(days=int(row)) for row in ROW]
    near = [one.strftime(form) for one in days]
    far = [one.replace("2021", "2201") if row == 40 else one for row, one in enumerate(near)]
    said = warned({"day": far})
    assert "2201-02-12 in 1 row, far from its other dates (2021-01-0" in said
    assert ("missing=" in said) == (":" not in form)
    if form == "%Y-%m-%d":
        assert "far from" not in warned({"day": far}, missing=("day=2201-02-12",))
    assert "far from" not in warned({"day": near})


def test_rows_of_one_customer_on_both_sides_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{1000 + row % 20 * 7},{y}" for row, y in zip(ROW, Y, strict=True)]
    path.write_text("\n".join(["customer_id,y", *lines]) + "\n")
    settings = Settings(target="y", task="regression")
    (said,) = [
        one for one in learn_schema(open_table(path), settings).warnings if "customer" in one
    ]
    assert "validation rows share its value with training rows" in said
    (call,) = ast.parse(said[said.index("descend.train(") :]).body
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    (held,) = [one.value for one in call.value.keywords if one.arg == "validation"]
    tables = [open_table(ast.literal_eval(one)) for one in (call.value.args[0], held)]
    groups = [
        set(table.query(f"SELECT customer_id FROM {table.rows}").column(0).to_pylist())
        for table in tables
    ]
    assert not groups[0] & groups[1]
    assert sum(table.count() for table in tables) == ROWS


def test_identifiers_and_categories_are_no_repeated_entities() -> None:
    said = warned({"id": ROW * 3, "colour": [f"c{row % 20}" for row in ROW]})
    assert "training rows" not in said


def test_several_columns_of_known_entities_are_told_together() -> None:
    said = warned({"customer_id": ROW % 20 + 100, "patient": [f"p {row % 30}" for row in ROW]})
    assert said.count("share its value with training rows") == 1
    assert "Column 'customer_id' seems" in said
    assert "'patient': " in said


def test_an_id_of_a_zone_with_hundreds_of_rows_is_a_code_but_a_customer_never_is() -> None:
    rows = np.arange(6000)
    y = np.random.default_rng(0).normal(size=6000)
    codes = rows % 20 * 7
    told = {
        name: learn_schema(
            open_table(pa.table({name: codes, "y": y})), Settings(target="y")
        ).warnings
        for name in ("zone_id", "customer_id", "device_id")
    }
    assert not told["zone_id"]
    assert "'customer_id' seems" in told["customer_id"][0]
    assert "'device_id' seems" in told["device_id"][0]


def inspected(folder: Path, lines: list[str]) -> str:
    path = folder / "report.csv"
    path.write_text("\n".join(lines) + "\n")
    return "\n".join(inspect_columns(open_table(path)).warnings)


ITEMS = [f"{'abc'[row % 3]},{row % 7}.5,{row * 0.3:.1f}" for row in range(ROWS)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["Total,,2100"], "1 row with 'Total' in the column 'kind' may be a total of other rows"),
        (["a,Summe:,2100"], "1 row with 'Summe:' in the column 'size' may be a total"),
        (["Sub-Total,,9", "Sub-Total,,9"], "2 rows with 'Sub-Total' in the column 'kind' may be"),
        (["kind,size,y"], "1 row with 'kind' in the column 'kind' repeats the names of the"),
    ],
)
def test_rows_that_are_none_are_told_with_a_query(
    tmp_path: Path, more: list[str], said: str
) -> None:
    warnings = inspected(tmp_path, ["kind,size,y", *ITEMS, *more])
    assert warnings.count("Leave such rows out") == 1
    assert said in warnings
    told = next(one for one in warnings.splitlines() if said in one)
    query = ast.literal_eval(told.partition("the query  ")[2])
    assert not inspected(tmp_path, ["kind,size,y", *ITEMS])
    inspected(tmp_path, ["kind,size,y", *ITEMS, *more])
    table = open_table(query)
    assert table.query(f"SELECT count(*) AS n FROM {table.rows}").to_pylist()[0]["n"] == ROWS


def test_a_common_value_is_no_total(tmp_path: Path) -> None:
    kinds = [f"{['total', 'part'][row % 2]},{row % 7}.5" for row in range(ROWS)]
    assert not inspected(tmp_path, ["kind,y", *kinds])


@pytest.mark.parametrize(
    ("odd", "usual", "said"),
    [
        ([-9], range(1, 6), "times in column 'a', far from the other values (1 to 5)"),
        ([99, 98], range(1, 6), "more have values next to it, which may be missing too"),
        ([99], range(60, 99), ""),
        ([-9], range(-8, 9), ""),
        ([-9], range(90), ""),
    ],
)
def test_answers_that_stand_for_missing_ones(odd: list[int], usual: range, said: str) -> None:
    values = [odd[row // 3 % len(odd)] if row % 3 == 0 else usual[row % len(usual)] for row in ROW]
    found = warned({"a": pa.array(values, pa.float64())}, exclude=("x",))
    assert (said in found) if said else ("stands" not in found)
