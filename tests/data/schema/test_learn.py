from __future__ import annotations

import json
import math
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from descend.data.reading.open_table import open_table
from descend.data.reading.table_copies import copied
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
    RegressionTarget,
)
from descend.data.schema.learn import (
    describe,
    inspect_columns,
    learn_schema,
)
from descend.errors import DataError
from descend.settings import Settings, settings_from
from tests.schemas import RANDOM, ROWS, TRAINING, Y, learn, some_schema, words


def column_of(values: Any, **options: Any) -> Column:
    """What a column becomes beside another number."""
    schema = learn({"it": values, "other": RANDOM.normal(size=ROWS), "y": Y}, **options)
    return schema.columns[0]


def test_numbers_are_described_by_the_training_rows_alone() -> None:
    values = RANDOM.normal(3, 5, size=ROWS)
    values[~TRAINING] += 1e6
    values[5:50:7] = np.nan
    used = values[TRAINING & ~np.isnan(values)]
    column = column_of(values)
    assert isinstance(column, NumberColumn)
    assert column.missing == np.isnan(values[TRAINING]).sum()
    assert math.isclose(column.mean, used.mean())
    assert math.isclose(column.deviation, used.std())
    assert (column.minimum, column.maximum) == (used.min(), used.max())


def test_rows_without_target_or_weight_are_not_learned_from_and_are_counted() -> None:
    y = Y.copy()
    y[:30] = np.nan
    weight = np.ones(ROWS)
    weight[20:50] = 0
    weight[50:60] = np.nan
    x = RANDOM.normal(size=ROWS)
    schema = learn({"x": x, "w": weight, "y": y}, weight="w")
    used = TRAINING.copy()
    used[:60] = False
    assert math.isclose(schema.columns[0].mean, x[used].mean())  # type: ignore[union-attr]
    assert [column.name for column in schema.columns] == ["x"]
    rows = schema.rows
    assert (rows.total, rows.missing_target, rows.unweighted) == (ROWS, 30, 30)
    assert rows.training == used.sum()
    assert rows.training + rows.validation == ROWS - 60


def test_a_validation_table_leaves_all_rows_for_training() -> None:
    table = open_table(pa.table({"x": Y * 2 + RANDOM.normal(size=ROWS), "y": Y}))
    other = open_table(pa.table({"y": [1.0, None, 3.0], "x": [1.0, 2.0, 3.0]}))
    settings = settings_from({"target": "y", "validation": "other.csv"})
    rows = learn_schema(table, settings, validation=other).rows
    assert (rows.training, rows.validation) == (ROWS, 2)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones(ROWS), "constant"),
        (["same"] * ROWS, "constant"),
        (pa.nulls(ROWS, pa.float64()), "no value"),
        (pa.nulls(ROWS, pa.string()), "no value"),
        (np.arange(ROWS), "identifier"),
        ([f"id{number}" for number in range(ROWS)], "identifier"),
        (
            [f"a text of some length, number {number}, and no other" for number in range(ROWS)],
            "fre",
        ),
        ([[1.0]] * ROWS, "unsupported type DOUBLE[]"),
        (np.full(ROWS, 1e200) * np.arange(ROWS), "values beyond"),
        (["2020-01-01"] * ROWS, "constant"),
        (pa.array([3] * ROWS, pa.date32()), "constant"),
    ],
)
def test_columns_that_are_left_out(values: Any, reason: str) -> None:
    column = column_of(values)
    assert isinstance(column, LeftOutColumn)
    assert column.reason.startswith(reason)


def test_excluded_columns_are_left_out_and_not_looked_at() -> None:
    column = column_of(np.full(ROWS, np.inf), exclude=["it"])
    assert isinstance(column, LeftOutColumn)
    assert column.reason == "excluded"


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.normal(size=ROWS),
        RANDOM.integers(0, 3, ROWS),
        RANDOM.permutation(ROWS) * 1000,
        RANDOM.permutation(ROWS) + 1,
        1900 + np.arange(ROWS),
        np.exp(RANDOM.normal(size=ROWS) * 30),
        1e9 + RANDOM.normal(size=ROWS),
    ],
)
def test_columns_that_stay_numbers(values: Any) -> None:
    assert isinstance(column_of(values), NumberColumn)


