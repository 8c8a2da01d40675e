"""What the fuzzer damages, what reads it, and what the right answer is."""

from __future__ import annotations

import csv
import functools
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import descend
from benchmarks import fuzz_records as records
from benchmarks import fuzz_spelling as spelling
from benchmarks.mutations import BINARY, TABLE, TEXT, Mutation, mutated
from descend.cli.gather import gather_settings
from descend.commands.inspect import inspect
from descend.commands.report import report
from descend.commands.resume import resume
from descend.data.rows.mapped_store import open_store
from descend.data.rows.store_header import HEADER
from descend.io.tensors import load_tensors
from descend.model import Model, load
from descend.reporting.progress import make_progress
from descend.reporting.text.records import inspection_text
from descend.runs.checkpoint import SLOTS
from descend.runs.folder import read_run_record
from descend.runs.history import read_history
from descend.runtime.run import Options
from descend.settings import settings_from

BIKE = Path(__file__).parents[1] / "examples" / "data" / "bike_sharing.csv"
OLDER = Path(__file__).parents[1] / "tests" / "fixtures" / "version_0_1"
ROWS = 200
OPTIONS = ["--target", "cnt", "--exclude", "instant,casual,registered"]
FAST = ["--model", "linear", "--batch-size", "60", "--learning-rate", "0.01", "--epochs", "12"]
TOML = """target = "cnt"
exclude = ["instant", "casual"]
batch-size = 32
learning-rate = 0.05
hidden = [8, 4]
epochs = 3
schedule = "cosine"
time-budget = "10m"
validation = 0.2
"""


class WrongAnswerError(Exception):
    """An answer that is not the right one."""


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: of the kind.
        share: how often it is tried.
        ways: to damage it.
        files: those that are damaged, in a folder copied from that seed.
        read: reads the folder, one file of which was damaged; raises WrongAnswerError.
        seed: the folder of whole files.
        damage: damages a file in another way than by `ways`; None uses those.
    """

    name: str
    share: float
    ways: list[Mutation]
    files: list[str]
    read: Callable[[Path, Path], None]
    seed: str
    damage: records.Damage | None = None

    def damaged(self, path: Path, dice: random.Random) -> None:
        """Damage one of the files."""
        if self.damage is not None:
            self.damage(path, dice)
        else:
            path.write_bytes(mutated(path.read_bytes(), self.ways, dice))

    def restore(self, folder: Path) -> None:
        """Make the files whole again."""
        shutil.rmtree(folder)
        shutil.copytree(folder.parent / "seeds" / self.seed, folder)


def make_seeds(folder: Path) -> None:
    """Whole files of every kind, made from the first rows of a real table."""
    tables = folder / "tables"
    tables.mkdir(parents=True)
    text = "".join(BIKE.read_text().splitlines(keepends=True)[: ROWS + 1])
    (tables / "plain.csv").write_text(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    words = ["a,b", 'say "so"', "two\nlines", "", "plain", "é", "12", "NULL"]
    with (tables / "quoted.csv").open("w", newline="") as sink:
        writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["note", "mnth", "day, first", "cnt"])
        writer.writerows(
            [words[place % 8], row["mnth"], row["dteday"], row["cnt"]]
            for place, row in enumerate(rows)
        )
    typed = [{k: v if k == "dteday" else float(v) for k, v in row.items()} for row in rows]
    (tables / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in typed))
    frame = pa.Table.from_pylist(typed)
    pa.parquet.write_table(frame, tables / "plain.parquet")
    pa.parquet.write_table(frame, tables / "small.parquet", row_group_size=50, compression="zstd")
    small = folder / "small"
    small.mkdir()
    (small / "small.csv").write_text("".join(text.splitlines(keepends=True)[:61]))
    for name in ("compare", "landscape", "advice"):
        place = folder / "records" / name
        place.mkdir(parents=True)
        shutil.copy(OLDER / f"{name}.json", place)
    (folder / "config").mkdir()
    (folder / "config" / "options.toml").write_text(TOML)
    train = [sys.executable, "-m", "descend", "train", str(tables / "plain.csv"), *OPTIONS]
    run, store = folder / "run" / "run", folder / "store" / "kept"
    more = ["--out", str(run), "--store", str(store), "--quiet"]
    subprocess.run([*train, *FAST, *more], check=True, capture_output=True)
    (run / "report.html").unlink()
    for entry in next(store.glob("[!.]*")).iterdir():
        shutil.move(entry, folder / "store" / entry.name)
    shutil.rmtree(store)
    one_of_memory = folder / "resume" / "run"
    subprocess.run(
        [*train, *FAST, "--out", str(one_of_memory), "--quiet"], check=True, capture_output=True
    )


def _table(folder: Path, path: Path) -> None:
    target = "cnt" if path.stat().st_size % 3 else None
    record = inspect(str(path), target, exclude=(), categorical=())
    inspection_text(record)
    _compare_rows(path, record["rows"]["total"])


def _predict(folder: Path, path: Path) -> None:
    values = _model(folder).predict(str(path))
    if not np.isfinite(values).all():
        raise WrongAnswerError("predictions that are not finite")
    _compare_rows(path, len(values))
    right, rows = _predictions(folder), _records(path)
    if rows[:1] == [right[()][1]] and len(rows) == len(values) + 1:
        for row, value in zip(rows[1:], values, strict=True):
            # A row that was not damaged is predicted as before.
            if tuple(row) in right and not np.isclose(value, right[tuple(row)][0], rtol=1e-4):
                raise WrongAnswerError(f"{value} for {row}, not {right[tuple(row)][0]}")


def _records(path: Path) -> list[list[str]]:
    """The records that Python's own reader finds; none where it finds no CSV."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        return []


