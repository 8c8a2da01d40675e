"""Reading a table in a thread while Python imports the rest."""

from pathlib import Path

import numpy as np
import pytest

from descend.data.prepare import prepare
from descend.errors import DataError, command_line_words
from descend.runtime.early_reading import begin_reading
from descend.settings import Settings


@pytest.fixture
def table(tmp_path: Path) -> Path:
    place = tmp_path / "table.csv"
    rows = [f"{row % 7},{row % 3},{row * 0.5}" for row in range(60)]
    place.write_text("\n".join(["a,b,y", *rows]))
    return place


def test_the_rows_are_those_that_are_read_in_turn(table: Path) -> None:
    settings = Settings(target="y")
    said: list[str] = []
    reading = begin_reading(str(table), settings)
    assert reading is not None
    early, in_turn = reading.prepared(said.append), prepare(str(table), settings, say=said.append)
    assert early.fingerprint == in_turn.fingerprint
    assert early.schema == in_turn.schema
    every = np.arange(len(in_turn.training))
    for one, other in zip(
        early.training.gather(every), in_turn.training.gather(every), strict=True
    ):
        np.testing.assert_equal(one, other)
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_an_error_comes_when_the_rows_are_asked_for_in_the_words_of_the_caller(
    table: Path,
) -> None:
    table.write_text("a,y\n1,\n2,\n")
    with command_line_words():
        reading = begin_reading(str(table), Settings(target="z"))
        with pytest.raises(DataError) as in_turn:
            prepare(str(table), Settings(target="z"))
    assert reading is not None
    with pytest.raises(DataError) as early:
        reading.prepared(lambda _: None)
    assert str(early.value) == str(in_turn.value)


def test_only_a_small_file_of_this_machine_is_read_early(table: Path, tmp_path: Path) -> None:
    settings = Settings(target="y")
    for data in ("SELECT 1", "https://example.org/x.csv", str(tmp_path / "*.csv"), {"y": [1]}, ""):
        assert begin_reading(data, settings) is None
    assert begin_reading(str(table), settings.replace(memory=1 << 30)) is None
    assert begin_reading(str(table), settings.replace(store=str(tmp_path))) is None
