"""The same table stored five ways gives the same schema and the same predictions."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend import load_model, predict, train
from descend.data.encoding.categories import other_widths
from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, Schema
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import DataError
from descend.settings import settings_from

ROWS = 60
RANDOM = np.random.default_rng(3)
Values = Sequence[Any]


def numbers(kind: str, values: Values) -> Values:
    """Numbers as a CSV file may write them."""
    if kind == "money":
        return [None if v is None else f"${v:,.2f}" for v in values]
    if kind == "decimal comma":
        return [None if v is None else f"{v:.2f}".replace(".", ",") for v in values]
    if kind == "per cent":
        return [None if v is None else f"{v:.2f}%" for v in values]
    if kind == "marks":
        return ["?" if v is None else f"{v:.2f}" for v in values]
    if kind == "spaces":
        return [None if v is None else f"  {v:.2f}\u00a0" for v in values]
    return [None if v is None else repr(round(v, 2)) for v in values]


KINDS = ("plain", "money", "decimal comma", "per cent", "marks", "spaces")


def cell(value: Any) -> str:
    return "" if value is None else str(value)


def stored(folder: Path, columns: dict[str, Values], texts: dict[str, Values]) -> dict[str, Any]:
    """A table as CSV, Parquet, JSON lines, a pandas and a Polars frame.

    Args:
        folder: for the files.
        columns: values with types.
        texts: the same as text, for those that CSV writes in another way.
    """
    written = {**columns, **texts}
    lines = [";".join(columns)]
    lines += [";".join(map(cell, row)) for row in zip(*written.values(), strict=True)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    pa.parquet.write_table(table, folder / "t.parquet")
    pa.parquet.write_table(
        pa.table({name: pa.array(list(values)) for name, values in written.items()}),
        folder / "texts.parquet",
    )
    with (folder / "t.jsonl").open("w") as stream:
        for row in zip(*columns.values(), strict=True):
            stream.write(json.dumps(dict(zip(columns, row, strict=True)), default=str) + "\n")
    return {
        "csv": str(folder / "t.csv"),
        "parquet": str(folder / "t.parquet"),
        "texts": str(folder / "texts.parquet"),
        "json": str(folder / "t.jsonl"),
        "pandas": pd.DataFrame({name: pd.Series(list(v)) for name, v in columns.items()}),
        "polars": pl.DataFrame({name: list(values) for name, values in columns.items()}),
    }


def learned(data: Any, **options: Any) -> Schema:
    asked = {"target": "y", "task": "regression", **options}
    return learn_schema(open_table(data), settings_from(asked))


def encoded(schema: Schema, data: Any) -> tuple[np.ndarray, np.ndarray]:
    parts = list(Encoder(schema).encode(open_table(data), target=True))
    return (
        np.concatenate([part.batch.x["numeric"] for part in parts]),
        np.concatenate([part.batch.x["category"] for part in parts]),
    )


def meaning(schema: Schema) -> list[Any]:
    """What was learned, without how it was stored."""
    found = []
    for column in schema.columns:
        record = {**vars(column), "kind": column.kind}
        for name in ("type", "note", "written", "unit", "strays", "distinct", "pattern"):
            record.pop(name, None)
        found.append(record)
    return found


def check_alike(ways: dict[str, Any], **options: Any) -> None:
    schemas = {way: learned(data, **options) for way, data in ways.items()}
    expected = meaning(schemas["csv"])
    first = encoded(schemas["csv"], ways["csv"])
    for way, schema in schemas.items():
        assert meaning(schema) == expected, way
    for way, data in ways.items():
        # Learned from one way of storing, asked with another.
        for trained in ("csv", "parquet"):
            for ours, theirs in zip(encoded(schemas[trained], data), first, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=f"{trained}, {way}")


@pytest.mark.parametrize(
    "kind",
    [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])],
)
def test_numbers_however_they_are_written(tmp_path: Path, kind: str) -> None:
    values = [round(float(v), 2) for v in RANDOM.uniform(1, 9_000, ROWS)]
    if kind != "plain":
        values[7] = None  # type: ignore[call-overload]
    y = [round(float(v), 3) for v in RANDOM.normal(size=ROWS)]
    columns = {"x": values, "y": y}
    check_alike(stored(tmp_path, columns, {"x": numbers(kind, values)}))


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(
    codes=st.lists(st.integers(-3, 12), min_size=ROWS, max_size=ROWS),
    blank=st.integers(0, ROWS - 1),
    flags=st.lists(st.booleans(), min_size=ROWS, max_size=ROWS),
    words=st.lists(
        st.sampled_from(["00501", "1_12", "2E3", "Paris", "paris", "NA", "x y"]),
        min_size=ROWS,
        max_size=ROWS,
    ),
    number_type=st.sampled_from(["int8", "int32", "int64", "uint64", "float32", "float64"]),
    flag_text=st.sampled_from([("True", "False"), ("yes", "no"), ("t", "f"), ("TRUE", "FALSE")]),
)
def test_categories_however_they_are_stored(
    tmp_path_factory: pytest.TempPathFactory,
    codes: list[int],
    blank: int,
    flags: list[bool],
    words: list[str],
    number_type: str,
    flag_text: tuple[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("ways")
    codes = [abs(code) if number_type == "uint64" else code for code in codes]
    missing: list[int | None] = list(codes)
    missing[blank] = None
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(ROWS)]
    y = [round(float(v), 3) for v in RANDOM.normal(size=ROWS)]
    columns: dict[str, Values] = {"k": missing, "flag": flags, "word": words, "day": days, "y": y}
    texts = {"flag": [flag_text[0] if flag else flag_text[1] for flag in flags]}
    ways = stored(folder, columns, texts)
    # What pandas writes once a value is missing.
    ways["pandas csv"] = str(folder / "pandas.csv")
    ways["pandas"].to_csv(ways["pandas csv"], index=False)
    table = pa.table(columns).set_column(
        0, "k", pa.array(missing, pa.from_numpy_dtype(np.dtype(number_type)))
    )
    table = table.set_column(2, "word", pa.array(words).dictionary_encode())
    pa.parquet.write_table(table, folder / "typed.parquet")
    ways["typed"] = str(folder / "typed.parquet")
    ways["query"] = f"SELECT * FROM '{folder / 't.csv'}'"
    check_alike(ways, categorical=["k"])


@pytest.mark.parametrize(
    "values",
    [[True, False], [1, 0], [1.0, 0.0], ["t", "f"], ["yes", "no"], ["Y", "N"], ["TRUE", "false"]],
)
@pytest.mark.parametrize("trained", [[True, False], [1, 0]])
def test_true_and_false_are_one_and_nought(trained: list[Any], values: list[Any]) -> None:
    which = RANDOM.integers(0, 2, ROWS)
    y = RANDOM.normal(size=ROWS)

    def table(two: list[Any]) -> pa.Table:
        return pa.table({"it": [two[one] for one in which], "y": y})

    for options in ({}, {"categorical": ["it"]}):
        schema = learned(table(trained), **options)
        for ours, theirs in zip(
            encoded(schema, table(values)), encoded(schema, table(trained)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def assert_encoded_alike(tables: list[Any]) -> None:
    """Whichever of the tables is learned from, rows of each have the same codes."""
    for trained in tables:
        schema = learned(trained, categorical=["it"])
        expected = encoded(schema, trained)
        for table in tables:
            for ours, theirs in zip(encoded(schema, table), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_a_decimal_of_float32_is_the_same_value_in_float64_and_in_text() -> None:
    which = RANDOM.integers(0, 3, ROWS)
    narrow = np.array([0.1, 0.7, 2.5], np.float32)[which]
    y = RANDOM.normal(size=ROWS)
    kept = [narrow, narrow.astype(np.float64), [str(one) for one in narrow]]
    tables = [pa.table({"it": values, "y": y}) for values in kept]
    assert_encoded_alike(tables)


def test_a_decimal_of_float16_is_the_same_value_in_files_and_frames(tmp_path: Path) -> None:
    which = RANDOM.integers(0, 3, ROWS)
    values = np.array([0.1, 0.7, -1.5])[which]
    y = RANDOM.normal(size=ROWS)
    narrow = pa.table({"it": pa.array(values.astype(np.float16)), "y": y})
    pa.parquet.write_table(narrow, tmp_path / "t.parquet")
    wide = pa.table({"it": values, "y": y})
    through = pa.table({"it": values.astype(np.float16).astype(np.float64), "y": y})
    tables = [wide, narrow, through, str(tmp_path / "t.parquet")]
    assert_encoded_alike(tables)


@pytest.mark.parametrize("values", [[30, 10, 20], [0.5, 1.5, 2.5], ["7", "8", "9"]])
@pytest.mark.slow
def test_a_declared_category_of_numbers_is_one(tmp_path: Path, values: list[Any]) -> None:
    which = RANDOM.integers(0, 3, ROWS)
    cells = [values[one] for one in which]
    plain = pd.DataFrame({"it": cells, "y": RANDOM.normal(size=ROWS)})
    # With a category that no row has, and in another order than that of the values.
    categories = pd.Categorical(cells, categories=[*values, type(values[0])(40)])
    frame = plain.assign(it=categories)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    declared = [frame, str(tmp_path / "t.parquet"), str(tmp_path / "t.feather")]
    for trained in declared:
        schema = learned(trained)
        column = schema.columns[0]
        assert isinstance(column, CategoryColumn)
        assert column.distinct == 3
        assert any("numeric=['it'] reads them as numbers" in note for note in schema.notes)
        for table in (*declared, plain):
            np.testing.assert_array_equal(encoded(schema, table)[1], encoded(schema, trained)[1])
        assert learned(trained, numeric=["it"]).columns[0].kind == "number"
        assert inspect_columns(open_table(trained)).columns[0].kind == "category"
    assert learned(plain).columns[0].kind == "number"


def test_whole_numbers_are_no_other_whole_numbers_in_float16() -> None:
    assert list(other_widths(65504.0)) == []
    assert list(other_widths(1e300)) == []


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2**63 + 5, 2**63 + 6], np.uint64),
        np.array([2**53, 2**53 + 1]),
        np.array([0.1, 2.0], np.float32),
        np.array([1.0, 2.5]),
        np.array([1.0, 2.5], np.float16),
        pa.array([-1, 2**63 + 5], pa.decimal128(38, 0)),
        pa.array(["9007199254740993", "0.5"]),
    ],
)
def test_class_labels_keep_every_digit(tmp_path: Path, labels: Any) -> None:
    """Through training, a file of the model and predictions, whatever their type."""
    which = np.arange(ROWS) % 2
    values = labels.take(pa.array(which)) if isinstance(labels, pa.Array) else labels[which]
    table = pa.table({"x": which * 1.0, "y": values})
    if pa.types.is_string(table["y"].type):  # Only CSV holds numbers as text.
        source: Any = tmp_path / "rows.csv"
        pa.csv.write_csv(table, source, pa.csv.WriteOptions(quoting_style="none"))
    else:
        source = table
    options = {"model": "linear", "batch_size": 32, "learning_rate": 1.0, "epochs": 3}
    train(source, target="y", task="classification", out=tmp_path / "run", **options)
    expected = [float(one) if "." in str(one) else int(one) for one in table["y"].to_pylist()]
    if isinstance(labels, np.ndarray) and labels.dtype == np.float32:
        expected = [0.1 if one else 2.0 for one in which == 0]
    model = load_model(tmp_path / "run")
    assert model.predict(source).tolist() == expected
    predict(model, source, tmp_path / "predictions.csv")
    lines = (tmp_path / "predictions.csv").read_text().splitlines()[1:3]
    told = [line.split(",")[0].strip('"') for line in lines]
    assert [float(one) if "." in one else int(one) for one in told] == expected[:2]


@pytest.mark.parametrize(
    "written",
    [
        lambda n: f'"{n:,}"',
        lambda n: f'"{n:,}.0"',
        lambda n: f'"€ {n:,}"',
        lambda n: f"{n:,}".replace(",", " "),
        lambda n: f"{n:,}".replace(",", "."),
        lambda n: f"+{n}",
    ],
)
def test_a_code_keeps_every_digit_however_it_is_grouped(tmp_path: Path, written: Any) -> None:
    """Neighbours from 2⁵³ on share a float."""
    codes = [2**53 + one for one in (0, 1, 2, 3)] * (ROWS // 4)
    y = RANDOM.normal(size=ROWS)
    lines = [f"{written(code)};{one:.3f}" for code, one in zip(codes, y, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["k;y", *lines]), encoding="utf-8")
    plain = pa.table({"k": codes, "y": y})
    for trained in (str(path), plain):
        schema = learned(trained, categorical=["k"])
        expected = encoded(schema, plain)[1]
        assert len(np.unique(expected)) == 4
        np.testing.assert_array_equal(encoded(schema, str(path))[1], expected)


def files_of_types(folder: Path, kind: str, types: Sequence[pa.DataType], values: Values) -> str:
    """A glob of files that hold the same values, each as another type."""
    y = RANDOM.normal(size=len(values))
    for place, one in enumerate(types):
        table = pa.table({"k": pa.array(values, one), "y": y})
        path = folder / f"{place}.{kind}"
        if kind == "parquet":
            pa.parquet.write_table(table, path)
        else:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)
    return str(folder / f"*.{kind}")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("types", [("float32", "float64"), ("float64", "float32")])
def test_files_of_two_widths_hold_one_value(
    tmp_path: Path, kind: str, types: tuple[str, str]
) -> None:
    values = [0.1, 0.7, 2.5, 16_777_217.0] * 15
    arrow = [getattr(pa, one)() for one in types]
    data = files_of_types(tmp_path, kind, arrow, values)
    for source in (data, f"SELECT * FROM '{data}'"):
        if source != data and kind == "arrow":
            continue  # Queries read no globs of Arrow files.
        schema = learned(source, categorical=["k"])
        column = schema.columns[0]
        assert isinstance(column, CategoryColumn)
        assert {"0.1", "0.7", "2.5"} <= set(column.values)
        assert column.distinct == 5  # 2²⁴ + 1 is no number of float32.
        same = pa.table({"k": values, "y": RANDOM.normal(size=len(values))})
        assert np.bincount(encoded(schema, same)[1][:, 0]).max() == 15


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("whole", ["int64", "uint64"])
def test_whole_numbers_that_floats_would_merge_are_refused(
    tmp_path: Path, kind: str, whole: str
) -> None:
    types = [getattr(pa, whole)(), pa.float64()]
    small = files_of_types(tmp_path, kind, types, [1, 2**53, None])
    assert open_table(small).count() == 6
    more = pa.table({"k": pa.array([2**53 + 1], types[0]), "y": [0.1]})
    if kind == "parquet":
        pa.parquet.write_table(more, tmp_path / "2.parquet")
    else:
        with pa.ipc.new_file(str(tmp_path / "2.arrow"), more.schema) as writer:
            writer.write_table(more)
    expected = rf"2\.{kind} holds column 'k' as {whole}, with numbers up to 9007199254740993, and "
    with pytest.raises(DataError, match=expected + rf".*1\.{kind} as double"):
        open_table(small)


def test_arrow_files_together_have_the_widest_type(tmp_path: Path) -> None:
    data = files_of_types(tmp_path, "arrow", [pa.int32(), pa.int64()], [1, 2, 3])
    more = pa.table({"k": pa.array([2**40, None, 5]), "y": [0.1, 0.2, 0.3]})
    with pa.ipc.new_file(str(tmp_path / "2.arrow"), more.schema) as writer:
        writer.write_table(more)
    found = open_table(data).query("SELECT k FROM source").column("k").to_pylist()
    assert found == [1, 2, 3, 1, 2, 3, 2**40, None, 5]
    words = pa.table({"k": ["a", "b"], "y": [0.1, 0.2]})
    with pa.ipc.new_file(str(tmp_path / "3.arrow"), words.schema) as writer:
        writer.write_table(words)
    with pytest.raises(DataError, match=r"column 'k' as int32, and .*3\.arrow as string"):
        open_table(data)


def test_on_and_off_are_known_in_a_column_of_booleans() -> None:
    which = RANDOM.integers(0, 2, ROWS)
    y = RANDOM.normal(size=ROWS)
    booleans, words = (
        pa.table({"it": [two[one] for one in which], "y": y})
        for two in ([True, False], ["On", "OFF"])
    )
    schema = learned(booleans)
    for ours, theirs in zip(encoded(schema, words), encoded(schema, booleans), strict=True):
        np.testing.assert_array_equal(ours, theirs)


DAY = datetime.date(2024, 1, 31)
NOON = datetime.datetime(2024, 1, 31, 12)
HOUR = datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("one", "other", "labels", "texts"),
    [
        (DAY, DAY + 24 * HOUR, ("2024-01-31", "2024-02-01"), ("2024-01-31", "2024-02-01")),
        (NOON, NOON + HOUR, ("2024-01-31 12:00:00", "2024-01-31 13:00:00"), None),
        (datetime.time(8, 30), datetime.time(9, 30), ("08:30:00", "09:30:00"), None),
        (HOUR, 25 * HOUR, (3600, 90000), ("1:00:00", "25:00:00")),
    ],
)
def test_dates_and_durations_as_classes(
    tmp_path: Path, one: Any, other: Any, labels: Sequence[Any], texts: Sequence[str] | None
) -> None:
    values = [one if row % 3 else other for row in range(ROWS)]
    cells = [(texts or labels)[value == other] for value in values]
    numbers = list(RANDOM.normal(size=ROWS).round(3))
    ways = stored(tmp_path, {"x": numbers, "y": values}, {"y": cells})
    for name in ("csv", "parquet", "pandas", "polars"):
        schema = learn_schema(open_table(ways[name]), settings_from({"target": "y"}))
        assert getattr(schema.target, "labels", None) == tuple(labels), name
        for another in ("csv", "parquet", "pandas", "polars"):
            parts = list(Encoder(schema).encode(open_table(ways[another]), target=True))
            codes = np.concatenate([part.batch.y for part in parts])
            np.testing.assert_array_equal(codes, [value == other for value in values])


@pytest.mark.parametrize("way", ["csv", "parquet"])
def test_many_dates_are_no_target(tmp_path: Path, way: str) -> None:
    days = [DAY + row * 24 * HOUR for row in range(ROWS)]
    ways = stored(tmp_path, {"x": list(range(ROWS)), "y": days}, {})
    for task in ("auto", "regression") if way == "parquet" else ("auto",):
        with pytest.raises(DataError, match="make it a number with a query, such as date_diff"):
            learn_schema(open_table(ways[way]), settings_from({"target": "y", "task": task}))


@pytest.mark.parametrize(
    "classes",
    [("0%", "5%"), ("$1", "$2"), ("-1", "+1"), ("1,5", "2,5"), ("1,000", "2,000"), ("1e0", "2e0")],
)
def test_classes_are_written_as_the_table_has_them(
    tmp_path: Path, classes: tuple[str, str]
) -> None:
    values = [classes[row % 2] if row else None for row in range(ROWS)]
    numbers = list(RANDOM.normal(size=ROWS).round(3))
    ways = stored(tmp_path, {"x": numbers, "y": values}, {})
    for name in ("csv", "parquet", "pandas"):
        schema = learn_schema(open_table(ways[name]), settings_from({"target": "y"}))
        labels = getattr(schema.target, "labels", ())
        assert sorted(labels) == sorted(classes), name
        parts = list(Encoder(schema).encode(open_table(ways["csv"]), target=True))
        codes = np.concatenate([part.batch.y for part in parts])
        assert [labels[code] for code in codes] == values[1:]


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("0", "1.0", "NaN"), (0, 1)),
        (("0", "+1", "1"), (0, 1)),
        (("0%", "5%", "?"), (0, 5)),
        (("0.0", "1.0", ""), (0, 1)),
    ],
)
def test_classes_in_several_spellings_stay_numbers(
    tmp_path: Path, classes: Sequence[str], labels: Sequence[float]
) -> None:
    lines = [
        f"{row * 7 % 13},{classes[row % 20 if row % 20 < len(classes) else row % 2]}"
        for row in range(90)
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,y", *lines]) + "\n")
    schema = learn_schema(open_table(path), settings_from({"target": "y"}))
    assert getattr(schema.target, "labels", None) == tuple(labels)