@functools.lru_cache(maxsize=1)
def _predictions(folder: Path) -> dict[tuple[str, ...], tuple[float, list[str]]]:
    """The prediction of each row of the whole table; the header under ()."""
    path = folder.parent / "seeds" / "tables" / "plain.csv"
    header, *rows = _records(path)
    values = _model(folder).predict(str(path)).tolist()
    return {(): (0.0, header)} | {
        tuple(row): (value, row) for row, value in zip(rows, values, strict=True)
    }


@functools.lru_cache(maxsize=1)
def _model(folder: Path) -> Model:
    return load(folder.parent / "seeds" / "run" / "run" / "model.safetensors")


def _train(folder: Path, path: Path) -> None:
    settings = {"target": "cnt", "epochs": 1, "model": "linear", "batch_size": "all"}
    run = descend.train(str(path), learning_rate=0.01, **settings)
    rows = run.record["data"]["rows"]
    _compare_rows(path, rows["total"])
    if rows["training"] + rows["validation"] + rows["missing_target"] != rows["total"]:
        raise WrongAnswerError(f"rows do not add up: {rows}")


def _compare_rows(path: Path, rows: int) -> None:
    expected = _independent_rows(path)
    if expected is not None and rows not in expected:
        raise WrongAnswerError(f"{rows} rows, expected {sorted(expected)}")


def _independent_rows(path: Path) -> set[int] | None:
    """The rows another reader finds, or None where it cannot read the file."""
    if path.suffix == ".parquet":
        try:
            return {pa.parquet.ParquetFile(path).metadata.num_rows}
        except (pa.ArrowException, OSError):
            return None
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if path.suffix == ".jsonl":
        return {sum(1 for line in text.split("\n") if line.strip())}
    records = len(_records(path))
    return {records, records - 1} if records else None


def _load_model(folder: Path, path: Path) -> None:
    """A file that loads at all is the one that was saved: the checksum covers everything."""
    seed = folder.parent / "seeds" / "run" / path.relative_to(folder)
    kind = "model" if path.name == "model.safetensors" else "checkpoint"
    arrays, description = load_tensors(path, kind)
    if kind == "model":
        load(path)
    whole, said = load_tensors(seed, kind)
    same = arrays.keys() == whole.keys() and description == said
    if not same or any(arrays[name].tobytes() != whole[name].tobytes() for name in whole):
        raise WrongAnswerError("another content was loaded")


def _record(folder: Path, path: Path) -> None:
    record = read_run_record(folder / "run")
    settings_from(record["settings"])
    inspection_text(inspect(str(folder / "run"), None, exclude=(), categorical=()))


