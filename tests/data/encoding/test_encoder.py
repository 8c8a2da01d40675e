from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.arrays import columns_from_array
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    DatetimeColumn,
    DatetimePart,
    LeftOutColumn,
    NumberColumn,
    RegressionTarget,
    RowCounts,
    Schema,
    schema_from_json,
)
from descend.data.schema.learn import learn_schema
from descend.data.split import is_validation
from descend.errors import DataError
from descend.settings import settings_from

EPOCH = datetime.datetime(1970, 1, 1)
COUNTS = RowCounts(0, 0, 0, 0, 0)
REGRESSION = RegressionTarget(("y",), (2.0,), (4.0,), (0.0,), (9.0,))
CLASSES = ClassificationTarget(("y",), "text", ("no", "yes"), (5, 5))

NUMBER = NumberColumn("n", "number", 3, None, 10.0, 2.0, 0.0, 20.0)
PLAIN = NumberColumn("p", "number", 0, None, 0.5, 0.25, 0.0, 1.0)
TEXT = CategoryColumn("c", "text", 2, 3, ("x", "y z", ""), (9, 8, 7))
CODE = CategoryColumn("k", "number", 0, 2, ("3", "-1"), (9, 8))
DAY = DatetimeColumn(
    *("d", "datetime", 1, None, None, 0, 10**15),
    parts=(
        DatetimePart("year", 2000.0, 10.0),
        DatetimePart("hour cos", 0.1, 0.5),
        DatetimePart("elapsed days", 10_000.0, 500.0),
    ),
)
GONE = LeftOutColumn("g", "text", 0, None, "constant")


def schema_of(*columns: Any, target: Any = REGRESSION, weight: str | None = None) -> Schema:
    return Schema(tuple(columns), target, "Because.", weight, COUNTS)


EVERYTHING = schema_of(NUMBER, TEXT, GONE, DAY, CODE, PLAIN)


def together(encoder: Encoder, data: Any, **options: Any) -> dict[str, np.ndarray]:
    """All batches of an encoding as one."""
    found = list(encoder.encode(open_table(data), **options))
    return {
        "numeric": np.concatenate([one.batch.x["numeric"] for one in found]),
        "category": np.concatenate([one.batch.x["category"] for one in found]),
        "y": np.concatenate([one.batch.y for one in found]),
        "weight": np.concatenate([one.batch.weight for one in found]),
        "row": np.concatenate([one.row for one in found]),
    }


def slow_number(column: NumberColumn, value: float | None) -> list[float]:
    absent = value is None or math.isnan(value)
    scaled = 0.0 if absent else (value - column.mean) / column.deviation  # type: ignore[operator]
    scaled = min(max(scaled, -1e6), 1e6)
    return [scaled, float(absent)] if column.missing else [scaled]


def slow_category(column: CategoryColumn, value: str | None) -> int:
    first = 2 if column.missing else 1
    if value is None or value == "":
        return 1 if column.missing else 0
    return first + column.values.index(value) if value in column.values else 0


def slow_day(column: DatetimeColumn, value: datetime.datetime | None) -> list[float]:
    if value is None:
        return [0.0] * len(column.parts) + [1.0]
    days = (value - EPOCH) / datetime.timedelta(days=1)
    raw = {
        "year": value.year,
        "hour cos": math.cos(2 * math.pi * (days % 1)),
        "elapsed days": days,
    }
    return [(raw[part.name] - part.mean) / part.deviation for part in column.parts] + [0.0]