def test_numbers_called_an_identifier_are_one() -> None:
    values = RANDOM.permutation(ROWS) * 1000
    schema = learn({"customer_id": values, "paid": values, "z": RANDOM.normal(size=ROWS), "y": Y})
    assert [column.kind for column in schema.columns[:2]] == ["left out", "number"]


def test_text_becomes_codes_by_falling_count_then_value() -> None:
    values = ["b"] * 90 + ["a"] * 90 + ["c"] * 150 + ["rare"] * 2 + [None] * 68
    everything = settings_from({"target": "y", "validation": "other.csv"})
    table = open_table(pa.table({"it": values, "other": Y * RANDOM.normal(size=ROWS), "y": Y}))
    column = learn_schema(table, everything, validation=table).columns[0]
    assert isinstance(column, CategoryColumn)
    assert column.values == ("c", "a", "b")
    assert column.counts == (150, 90, 90)
    assert (column.missing, column.distinct, column.size) == (68, 4, 5)


def test_booleans_and_declared_numbers_become_codes() -> None:
    flags = column_of(pa.array(RANDOM.random(ROWS) < 0.3))
    assert isinstance(flags, CategoryColumn)
    assert flags.values == ("false", "true")
    whole = column_of(RANDOM.choice([3.0, 12.0, np.nan], ROWS), categorical=["it"])
    assert isinstance(whole, CategoryColumn)
    assert sorted(whole.values) == ["12", "3"]
    assert whole.missing > 0


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["2020-01-01", "2020-02-03"], None),
        (["2020-01-01T10:00:00Z", "2020-01-01T11:30:00Z"], None),
        (["2020-01-01 10:00:00", "2021-01-01 11:30:00"], None),
        (["10:00:00", "11:30:00"], "time"),
        (["01/31/2020", "02/01/2020"], "%m/%d/%Y"),
        (["31/01/20", "01/02/20"], "%d/%m/%y"),
        (["31.01.2020 10:00", "01.02.2020 11:00"], "%d.%m.%Y %H:%M"),
    ],
)
def test_text_that_is_all_dates_becomes_datetime(texts: list[str], pattern: str | None) -> None:
    column = column_of(RANDOM.choice(texts, ROWS))
    assert isinstance(column, DatetimeColumn)
    assert column.pattern == pattern
    assert column.minimum < column.maximum
    assert column.parts


@pytest.mark.parametrize("texts", [["01/02/2020", "02/01/2020"], ["2020-01-01", "soon"]])
def test_other_text_stays_categories(texts: list[str]) -> None:
    assert isinstance(column_of(RANDOM.choice(texts, ROWS)), CategoryColumn)


def test_parts_that_are_constant_are_dropped() -> None:
    days = RANDOM.integers(18_262, 18_262 + 366, ROWS)
    column = column_of(pa.array(days.astype("datetime64[D]")))
    assert isinstance(column, DatetimeColumn)
    names = [part.name for part in column.parts]
    assert "year" not in names
    assert not any(name.startswith("hour") for name in names)
    assert {"month sin", "month cos", "day", "weekday sin", "elapsed days"} <= set(names)
    elapsed = next(part for part in column.parts if part.name == "elapsed days")
    assert math.isclose(elapsed.mean, days[TRAINING].mean())
    assert math.isclose(elapsed.deviation, days[TRAINING].std())


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (RANDOM.integers(0, 2, ROWS), "classification"),
        (RANDOM.integers(0, 10, ROWS), "classification"),
        (RANDOM.choice([0.0, 1.0], ROWS), "classification"),
        (RANDOM.integers(0, 978, ROWS), "regression"),
        (RANDOM.choice([0.5, 1.5, 2.5], ROWS), "regression"),
        (RANDOM.normal(size=ROWS), "regression"),
        (RANDOM.choice(["x", "y"], ROWS), "classification"),
        (RANDOM.random(ROWS) < 0.5, "classification"),
    ],
)
def test_the_task_follows_from_the_target(target: Any, task: str) -> None:
    schema = learn({"x": RANDOM.normal(size=ROWS), "y": target})
    assert schema.task == task
    assert "'y'" in schema.task_reason
    assert schema.task_reason.endswith(".")