def _history(folder: Path, path: Path) -> None:
    read_history(folder / "run")


def _config(folder: Path, path: Path) -> None:
    gather_settings({}, path, None)


def _store(folder: Path, path: Path) -> None:
    inspect(str(folder), None, exclude=(), categorical=())
    seed = folder.parent / "seeds" / "store"
    for store, whole in zip(open_store(folder), open_store(seed), strict=True):
        rows, right = store.resident(), whole.resident()
        same = all(rows.x[name].tobytes() == right.x[name].tobytes() for name in right.x)
        if not same or rows.y.tobytes() != right.y.tobytes():
            raise WrongAnswerError("other rows were read")


def _resume(folder: Path, path: Path) -> None:
    resume(folder / "run", Options(make_progress("silent")))
    name = Path("run") / "model.safetensors"
    whole = (folder.parent / "seeds" / "resume" / name).read_bytes()
    if (folder / name).read_bytes() != whole:
        raise WrongAnswerError("the run ended with another model")


def _edited(
    kind: str,
    share: float,
    file: str,
    read: Callable[[Path, Path], None],
    seed: str,
    damage: records.Damage,
) -> Target:
    return Target(f"{kind}, edited", share, [], [file], read, seed, damage)


def _report(folder: Path, path: Path) -> None:
    report([path.parent])


def _stored(path: Path, dice: random.Random) -> None:
    """The table stored in another way, and predicted; what is wrong is kept for the reader."""
    try:
        spelling.spelled(path.parent, dice)
    except AssertionError as error:
        path.with_suffix(".wrong").write_text(str(error))


def _spelled(folder: Path, path: Path) -> None:
    wrong = path.with_suffix(".wrong")
    if wrong.exists():
        raise WrongAnswerError(wrong.read_text())


CHECKPOINTS = [f"run/checkpoint/{slot}" for slot in SLOTS]
STORE = ["header.json", "header.json", "checksums"]
STORE += [
    f"{part}.{of}" for part in ("training", "validation") for of in ("numeric", "y", "weight")
]
EDITED = [
    ("run.json", 30, "run/run.json", records.read_run, "run", records.damaged_record),
    ("history.csv", 6, "run/history.csv", _report, "run", records.damaged_history),
    *(
        (f"{name}.json", 12, f"{name}/{name}.json", _report, "records", records.damaged_record)
        for name in ("compare", "landscape", "advice")
    ),
    ("model", 24, "run/model.safetensors", records.read_model, "run", records.damaged_tensors),
    ("store", 12, HEADER, records.read_store, "store", records.damaged_header),
    ("settings", 24, "options.toml", records.read_settings, "config", records.damaged_settings),
    ("resume", 2, "run/run.json", records.go_on, "resume", records.damaged_record),
    ("checkpoint", 3, CHECKPOINTS[0], records.go_on, "resume", records.damaged_tensors),
]
TARGETS = [
    Target("csv", 24, TABLE, ["plain.csv", "quoted.csv"], _table, "tables"),
    Target("csv predict", 8, TABLE, ["plain.csv"], _predict, "tables"),
    Target("csv train", 1, TABLE, ["small.csv"], _train, "small"),
    Target("json lines", 8, TEXT, ["lines.jsonl"], _table, "tables"),
    Target("parquet", 16, BINARY, ["plain.parquet", "small.parquet"], _table, "tables"),
    Target("model", 12, BINARY, ["run/model.safetensors"], _load_model, "run"),
    Target("checkpoint", 12, BINARY, CHECKPOINTS, _load_model, "run"),
    Target("run.json", 8, TEXT, ["run/run.json"], _record, "run"),
    Target("history.csv", 6, TEXT, ["run/history.csv"], _history, "run"),
    Target("config", 8, TEXT, ["options.toml"], _config, "config"),
    Target("store", 10, BINARY, STORE, _store, "store"),
    Target("resume", 1, BINARY, ["run/run.json", *CHECKPOINTS], _resume, "resume"),
    *(_edited(*one) for one in EDITED),
    Target("spelling", 20, [], ["plain.csv"], _spelled, "tables", _stored),
]