NUMBERS = st.none() | st.floats(-1e300, 1e300) | st.just(math.nan)
ROWS = st.tuples(
    NUMBERS,
    st.none() | st.sampled_from(["x", "y z", "", "other", "3"]),
    st.none() | st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)),
    st.none() | st.sampled_from([3, -1, 4]),
    NUMBERS,
)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=12))
def test_encoding_is_that_of_a_naive_loop_over_rows(rows: list[Any]) -> None:
    n, c, d, k, p = zip(*rows, strict=True)
    frame = pa.table(
        {
            "p": pa.array(p, pa.float64()),
            "unused": ["?"] * len(rows),
            "k": pa.array(k, pa.int16()),
            "d": pa.array(d, pa.timestamp("us")),
            "c": pa.array(c, pa.string()),
            "n": pa.array(n, pa.float64()),
        }
    )
    encoder = Encoder(EVERYTHING)
    found = together(encoder, frame, target=False, rows=5)
    numeric = [
        slow_number(NUMBER, one[0]) + slow_day(DAY, one[2]) + slow_number(PLAIN, one[4])
        for one in rows
    ]
    category = [
        [
            slow_category(TEXT, one[1]),
            slow_category(CODE, None if one[3] is None else str(one[3])),
        ]
        for one in rows
    ]
    np.testing.assert_allclose(found["numeric"], np.array(numeric, np.float32), rtol=1e-6)
    assert (found["category"] == category).all()
    assert found["numeric"].dtype == np.float32
    assert found["category"].dtype == np.int32
    assert found["numeric"].shape[1] == len(encoder.numeric_names)
    assert (found["category"] < encoder.category_sizes).all()
    assert (found["row"] == np.arange(len(rows))).all()
    assert (found["weight"] == 1).all()
    assert (found["y"] == np.zeros((len(rows), 1))).all()


def test_names_and_sizes() -> None:
    encoder = Encoder(EVERYTHING)
    assert encoder.numeric_names == (
        "n",
        "n missing",
        "d year",
        "d hour cos",
        "d elapsed days",
        "d missing",
        "p",
    )
    assert encoder.category_names == ("c", "k")
    assert encoder.category_sizes == (5, 3)


def test_the_encoder_survives_json() -> None:
    again = Encoder(schema_from_json(EVERYTHING.as_json()))
    assert again.schema == EVERYTHING
    assert again.numeric_names == Encoder(EVERYTHING).numeric_names


@pytest.mark.parametrize("columns", [(PLAIN,), (TEXT,)])
def test_there_may_be_no_numbers_or_no_categories(columns: Any) -> None:
    frame = pa.table({"p": [1.0, 2.0], "c": ["x", "w"]})
    found = together(Encoder(schema_of(*columns)), frame, target=False)
    assert found["numeric"].shape == (2, columns[0] is PLAIN)
    assert found["category"].shape == (2, columns[0] is TEXT)


def test_targets_and_weights() -> None:
    frame = pa.table(
        {
            "p": [1.0, 2.0, 3.0, 4.0, 5.0],
            "y": [2.0, 6.0, None, 8.0, 9.0],
            "w": [1.0, 0.5, 1.0, 0.0, None],
        }
    )
    encoder = Encoder(schema_of(PLAIN, weight="w"))
    found = together(encoder, frame, target=True)
    assert found["row"].tolist() == [0, 1]
    assert found["y"].tolist() == [[0.0], [1.0]]
    assert found["weight"].tolist() == [1.0, 0.5]
    assert found["y"].dtype == found["weight"].dtype == np.float32
    assert len(together(encoder, frame.select(["p"]), target=False)["row"]) == 5


def test_poisson_targets_stay_as_they_are() -> None:
    target = RegressionTarget(("y",), (2.0,), (4.0,), (0.0,), (9.0,), standardised=False)
    encoder = Encoder(schema_of(PLAIN, target=target))
    found = together(encoder, pa.table({"p": [1.0, 2.0], "y": [3, 5]}), target=True)
    assert found["y"].tolist() == [[3.0], [5.0]]
    assert encoder.decode_regression(found["y"]).tolist() == [[3.0], [5.0]]


def test_batches_without_labelled_rows_are_passed_over() -> None:
    frame = pa.table({"p": np.ones(10), "y": [None] * 6 + [1.0] * 4})
    rows = [
        one.row.tolist()
        for one in Encoder(schema_of(PLAIN)).encode(open_table(frame), target=True, rows=2)
    ]
    assert [one for batch in rows for one in batch] == [6, 7, 8, 9]
    assert [] not in rows