def test_the_reason_for_classes_says_what_the_target_holds() -> None:
    for target, holds in (
        (RANDOM.random(ROWS) < 0.5, "boolean"),
        (RANDOM.choice(["x", "y"], ROWS), "text"),
        (RANDOM.choice(np.array(["2020-01-01", "2020-01-02"], "datetime64[s]"), ROWS), "timestamp"),
    ):
        schema = learn({"x": RANDOM.normal(size=ROWS), "y": target})
        assert schema.task_reason.startswith(f"The target 'y' holds {holds}")


def test_the_task_that_is_asked_for() -> None:
    target = RANDOM.integers(0, 3, ROWS)
    x = RANDOM.normal(size=ROWS)
    assert learn({"x": x, "y": target}, task="regression").task == "regression"
    assert learn({"x": x, "y": target}, loss="squared_error").task == "regression"
    poisson = learn({"x": x, "y": target}, loss="poisson")
    assert isinstance(poisson.target, RegressionTarget)
    assert not poisson.target.standardised
    many = learn({"x": x, "y": RANDOM.integers(0, 50, ROWS)}, task="classification")
    assert isinstance(many.target, ClassificationTarget)
    assert len(many.target.labels) == 50


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["no", "yes"], ("no", "yes")),
        ([True, False], (False, True)),
        ([10, 9], (9, 10)),
        ([1.0, -1.0], (-1, 1)),
        (["10", "9"], ("10", "9")),
    ],
)
def test_labels_are_sorted_and_keep_their_type(values: list[Any], labels: tuple[Any, ...]) -> None:
    chosen = RANDOM.integers(0, 2, ROWS)
    target = learn({"x": RANDOM.normal(size=ROWS), "y": [values[c] for c in chosen]}).target
    assert isinstance(target, ClassificationTarget)
    assert target.labels == labels
    assert [type(label) for label in target.labels] == [type(label) for label in labels]
    second = [values[c] == labels[1] for c in chosen]
    assert target.counts[1] == (np.array(second) & TRAINING).sum()


def test_a_class_that_only_validation_rows_have_is_known() -> None:
    target = ["a" if number % 2 else "b" for number in range(ROWS)]
    target[int(np.flatnonzero(~TRAINING)[0])] = "c"
    schema = learn({"x": RANDOM.normal(size=ROWS), "y": target})
    assert isinstance(schema.target, ClassificationTarget)
    assert schema.target.labels == ("a", "b", "c")
    assert schema.target.counts[2] == 0
    assert any("'c' has no row" in warning for warning in schema.warnings)


def test_several_targets() -> None:
    two = {"x": RANDOM.normal(size=ROWS), "u": Y, "v": RANDOM.integers(0, 2, ROWS)}
    schema = learn(two, target="u, v")
    assert isinstance(schema.target, RegressionTarget)
    assert schema.target.names == ("u", "v")
    assert math.isclose(schema.target.mean[1], two["v"][TRAINING].mean())
    comma = learn({"x": RANDOM.normal(size=ROWS), "u, v": Y}, target="u, v")
    assert comma.target.names == ("u, v",)


def leaks_of(column: Any, target: Any) -> tuple[tuple[str, ...], list[str]]:
    """The columns found to leak, and the warnings on them."""
    schema = learn({"it": column, "x": RANDOM.normal(size=ROWS), "y": target})
    return schema.leaking, [text for text in schema.warnings if "gives the target" in text]


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (Y * 3 - 2, Y),
        (np.where(Y > 0, "p", "n"), (Y > 0)),
        (np.where(Y > 0, 1.0, 2.0), np.where(Y > 0, "p", "n")),
        ((Y * 2).round().astype(int).astype(str), (Y * 2).round()),
    ],
)
def test_a_column_that_gives_the_target_away_is_warned_of(column: Any, target: Any) -> None:
    leaking, warnings = leaks_of(column, target)
    assert leaking == ("it",)
    assert len(warnings) == 1
    assert "'it'" in warnings[0]
    assert "exclude=['it']" in warnings[0]


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (Y + RANDOM.normal(size=ROWS) * 0.2, Y),
        (np.where(Y > 0, "p", "n"), Y + RANDOM.normal(size=ROWS)),
        (RANDOM.permutation(ROWS) * 7.5, RANDOM.integers(0, 2, ROWS)),
        (np.where(RANDOM.random(ROWS) < 0.9, Y > 0, Y < 0).astype(str), Y > 0),
    ],
)
def test_good_columns_are_not_warned_of(column: Any, target: Any) -> None:
    assert leaks_of(column, target) == ((), [])


