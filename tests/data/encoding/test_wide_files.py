"""A wide CSV file is encoded from a copy by Arrow as DuckDB would read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading import table_copies
from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.staging import in_memory
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import settings_from

CELLS = (
    ("1", "-2.5", "0.5", "12", "7.25"),
    ("red", "green", "", "red", "blue"),
    ("1.5", "", "NA", "2", "3"),
    ("2024-01-31", "2024-02-01", "", "2024-02-03", "2024-03-04"),
    ("01", "02", "03", "01", "02"),
    ("3", "1", "2", "1", "3"),
)
SETTINGS = settings_from({"target": "c0", "categorical": ["c5"], "missing": ["-999"]})


def write(path: Path, rows: int, **last: str) -> str:
    """A file in which the cells of a line more are those of the first one, but for some columns."""
    names = [f"c{place}" for place in range(NARROW + 20)]
    lines = [
        [of[(row * (1 + place // len(CELLS))) % len(of)] for place, of in enumerate(cells(names))]
        for row in range(rows)
    ]
    lines.append([last.get(name, cell) for name, cell in zip(names, lines[0], strict=True)])
    path.write_text("\n".join(",".join(line) for line in [names, *lines]) + "\n")
    return str(path)


def cells(names: list[str]) -> list[tuple[str, ...]]:
    return [CELLS[place % len(CELLS)] for place in range(len(names))]


def encoded(encoder: Encoder, path: str, *, target: bool, keep: Any) -> Any:
    unseen = UnseenValues(encoder.schema)
    parts = encoder.encode(open_table(path), target=target, unseen=unseen, keep=keep)
    try:
        found = list(parts)
    except DataError as error:
        return str(error)
    arrays = [
        np.concatenate([one.batch.x[name] for one in found]).tolist()
        for name in ("numeric", "category")
    ]
    y = np.concatenate([one.batch.y for one in found]).tolist()
    kept = [one.kept.to_pydict() for one in found if one.kept is not None]
    return arrays, y, kept, unseen.sentences()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    path = write(tmp_path_factory.mktemp("learned") / "t.csv", 30)
    with in_memory(open_table(path), SETTINGS) as table:
        return Encoder(learn_schema(table, SETTINGS))


ODD = {"c6": "007", "c12": "-999", "c18": "n/a", "c7": "violet", "c5": "3.0", "c4": "1"}
REFUSED = ({"c6": '"1,5"'}, {"c12": "many"}, {"c9": "never"}, {"c18": "1e999"})


@pytest.mark.slow
@pytest.mark.parametrize("last", [{}, ODD, {"c0": "?"}, *REFUSED], ids=str)
def test_arrow_and_duckdb_encode_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder, last: dict[str, str]
) -> None:
    path = write(tmp_path / "new.csv", 130, **last)
    asked: list[tuple[bool, Any]] = [(False, ["c1", "c6"]), (True, ())]
    found = [encoded(encoder, path, target=target, keep=keep) for target, keep in asked]
    monkeypatch.setattr(table_copies, "wide_copy", lambda *given: None)
    assert found == [encoded(encoder, path, target=target, keep=keep) for target, keep in asked]
    assert isinstance(found[0], str) == (last in REFUSED)