def test_regression_is_decoded_to_its_own_units() -> None:
    encoder = Encoder(schema_of(PLAIN))
    y = np.array([[0.1], [7.7]])
    np.testing.assert_allclose(encoder.decode_regression(encoder.encode_target(y)), y, rtol=1e-6)
    assert encoder.decode_regression(np.float32([[1.0]])).dtype == np.float64
    assert encoder.encode_target(np.array([2.0, 6.0])).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["u", "v", "u"], np.object_),
        ([5, 3, 5], np.int64),
        ([True, False, True], np.bool_),
        ([0.5, 1.5, 0.5], np.float64),
        ([2.0, 1.0, 2.0], np.int64),
    ],
)
def test_classes_are_decoded_to_the_labels_of_the_table(values: list[Any], kind: Any) -> None:
    y = values * 40
    frame = pa.table({"x": np.random.default_rng(0).normal(size=120), "y": y})
    options = settings_from({"target": "y", "task": "classification"})
    encoder = Encoder(learn_schema(open_table(frame), options))
    codes = together(encoder, frame, target=True)["y"]
    assert codes.dtype == np.int32
    decoded = encoder.decode_classes(codes)
    assert decoded.dtype == kind
    assert decoded.tolist() == y
    assert (encoder.encode_target(np.array(y)) == codes).all()


def test_labels_are_read_from_csv_as_the_text_they_are(tmp_path: Path) -> None:
    target = ClassificationTarget(("y",), "text", ("01", "1"), (5, 5))
    path = tmp_path / "t.csv"
    path.write_text("p,y\n1,01\n2,1\n")
    found = together(Encoder(schema_of(PLAIN, target=target)), path, target=True)
    assert found["y"].tolist() == [0, 1]


def test_a_label_that_training_did_not_have() -> None:
    encoder = Encoder(schema_of(PLAIN, target=CLASSES))
    frame = pa.table({"p": [1.0, 2.0], "y": ["yes", "maybe"]})
    with pytest.raises(DataError, match=r"'y'.*no, yes.*'maybe'"):
        together(encoder, frame, target=True)
    with pytest.raises(DataError, match="'maybe'"):
        encoder.encode_target(np.array(["maybe"]))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3, -1, 4]),
        pa.array([3.0, -1.0, 4.0]),
        pa.array(["3", "-1", "4"]),
        pa.array(["3.0", "-1.00", "4.5"]),
        pa.array([3, -1, 4], pa.int8()).dictionary_encode(),
    ],
)
def test_numbers_as_categories_are_compared_as_text(values: Any) -> None:
    found = together(Encoder(schema_of(CODE)), pa.table({"k": values}), target=False)
    assert found["category"][:, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("values", [pa.array([True, False]), pa.array(["True", "FALSE"])])
def test_booleans_are_compared_in_any_case(values: Any) -> None:
    column = CategoryColumn("b", "boolean", 0, 2, ("false", "true"), (9, 8))
    found = together(Encoder(schema_of(column)), pa.table({"b": values}), target=False)
    assert found["category"][:, 0].tolist() == [2, 1]


def test_csv_is_read_as_training_read_it(tmp_path: Path) -> None:
    column = CategoryColumn("zip", "text", 1, 3, ("007", "A1"), (9, 8))
    path = tmp_path / "t.csv"
    path.write_text("zip,n,d,p\n007,,,1\n7,,,2\n")
    schema = schema_of(column, NUMBER, DAY, PLAIN)
    found = together(Encoder(schema), path, target=False)
    assert found["category"][:, 0].tolist() == [2, 0]
    assert found["numeric"][:, 1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2001-02-03 04:05:06", None]),
        pa.array(["2001-02-03T04:05:06Z", ""]),
        pa.array([datetime.datetime(2001, 2, 3, 4, 5, 6), None], pa.timestamp("ns")),
        pa.array([datetime.datetime(2001, 2, 3, 4, 5, 6), None], pa.timestamp("s", tz="UTC")),
    ],
)
def test_dates_may_come_as_text_or_time(values: Any) -> None:
    found = together(Encoder(schema_of(DAY)), pa.table({"d": values}), target=False)
    expected = [slow_day(DAY, datetime.datetime(2001, 2, 3, 4, 5, 6)), slow_day(DAY, None)]
    np.testing.assert_allclose(found["numeric"], expected, rtol=1e-6)


