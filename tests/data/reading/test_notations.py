"""Numbers in notations of print are the numbers that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.notations import usual_notation_sql
from descend.data.reading.number_text import COMMA, POINT, number_text_sql
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import NumberColumn
from descend.data.schema.learn import learn_schema
from descend.settings import settings_from

ROWS = 90


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1.2x10^3", 1200.0, 1200.0),
        ("1,2 × 10³", None, 1200.0),
        ("5*10**-2", 0.05, 0.05),
        ("-3·10⁻²", -0.03, -0.03),
        ("4x10^(−2)", 0.04, 0.04),
        ("10½", 10.5, None),
        ("$10½", 10.5, None),
        ("-$ 10½", -10.5, None),
        ("5½%", 5.5, None),
        ("½ €", 0.5, None),
        ("½", 0.5, None),
        ("−2 ¾", -2.75, None),
        ("5,-", None, 5.0),
        ("5.-", 5.0, None),
        ("1.000,-", None, 1000.0),
        ("1'000.--", 1000.0, None),
        ("CHF 12.–", 12.0, None),
        ("5,- €", None, 5.0),
        *(
            (other, None, None)
            for other in (
                "12.-15",
                "1.-3.",
                "15x20",
                "2x10",
                "5-",
                "2x10³ kg",
                "10⁶",
                "1.000.-",
                "1,000,-",
                "10.0.-",
            )
        ),
    ],
)
def test_each_notation(text: str, point: float | None, comma: float | None) -> None:
    with duckdb.connect() as connection:
        for written, expected in ((POINT, point), (COMMA, comma)):
            sql = f"SELECT {number_text_sql('v', written)} FROM (SELECT $1 AS v)"
            (found,) = connection.execute(sql, [text]).fetchall()[0]
            assert found == expected, written


@pytest.mark.parametrize(
    "text",
    [
        "about 10½",
        "½ pint",
        "5½½",
        "x10^3",
        "a,-",
        "red",
        "1.5",
        "10⁶",
        "−10²",
        "2x10³ kg",
        "1.000.-",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    with duckdb.connect() as connection:
        sql = f"SELECT {usual_notation_sql('v')} FROM (SELECT $1 AS v)"
        assert connection.execute(sql, [text]).fetchall() == [(text,)]


def halves(value: int) -> str:
    return f"{value // 2}{'½' if value % 2 else ''}" if value > 1 else "½"


@pytest.mark.parametrize(
    ("write", "factor"),
    [
        (lambda value: f"{value / 1000}x10^3", 1.0),
        (lambda value: f"{value / 1000:.3f} · 10³".replace(".", ","), 1.0),
        (lambda value: f"{value}.-", 1.0),
        (lambda value: f"{value:,},-".replace(",", ".", value > 999), 1.0),
        (halves, 0.5),
    ],
)
def test_a_column_is_learned_as_plain_numbers_are(
    write: Callable[[int], str], factor: float, tmp_path: Path
) -> None:
    values = [(row * 37) % 89 * 50 + 1 for row in range(ROWS)]
    encoded = []
    for name, cells in (
        ("plain", [repr(value * factor) for value in values]),
        ("print", list(map(write, values))),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text("x;y\n" + "".join(f"{cell};{row}\n" for row, cell in enumerate(cells)))
        table = open_table(str(path))
        schema = learn_schema(table, settings_from({"target": "y", "task": "regression"}))
        assert isinstance(schema.columns[0], NumberColumn)
        parts = Encoder(schema).encode(table, target=False)
        encoded.append(np.concatenate([np.asarray(part.batch.x["numeric"]) for part in parts]))
    np.testing.assert_allclose(encoded[1], encoded[0], rtol=1e-6, atol=1e-6)


def test_what_is_told_of_a_cell_quotes_it_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = [f"{row % 9}.-" if row % 2 else f"{row % 9},5" for row in range(ROWS)]
    path.write_text("x;y\n" + "".join(f"{cell};{row}\n" for row, cell in enumerate(cells)))
    settings = settings_from({"target": "y", "task": "regression"})
    (note,) = (one for one in learn_schema(open_table(str(path)), settings).notes if "'x'" in one)
    assert "('1.-', first in data row 2)" in note


def test_the_same_number_is_missing_where_the_user_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = ["0,-" if row % 9 == 0 else f"{row % 70},5" for row in range(ROWS)]
    path.write_text("x;y\n" + "".join(f"{cell};{row}\n" for row, cell in enumerate(cells)))
    settings = settings_from({"target": "y", "task": "regression", "missing": "x=0,-"})
    (column,) = learn_schema(open_table(str(path)), settings).columns
    assert isinstance(column, NumberColumn)
    assert (column.missing > 0, column.minimum > 0) == (True, True)
