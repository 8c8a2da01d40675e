"""The same letters are the same value, whichever way Unicode stores their accents."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.categories import category_text, spellings
from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, ClassificationTarget, Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import settings_from

ROWS = 80
NAMES = ("Málaga", "Zürich", "한국", "Rome")
RANDOM = np.random.default_rng(5)
FORMS = ("NFC", "NFD")


def cities(form: str, rows: int = ROWS) -> list[str]:
    return [unicodedata.normalize(form, NAMES[row % 4]) for row in range(rows)]


def learned(table: pa.Table, **options: object) -> Schema:
    return learn_schema(open_table(table), settings_from({"target": "y", **options}))


@pytest.mark.parametrize("trained", FORMS)
def test_categories(trained: str) -> None:
    y = RANDOM.normal(size=ROWS)
    schema = learned(pa.table({"city": cities(trained), "y": y}))
    column = schema.columns[0]
    assert isinstance(column, CategoryColumn)
    assert column.distinct == 4
    codes = []
    for form in FORMS:
        table = open_table(pa.table({"city": cities(form), "y": y}))
        parts = list(Encoder(schema).encode(table, target=False))
        codes.append(np.concatenate([part.batch.x["category"] for part in parts])[:, 0])
        assert {category_text(column, name) for name in cities(form, 4)} == set(column.values)
        assert set(cities(form, 4)) <= spellings(column).keys()
    np.testing.assert_array_equal(*codes)
    assert len(set(codes[0])) == 4
    assert 0 not in codes[0]


def test_one_value_in_both_forms_is_one_category() -> None:
    mixed = cities("NFC", ROWS // 2) + cities("NFD", ROWS // 2)
    column = learned(pa.table({"city": mixed, "y": RANDOM.normal(size=ROWS)})).columns[0]
    assert isinstance(column, CategoryColumn)
    assert column.distinct == 4


@pytest.mark.parametrize("trained", FORMS)
def test_classes_are_known_in_both_forms_and_told_as_they_were_written(trained: str) -> None:
    x = RANDOM.normal(size=ROWS)
    schema = learned(pa.table({"x": x, "y": cities(trained)}))
    assert isinstance(schema.target, ClassificationTarget)
    assert set(schema.target.labels) == set(cities(trained, 4))
    for form in FORMS:
        parts = Encoder(schema).encode(
            open_table(pa.table({"x": x, "y": cities(form)})), target=True
        )
        found = Encoder(schema).decode_classes(np.concatenate([one.batch.y for one in parts]))
        assert found.tolist() == cities(trained)


def test_classes_in_both_forms_are_told() -> None:
    mixed = cities("NFC", ROWS // 2) + cities("NFD", ROWS // 2)
    warnings = learned(pa.table({"x": RANDOM.normal(size=ROWS), "y": mixed})).warnings
    assert any("the Unicode form of accents" in one for one in warnings)


def test_a_column_whose_name_has_another_form_is_explained() -> None:
    table = pa.table({unicodedata.normalize("NFD", "Größe"): [1.0, 2.0], "y": [0.5, 0.7]})
    with pytest.raises(DataError, match="accents have another Unicode form"):
        learn_schema(open_table(table), settings_from({"target": "Größe"}))