def test_dates_are_read_by_the_pattern_of_training_or_as_iso() -> None:
    column = DatetimeColumn(
        *("d", "text", 0, None, "%d/%m/%Y", 0, 1),
        parts=(DatetimePart("year", 0.0, 1.0), DatetimePart("day", 0.0, 1.0)),
    )
    frame = pa.table({"d": ["02/01/2003", "2004-05-06"]})
    found = together(Encoder(schema_of(column)), frame, target=False)
    assert found["numeric"].tolist() == [[2003.0, 2.0], [2004.0, 6.0]]


def test_times_of_day() -> None:
    part = DatetimePart("hour cos", 0.0, 1.0)
    column = DatetimeColumn("d", "time", 0, None, "time", 0, 1, parts=(part,))
    for values in (["12:00", "00:00:00"], [datetime.time(12), datetime.time(0)]):
        found = together(Encoder(schema_of(column)), pa.table({"d": values}), target=False)
        assert found["numeric"].tolist() == [[-1.0], [1.0]]


def test_a_missing_number_without_indicator_is_the_mean() -> None:
    found = together(Encoder(schema_of(PLAIN)), pa.table({"p": [None, 0.5, 1.0]}), target=False)
    assert found["numeric"].tolist() == [[0.0], [0.0], [2.0]]


BAD: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"q": [1.0]},
        ["no column 'p', which the model needs", "columns are: q", "add a column of empty cells"],
    ),
    ({"P": [1.0]}, ["no column 'p'", "Did you mean 'P'?"]),
    ({"p": ["1", "two"]}, ["column 'p', data row 2", "a number", "found 'two'"]),
    ({"p": [1.0, math.inf]}, ["column 'p', data row 2", "finite", "found inf"]),
    ({"p": [datetime.date(2020, 1, 1)]}, ["column 'p'", "expected numbers", "found date"]),
    ({"p": [1.0], "d": ["soon"]}, ["column 'd', data row 1", "a date or time", "'soon'"]),
    ({"p": [1.0], "d": ["31/01/20"]}, ["column 'd', data row 1", "'31/01/20'"]),
    ({"p": [1.0], "d": [7]}, ["column 'd'", "expected dates", "found number"]),
    ({"p": [1.0], "c": [[1]]}, ["column 'c'", "expected categories", "found BIGINT[]"]),
]


@pytest.mark.parametrize(("columns", "expected"), BAD)
def test_what_cannot_be_encoded(columns: dict[str, Any], expected: list[str]) -> None:
    needed = [PLAIN, *([DAY] if "d" in columns else []), *([TEXT] if "c" in columns else [])]
    with pytest.raises(DataError) as caught:
        together(Encoder(schema_of(*needed)), pa.table(columns), target=False)
    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize("bad", [{"y": [1.0, math.inf]}, {"w": [1.0, math.inf]}, {"w": [1, -1]}])
def test_targets_and_weights_that_cannot_be_used(bad: dict[str, Any]) -> None:
    frame = pa.table({"p": [1.0, 1.0], "y": [1.0, 2.0], "w": [1.0, 1.0], **bad})
    with pytest.raises(DataError, match=f"column '{next(iter(bad))}'"):
        together(Encoder(schema_of(PLAIN, weight="w")), frame, target=True)