def test_columns_that_are_mostly_missing_are_warned_of() -> None:
    values = RANDOM.normal(size=ROWS)
    values[: int(0.7 * ROWS)] = np.nan
    schema = learn({"it": values, "y": Y})
    assert any("missing in" in warning for warning in schema.warnings)


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"target": "yy"}, {}, "no column 'yy' (the target). Did you mean 'y'?"),
    ({"exclude": ["X1"]}, {}, "no column 'X1' (exclude). Did you mean 'x'?"),
    ({"categorical": ["nope"]}, {}, "no column 'nope' (categorical)"),
    ({"weight": "ww"}, {}, "no column 'ww' (weight)"),
    ({"exclude": ["y"]}, {}, "the target and is excluded"),
    ({"weight": "y"}, {}, "the target and the weight"),
    ({"target": "y,y"}, {}, "named twice"),
    ({}, {"y": pa.nulls(ROWS, pa.float64())}, "missing in all 400 rows"),
    ({}, {"y": np.ones(ROWS)}, "constant (1)"),
    ({}, {"y": Y * 1e60}, "at most 1e+50. Divide it by a constant"),
    ({}, {"y": Y * 1e-60}, "at least 1e-50. Multiply it by a constant"),
    ({}, {"y": Y * 1e-200}, "Multiply it by a constant"),
    ({}, {"y": ["one"] * ROWS}, "only one class"),
    ({}, {"y": [f"t{number}" for number in range(ROWS)]}, "distinct values"),
    ({}, {"y": pa.array(np.arange(ROWS).astype("datetime64[D]"))}, "expected classes that repeat"),
    ({}, {"y": np.where(np.arange(ROWS) == 7, np.inf, Y)}, "column 'y', data row 8"),
    ({}, {"x": np.where(np.arange(ROWS) == 9, -np.inf, Y)}, "column 'x', data row 10"),
    ({"task": "regression"}, {"y": words(ROWS, 3)}, "regression needs numbers"),
    ({"loss": "poisson"}, {"y": Y - 10}, "counts of 0 or more"),
    ({"target": "x,y", "task": "classification"}, {}, "one target"),
    ({"weight": "x"}, {"x": -np.arange(ROWS)}, "weights of 0 or more, found -399"),
    ({"weight": "x"}, {"x": np.zeros(ROWS)}, "no row has a weight above 0"),
    ({"weight": "x"}, {"x": ["", "?"] * (ROWS // 2)}, "holds no value in any row; expected"),
    ({"weight": "x"}, {"x": [None] * ROWS}, "holds no value in any row; expected numbers"),
    ({"weight": "x"}, {"x": words(ROWS, 3)}, "holds text, such as 'word0'; expected"),
    (
        {"weight": "x"},
        {"x": np.where(np.arange(ROWS) == 9, np.inf, 1.0)},
        "column 'x', data row 10: expected a finite",
    ),
    (
        {"weight": "x"},
        {"x": np.ones(ROWS), "y": np.where(np.arange(ROWS) == 7, np.inf, Y)},
        "column 'y', data row 8: expected a finite",
    ),
    ({"exclude": ["x"]}, {}, "no column is left"),
    ({"validation": 0.0001}, {}, "no rows are left for validation"),
    ({"validation": 0.9999}, {}, "no rows are left for training"),
]


@pytest.mark.parametrize(("options", "columns", "expected"), BAD)
def test_what_cannot_be_learned_from(
    options: dict[str, Any], columns: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DataError) as caught:
        learn({"x": RANDOM.normal(size=ROWS), "y": Y, **columns}, **options)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_same_table_gives_the_same_schema_on_any_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 150_000
    random = np.random.default_rng(5)
    columns: dict[str, Any] = {
        name: random.normal(size=size) * np.exp(random.normal(size=size)) for name in "abcy"
    }
    columns["kind"] = random.choice(["x", "y", "z"], size)
    columns["day"] = pa.array(random.integers(0, 10**15, size).astype("datetime64[us]"))
    frame = pa.table(columns)
    pa.parquet.write_table(frame, tmp_path / "t.parquet", row_group_size=10_000)
    pa.csv.write_csv(frame, tmp_path / "t.csv")
    for suffix in ("parquet", "csv"):
        schemas = set()
        for cores in (1, 2, 5):
            monkeypatch.setattr(os, "cpu_count", lambda found=cores: found)
            table = open_table(tmp_path / f"t.{suffix}")
            with copied(table, None) if suffix == "csv" else nullcontext(table) as read:
                schema = learn_schema(read, settings_from({"target": "y"}))
            schemas.add(json.dumps(schema.as_json()))
        assert len(schemas) == 1


def test_descriptions_are_a_line_for_each_column() -> None:
    lines = {line.name: line for line in describe(some_schema())}
    assert list(lines) == ["number", "text", "day", "same"]
    assert lines["number"].remark == "indicator for missing values"
    assert lines["text"].values.count("word") == 3
    assert lines["day"].values == "1970-01-03 to 1971-02-04"
    assert (lines["same"].becomes, lines["same"].remark) == ("left out", "constant")


def test_columns_are_inspected_without_a_target() -> None:
    table = open_table(pa.table({"x": Y, "it": words(ROWS, 5), "z": np.ones(ROWS)}))
    settings = settings_from({"target": "none", "exclude": ["x"]})
    columns = inspect_columns(table, settings).columns
    assert [column.kind for column in columns] == ["left out", "category", "left out"]
    assert [line.remark for line in describe(columns)] == ["excluded", "", "constant"]


def test_a_wide_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    names = ",".join(f"c{number}" for number in range(600))
    lines = "\n".join(",".join(map(str, row)) for row in RANDOM.integers(0, 9, (60, 600)))
    path.write_text(f"{names}\n{lines}\n")
    settings = settings_from({"target": "c0", "task": "regression"})
    assert len(learn_schema(open_table(path), settings).columns) == 599


def test_classes_that_differ_in_letter_case_alone_are_told() -> None:
    labels = [["Yes", "yes", "No", "YES "][row % 4] for row in range(80)]
    table = pa.table({"x": np.arange(80.0) % 9, "y": labels})
    schema = learn_schema(open_table(table), Settings(target="y"))
    (said,) = [one for one in schema.warnings if "letter case" in one]
    assert "'YES' and 'Yes' and 'yes'" in said
    tidy = pa.table({"x": np.arange(80.0) % 9, "y": [one.strip().lower() for one in labels]})
    assert not any(
        "case" in one for one in learn_schema(open_table(tidy), Settings(target="y")).warnings
    )


def test_two_digit_years_of_another_century_are_told() -> None:
    def warned(first: int) -> list[str]:
        days = [f"{row % 27 + 1:02d}.03.{(first + row % 20) % 100:02d}" for row in range(80)]
        table = pa.table({"d": days, "y": np.arange(80) % 7 + 0.5})
        settings = Settings(target="y", task="regression")
        schema = learn_schema(open_table(table), settings)
        return [one for one in schema.warnings if "two digits" in one]

    assert len(warned(55)) == 1
    assert "to 2068-03" in warned(55)[0]
    assert warned(80) == warned(5) == []


def test_a_text_for_missing_is_for_the_longest_name_before_it() -> None:
    cells = np.arange(ROWS) % 4
    columns = {"c": cells, "c=d": cells, "y": Y}
    found = {one.name: one.missing for one in learn(columns, missing=("c=d=1",)).columns}
    assert found["c"] == 0
    assert found["c=d"] > 0


def test_a_text_for_missing_in_a_misspelt_column_is_an_error() -> None:
    """It had been a text that no cell holds: nothing was missing, and nobody was told."""
    columns = {"temp": np.arange(ROWS) % 9 - 3.0, "y": Y}
    with pytest.raises(DataError, match=r"no column 'tmep'.*Did you mean 'temp'"):
        learn(columns, missing=("tmep=-3",))
    assert learn(columns, missing=("a=b",)).columns[0].missing == 0
