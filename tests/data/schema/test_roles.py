"""A column has one role: target, weight or input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.data.schema.roles import target_names
from descend.errors import DataError
from descend.settings import settings_from

FRAME = pd.DataFrame(
    {
        "x": [row * 7 % 13 for row in range(60)],
        "w": [row % 3 + 1 for row in range(60)],
        "y": [row % 5 for row in range(60)],
        "a, b": [row % 4 + 0.5 for row in range(60)],
        'the "c"': [row % 7 + 0.5 for row in range(60)],
    }
)


def tables(folder: Path) -> list[Any]:
    FRAME.to_csv(folder / "t.csv", index=False)
    FRAME.to_parquet(folder / "t.parquet")
    return [FRAME, str(folder / "t.csv"), str(folder / "t.parquet")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"exclude": ["y"]}, "'y' is the target and is excluded"),
        ({"exclude": ["w"], "weight": "w"}, "'w' is the weight and is excluded"),
        ({"weight": "y"}, "'y' is the target and the weight"),
        ({"categorical": ["y"]}, "task='classification' for classes"),
        ({"numeric": ["y"]}, "task='regression' for numbers"),
        ({"datetime": ["y"]}, "datetime=\\['y'\\] is for inputs"),
        ({"categorical": ["w"], "weight": "w"}, "expected a column of numbers"),
        ({"target": "y,x", "exclude": ["x"], "task": "regression"}, "'x' is the target and is"),
    ],
)
def test_a_second_role_is_an_error(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    for data in tables(tmp_path):
        with pytest.raises(DataError, match=expected):
            learn_schema(open_table(data), settings_from({"target": "y", **options}))


def test_a_weight_may_be_said_to_be_numbers(tmp_path: Path) -> None:
    for data in tables(tmp_path):
        settings = settings_from({"target": "y", "weight": "w", "numeric": ["w"]})
        assert learn_schema(open_table(data), settings).weight == "w"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("a, b", ("a, b",)),
        ('"a, b"', ("a, b",)),
        ('"a, b",y', ("a, b", "y")),
        (["a, b", "y"], ("a, b", "y")),
        (["y", 'the "c"'], ("y", 'the "c"')),
        ('the "c"', ('the "c"',)),
        ("y,x", ("y", "x")),
    ],
)
def test_targets_with_commas_and_quotes_in_their_names(
    tmp_path: Path, target: Any, names: tuple[str, ...]
) -> None:
    settings = settings_from({"target": target, "task": "regression"})
    for data in tables(tmp_path):
        table = open_table(data)
        assert target_names(table, settings) == names
        assert learn_schema(table, settings).target.names == names
