import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.data import prepare
from descend.data.prepare import Prepared
from descend.data.reading import staging
from descend.data.reading.table import Table
from descend.data.rows import write_store
from descend.data.rows.budget import Budget, divide
from descend.data.rows.layout import Layout
from descend.data.rows.mapped_store import MappedStore
from descend.errors import DataError
from descend.settings import Settings
from descend.training.build import problem_of, resolve_task
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from tests.stored import sorted_rows

ROWS = 3000


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Numbers, words, truth values and dates."""
    random = np.random.default_rng(0)
    lines = ["size,kind,new,day,code,price"]
    for row in range(ROWS):
        size = random.normal()
        kind = random.choice(["red", "green", "", "blue"])
        price = 3 * size + (kind == "red") + random.normal() / 10
        day = f"2024-{row % 12 + 1:02d}-{row % 28 + 1:02d}"
        new = random.choice(["true", "false"])
        lines.append(f"{size:.6f},{kind},{new},{day},{row % 7}.50,{price:.6f}")
    path = tmp_path / "cars.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget in which a few hundred rows are many."""

    def little(memory: int | None) -> Budget:
        return dataclasses.replace(divide(memory), table=20_000, window=30_000, validation=100)

    monkeypatch.setattr(prepare, "keep_to", little)
    monkeypatch.setattr(write_store, "PIECE_BYTES", 3000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "descend" / "stores"


def rows_of(prepared: Prepared) -> list[list[tuple[float, ...]]]:
    """All rows, training and validation apart, in no order."""
    stores = (prepared.training, prepared.validation)
    return [sorted_rows(store.gather(np.arange(len(store)))) for store in stores]


def test_a_table_that_fits_in_memory_leaves_nothing_on_disk(csv: Path, cache: Path) -> None:
    prepared = prepare.prepare(str(csv), Settings("price"))
    assert prepared.layout == Layout(stored=False)
    assert not cache.exists()


def test_a_store_has_the_rows_that_memory_has(csv: Path, tmp_path: Path) -> None:
    in_memory = prepare.prepare(str(csv), Settings("price"))
    stored = prepare.prepare(str(csv), Settings("price", store=str(tmp_path / "kept")))
    assert stored.layout == Layout(stored=True)
    assert rows_of(stored) == rows_of(in_memory)
    assert stored.schema == in_memory.schema


@pytest.mark.slow
def test_a_larger_table_goes_to_a_store_by_itself(
    csv: Path, cache: Path, little_memory: None
) -> None:
    said: list[str] = []
    prepared = prepare.prepare(str(csv), Settings("price"), say=said.append)
    assert prepared.layout.windows is not None
    assert isinstance(prepared.training, MappedStore)
    assert isinstance(prepared.validation, MappedStore)
    assert any(str(cache) in text and "for later runs" in text for text in said)
    settings = resolve_task(Settings("price", batch_size=32, learning_rate=0.05), prepared.schema)
    problem = problem_of(settings, prepared)
    loop, _ = fit(problem.loop_config(32, 0.05, limits=Limits(epochs=4)), problem.begin())
    assert loop.progress.best < 0.1


def test_a_store_is_used_again_without_looking_at_the_table(
    csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings("price", store=str(tmp_path / "kept"))
    first = prepare.prepare(str(csv), settings)

    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(prepare, "learn_schema", refuse)
    monkeypatch.setattr(prepare, "write_store", refuse)
    said: list[str] = []
    second = prepare.prepare(str(csv), settings, say=said.append)
    assert second.schema == first.schema
    assert rows_of(second) == rows_of(first)
    assert any("written earlier from the same data" in text for text in said)
    # A run that goes on has its choices made; they are no other rows.
    decided = settings.replace(task="regression", loss="squared_error")
    prepare.prepare(str(csv), decided, schema=first.schema, layout=first.layout)


@pytest.mark.slow
def test_a_store_is_made_anew_where_the_table_or_the_task_changed(
    csv: Path, tmp_path: Path
) -> None:
    settings = Settings("price", store=str(tmp_path / "kept"))
    prepare.prepare(str(csv), settings)
    csv.write_text(csv.read_text() + "1,red,true,2024-01-01,1.5,4\n")
    said: list[str] = []
    again = prepare.prepare(str(csv), settings, say=said.append)
    assert again.schema.rows.total == ROWS + 1
    assert any("size was" in text and "written again" in text for text in said)
    other = prepare.prepare(str(csv), settings.replace(seed=1))
    assert rows_of(other) != rows_of(again)
    codes = settings.replace(target="code")
    assert prepare.prepare(str(csv), codes).schema.task == "regression"
    classes = prepare.prepare(str(csv), codes.replace(task="classification"))
    assert classes.schema.task == "classification"
    assert prepare.prepare(str(csv), codes).schema.task == "regression"


def test_a_run_goes_on_in_the_layout_it_began_with(
    csv: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare.prepare(str(csv), Settings("price"))
    monkeypatch.setattr(prepare, "keep_to", divide)
    settings = resolve_task(Settings("price"), first.schema)
    again = prepare.prepare(str(csv), settings, schema=first.schema, layout=first.layout)
    assert again.training.windows == first.training.windows
    unchanged = np.arange(len(first.training))
    np.testing.assert_array_equal(
        again.training.gather(unchanged).y, first.training.gather(unchanged).y
    )
    in_memory = prepare.prepare(
        str(csv), settings, schema=first.schema, layout=Layout(stored=False)
    )
    assert not isinstance(in_memory.training, MappedStore)


def test_changed_data_is_refused_before_anything_is_read(csv: Path) -> None:
    def check(now: dict[str, Any]) -> None:
        raise DataError(f"changed: {sorted(now)}")

    with pytest.raises(DataError, match=r"changed: \['data'\]"):
        prepare.prepare(str(csv), Settings("price"), check=check)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1 << 40, 1], ids=["copied in memory", "copied to a file"])
@pytest.mark.parametrize("target", ["price", "kind", "code"])
def test_a_copy_of_the_text_is_learned_and_read_like_the_text(
    csv: Path, tmp_path: Path, memory: int, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(target, categorical=() if target == "code" else ("code",))

    @contextmanager
    def copied(table: Table, settings: Settings, **named: Any) -> Iterator[Table]:
        with staging.stage(table, settings, memory=memory, store=tmp_path / "s") as copy:
            assert copy is not table
            yield copy

    @contextmanager
    def as_text(table: Table, settings: Settings, **named: Any) -> Iterator[Table]:
        yield table

    found = []
    for way in (copied, as_text):
        monkeypatch.setattr(prepare, "stage", way)
        found.append(prepare.prepare(str(csv), settings))
    assert found[0].schema == found[1].schema
    assert rows_of(found[0]) == rows_of(found[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cars.csv"]


def test_validation_rows_of_a_file_of_their_own_go_to_the_store_too(
    csv: Path, tmp_path: Path
) -> None:
    validation = tmp_path / "validation.csv"
    validation.write_text("\n".join(csv.read_text().splitlines()[:101]) + "\n")
    settings = Settings("price", validation=str(validation), store=str(tmp_path / "kept"))
    prepared = prepare.prepare(str(csv), settings)
    assert (len(prepared.training), len(prepared.validation)) == (ROWS, 100)
    assert sorted(prepared.fingerprint) == ["data", "validation"]


def test_arrays_can_have_a_store(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(500, 3))
    settings = Settings("y", store=str(tmp_path / "kept"))
    said: list[str] = []
    for _ in range(2):
        prepared = prepare.prepare((X, X @ [1.0, 2.0, 3.0]), settings, say=said.append)
    assert len(prepared.training) + len(prepared.validation) == 500
    assert ["for later" in text for text in said] == [True, False]


def test_validation_rows_unlike_those_of_training_are_told(tmp_path: Path) -> None:
    """A file of other spellings gives figures that say nothing about the model."""
    path, other = tmp_path / "t.csv", tmp_path / "v.csv"
    path.write_text("a,k,y\n" + "".join(f"{r % 90 + 0.5},{'ab'[r % 2]},{r}\n" for r in range(200)))
    other.write_text("a;k;y\n" + "".join(f"{r % 9 + 1},125;{'AB'[r % 2]};{r}\n" for r in range(20)))
    said: list[str] = []
    settings = Settings(target="y", task="regression", validation=str(other))
    prepare.prepare(path, settings, say=said.append)
    told = [one for one in said if one.startswith("Warning: ")]
    assert len(told) == 2
    assert "v.csv (the validation rows): In column 'a'" in told[0]
    assert "the first is 1125" in told[0]
    assert "hardly ever saw 20 of 20 values" in told[1]
    kept = settings.replace(store=str(tmp_path / "kept"))
    for _ in range(2):  # From rows that are kept too.
        said.clear()
        prepare.prepare(path, kept, say=said.append)
        assert [one for one in said if one.startswith("Warning: ")] == told
    assert "written earlier" in said[0]
    said.clear()
    prepare.prepare(path, settings.replace(validation=str(path)), say=said.append)
    assert not any(one.startswith("Warning: ") for one in said)
