"""Numbers whose unit is another than in training: the user is told."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import schema_from_json
from descend.data.schema.learn import learn_schema
from descend.settings import Settings

ROWS = 60
X = np.linspace(1, 90, ROWS).round(1)
Y = np.arange(ROWS) % 7 + 0.5


def told(trained: list[object], asked: list[object]) -> list[str]:
    schema = learn_schema(
        open_table(pa.table({"x": trained, "y": Y})), Settings(target="y", task="regression")
    )
    schema = schema_from_json(schema.as_json())
    unseen = UnseenValues(schema)
    for _ in Encoder(schema).encode(
        open_table(pa.table({"x": asked})), target=False, unseen=unseen
    ):
        pass
    return unseen.sentences()


PLAIN: list[object] = X.tolist()
PERCENT: list[object] = [f"{x}%" for x in X]
EUROS: list[object] = [f"€ {x}" for x in X]
DOLLARS: list[object] = [f"${x}" for x in X]
TEXT: list[object] = [str(x) for x in X]
HALF: list[object] = [f"{x}%" if place % 2 else str(x) for place, x in enumerate(X)]


@pytest.mark.parametrize(
    ("trained", "asked", "found"),
    [
        (PERCENT, PLAIN, "in % in training and are without % here"),
        (PERCENT, TEXT, "in % in training and are without % here"),
        (TEXT, PERCENT, "without % in training and are in % here"),
        (PERCENT, HALF, "in % in training and are in % in some cells here"),
        (EUROS, DOLLARS, "in € in training and are in $ here"),
        (PERCENT, DOLLARS, "in % in training and are in $ here"),
    ],
)
def test_another_unit_is_told(trained: list[object], asked: list[object], found: str) -> None:
    (sentence,) = told(trained, asked)
    assert found in sentence


@pytest.mark.parametrize(
    ("trained", "asked"),
    [(PERCENT, PERCENT), (EUROS, EUROS), (EUROS, PLAIN), (TEXT, DOLLARS), (PLAIN, TEXT)],
)
def test_the_same_unit_or_none_is_not(trained: list[object], asked: list[object]) -> None:
    assert told(trained, asked) == []


LOCAL = [f"2024-03-{1 + place % 28:02d} {place % 24:02d}:30:00" for place in range(ROWS)]
OFFSET = [f"{one}+02:00" for one in LOCAL]
MOMENTS = pa.array(LOCAL).cast(pa.timestamp("us"))
INSTANTS = MOMENTS.cast(pa.timestamp("us", tz="UTC"))
CLOCKS = [f"{1 + place % 28:02d}/03/2024 {1 + place % 12}:30 PM" for place in range(ROWS)]


@pytest.mark.parametrize(
    ("trained", "asked", "found"),
    [
        (LOCAL, OFFSET, "without a time zone in training and are written with one here"),
        (OFFSET, LOCAL, "with a time zone in training and are written without here"),
        (INSTANTS, MOMENTS, "with a time zone in training and are written without here"),
        (MOMENTS, OFFSET, "without a time zone in training and are written with one here"),
        (CLOCKS, INSTANTS, None),
    ],
)
def test_times_with_a_zone_and_without_are_told_apart(
    trained: list[object], asked: list[object], found: str | None
) -> None:
    said = [one for one in told(trained, asked) if "time zone" in one]
    assert len(said) == 1
    assert found is None or found in said[0]


@pytest.mark.parametrize(
    ("trained", "asked"),
    [
        (LOCAL, MOMENTS),
        (OFFSET, INSTANTS),
        (OFFSET, [f"{one}Z" for one in LOCAL]),
        (MOMENTS, [one[:10] for one in LOCAL]),
        ([one[:10] for one in LOCAL], OFFSET),
        (CLOCKS, CLOCKS),
    ],
)
def test_times_of_one_kind_are_not_told(trained: list[object], asked: list[object]) -> None:
    assert not [one for one in told(trained, asked) if "time zone" in one]


@pytest.mark.parametrize("trained", [PLAIN, PERCENT])
@pytest.mark.parametrize("asked", [PLAIN, PERCENT])
def test_another_unit_of_the_target_is_told(trained: list[object], asked: list[object]) -> None:
    options = Settings(target="y", task="regression")
    schema = learn_schema(open_table(pa.table({"x": Y, "y": trained})), options)
    schema = schema_from_json(schema.as_json())
    unseen = UnseenValues(schema)
    table = open_table(pa.table({"x": Y, "y": asked}))
    for _ in Encoder(schema).encode(table, target=True, unseen=unseen):
        pass
    found = unseen.sentences()
    assert len(found) == (trained is not asked)
    assert all("The numbers of the target 'y' were" in one for one in found)


@pytest.mark.parametrize("turned", [False, True])
def test_times_of_a_log_have_a_comma_before_the_fraction(turned: bool) -> None:
    pointed = [
        f"2024-03-{1 + row % 28:02d} {row % 24:02d}:30:0{row % 7}.{row:03d}" for row in range(ROWS)
    ]
    commas = [one.replace(".", ",") for one in pointed]
    trained, asked = (commas, pointed) if turned else (pointed, commas)
    learned = open_table(pa.table({"x": trained, "y": Y}))
    schema = learn_schema(learned, Settings(target="y", task="regression"))
    assert schema.columns[0].kind == "datetime"
    values = [
        np.concatenate(
            [
                part.batch.x["numeric"]
                for part in Encoder(schema).encode(open_table(pa.table({"x": cells})), target=False)
            ]
        )
        for cells in (trained, asked)
    ]
    np.testing.assert_array_equal(*values)