def test_text_among_the_numbers_of_a_csv_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("p\n1\ntwo\n")
    with pytest.raises(DataError, match=r"column 'p', data row 2.*'two'"):
        together(Encoder(schema_of(PLAIN)), path, target=False)


def test_an_empty_column_is_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("p,n,c,d,k\n,,,,\n,,,,\n")
    found = together(Encoder(EVERYTHING), path, target=False)
    assert found["category"].tolist() == [[1, 0]] * 2
    frame = pa.table({name: pa.nulls(2) for name in "pncdk"})
    assert (together(Encoder(EVERYTHING), frame, target=False)["numeric"] == found["numeric"]).all()


def test_a_batch_is_the_same_whatever_its_size() -> None:
    random = np.random.default_rng(0)
    frame = pa.table({"n": random.normal(size=1000), "c": random.choice(["x", "y z", "?"], 1000)})
    encoder = Encoder(schema_of(NUMBER, TEXT))
    whole = together(encoder, frame, target=False)
    pieces = together(encoder, frame, target=False, rows=17)
    assert all((whole[key] == pieces[key]).all() for key in whole)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("target", ["regression", "classification"])
def test_arrays_are_learned_and_encoded_as_a_table_is(kind: Any, target: str) -> None:
    random = np.random.default_rng(1)
    X = (random.normal(100, 50, size=(9000, 6))).astype(kind)
    X[:, 4] = 1
    if kind is not np.int32:
        X[random.random(9000) < 0.2, 2] = np.nan
        X[random.random(9000) < 0.001, 5] = np.nan
    y = X[:, 0] + random.normal(size=9000)
    y = y if target == "regression" else np.where(y > 100, "high", "low")
    options = settings_from({"target": "y"})
    training = ~is_validation(np.arange(len(X)), 0.1, options.seed)
    slow = learn_schema(open_table((X, y)), options)
    columns = columns_from_array(X, training)
    assert slow.task == target
    for one, other in zip(columns, slow.columns, strict=True):
        assert (one.name, one.kind, one.missing) == (other.name, other.kind, other.missing)
        if isinstance(one, NumberColumn) and isinstance(other, NumberColumn):
            for field in ("mean", "deviation", "minimum", "maximum"):
                assert math.isclose(getattr(one, field), getattr(other, field), rel_tol=1e-9)
    encoder = Encoder(dataclasses.replace(slow, columns=columns))
    arrays = encoder.encode_arrays(X)
    table = together(encoder, (X, y), target=True)
    assert (arrays["numeric"] == table["numeric"]).all()
    assert (arrays["category"] == table["category"]).all()
    assert (encoder.encode_target(y) == table["y"]).all()


def test_categories_in_an_array_are_those_of_a_table() -> None:
    X = np.array([[3.0, 1.0], [-1.0, 2.0], [np.nan, 3.0], [4.5, 4.0]])
    encoder = Encoder(schema_of(CODE, PLAIN))
    table = together(encoder, pa.table({"k": X[:, 0], "p": X[:, 1]}), target=False)
    arrays = encoder.encode_arrays(X)
    assert (arrays["category"] == table["category"]).all()
    assert (arrays["numeric"] == table["numeric"]).all()


def test_arrays_that_cannot_be_used() -> None:
    X, used = np.random.default_rng(0).normal(size=(100, 2)), np.ones(100, bool)
    schema = learn_schema(open_table((X, np.arange(100.0))), settings_from({"target": "y"}))
    encoder = Encoder(schema)
    infinite = X.copy()
    infinite[50, 1] = np.inf
    with pytest.raises(DataError, match="2 columns"):
        encoder.encode_arrays(X[:, :1])
    with pytest.raises(DataError, match="'x1', row 51"):
        encoder.encode_arrays(infinite)
    with pytest.raises(DataError, match="'x1'"):
        columns_from_array(infinite, used)
    with pytest.raises(DataError, match="constant or empty"):
        columns_from_array(np.ones((100, 2)), used)
