"""Records, models and settings that are well formed and mean something else: types swapped, keys
lost, lists longer or shorter; their checksums are right again afterwards.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from descend.choices import OPTIMIZERS
from descend.cli.gather import gather_settings
from descend.commands.inspect import describe_model, inspect
from descend.commands.report import report
from descend.commands.resume import resume
from descend.data.rows.mapped_store import open_store
from descend.data.rows.store_header import _checksum
from descend.io.checksum import seal_of
from descend.io.tensors import Arrays, load_tensors, save_tensors
from descend.model import load
from descend.reporting.progress import make_progress
from descend.reporting.text.records import inspection_text
from descend.runtime.run import Options
from descend.settings import Settings

Damage = Callable[[Path, random.Random], None]

ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 10**6, 10**18, 10**30, -(2**63), 0.5, -0.5, 1e-320, 1e308),
    *("", "x", "auto", "mlp", "\0", "\x1b[31m", "é" * 300, "0.1", "1", "SELECT 1", "../up"),
    *([], {}, [[]], [None], [1, 2, 3], ["a"], {"a": 1}, {"": {}}, [0.1, "x", None]),
]
BIKE = Path(__file__).parents[1] / "examples" / "data" / "bike_sharing.csv"
SETTING_WORDS = [*OPTIMIZERS, "linear", "mlp", "cosine", "one-cycle", "huber", "poisson", "all"]


def changed(value: Any, dice: random.Random) -> Any:
    """The value with one to three places changed."""
    value = copy.deepcopy(value)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        place, key = _place(value, dice)
        if place is None:
            return dice.choice(ODD)
        _change(place, key, dice)
    return value


def _place(value: Any, dice: random.Random) -> tuple[Any, Any]:
    """A container inside a value, each depth as likely, and a key of it."""
    place: Any = None
    key: Any = None
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        place, key = value, dice.choice(keys)
        value = value[key]
        if dice.random() < 0.25:
            break
    return place, key


def _change(place: Any, key: Any, dice: random.Random) -> None:
    match dice.choice(["odd", "odd", "odd", "gone", "wrapped", "longer", "sibling", "text"]):
        case "odd":
            place[key] = copy.deepcopy(dice.choice(ODD))
        case "gone":
            del place[key]
        case "wrapped":
            place[key] = dice.choice([[place[key]], {"value": place[key]}])
        case "longer" if isinstance(place[key], list):
            place[key] = dice.choice([place[key] * 2, place[key][:-1], place[key][1:]])
        case "sibling":
            others = list(place.values()) if isinstance(place, dict) else place
            place[key] = copy.deepcopy(dice.choice(others))
        case _:
            place[key] = str(place[key])


def damaged_record(path: Path, dice: random.Random) -> None:
    """A record; where it has a checksum, it is right."""
    record = changed(json.loads(path.read_bytes()), dice)
    if isinstance(record, dict) and "seal" in record:
        record["seal"] = seal_of(record)
    path.write_text(json.dumps(record))


def damaged_header(path: Path, dice: random.Random) -> None:
    """The header of a row store."""
    record = json.loads(path.read_bytes())
    record.pop("checksum")
    record = changed(record, dice)
    if isinstance(record, dict):
        record["checksum"] = _checksum(record)
    path.write_text(json.dumps(record))


def damaged_tensors(path: Path, dice: random.Random) -> None:
    """A model or a checkpoint: what it says of itself, or its arrays."""
    kind = "model" if path.name == "model.safetensors" else "checkpoint"
    arrays, description = load_tensors(path, kind)
    if dice.random() < 0.3:
        arrays = _other_arrays(arrays, dice)
    else:
        description = changed(description, dice)
    save_tensors(path, kind, arrays, description)


def _other_arrays(arrays: Arrays, dice: random.Random) -> Arrays:
    found = dict(arrays)
    name = dice.choice(list(found))
    value = found[name]
    match dice.choice(["gone", "shape", "type", "nan", "name", "more", "none"]):
        case "gone":
            del found[name]
        case "shape":
            found[name] = np.resize(value, dice.choice([(), (0,), (3, 3), (1, *value.shape)]))
        case "type":
            found[name] = value.astype(dice.choice([np.float64, np.int32, np.bool_, np.float16]))
        case "nan":
            found[name] = np.full_like(value, np.nan) if value.dtype.kind == "f" else value
        case "name":
            found[dice.choice(["layers/9/kernel", "x", "layers", "/", "kernel/a"])] = value
        case "more":
            found[f"{name}/0"] = value
        case _:
            found = {}
    return found


def damaged_history(path: Path, dice: random.Random) -> None:
    """history.csv with other cells."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for _ in range(dice.choice([1, 1, 3])):
        line = dice.choice(lines)
        odd = ["", "nan", "inf", "-inf", "1e999", "-1", "x", "1.5", "9" * 30, "1e308", "0", "1,2"]
        line[dice.randrange(len(line))] = dice.choice(odd)
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def damaged_settings(path: Path, dice: random.Random) -> None:
    """Settings with odd values, as JSON: a file of TOML holds the same."""
    settings = {"target": "cnt", **Settings("cnt").as_json()}
    for _ in range(dice.choice([1, 2, 4])):
        name = dice.choice([*settings, "out", "bactch-size", "a b"])
        settings[name] = dice.choice([*ODD, *SETTING_WORDS])
    path.write_text("".join(map(_toml_line, settings.items())))


def _toml_line(item: tuple[str, Any]) -> str:
    name, value = item
    return "" if value is None else f"{json.dumps(name)} = {_toml(value)}\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return "0" if value is None else json.dumps(value)


def read_run(folder: Path, path: Path) -> None:
    """Everything that reads run.json without its data."""
    run = path.parent
    inspection_text(inspect(str(run), None, exclude=(), categorical=()))
    gather_settings({}, None, run)
    report([run])


def read_model(folder: Path, path: Path) -> None:
    """What a model says of itself, and predictions."""
    model = load(path)
    describe_model(model)
    inspection_text(inspect(str(path), None, exclude=(), categorical=()))
    table = folder.parent / "seeds" / "small" / "small.csv"
    values = model.predict(str(table))
    assert len(values) == 60


def read_store(folder: Path, path: Path) -> None:
    """What a store says of itself, and its rows."""
    inspection_text(inspect(str(folder), None, exclude=(), categorical=()))
    for store in open_store(folder):
        store.resident()


def read_settings(folder: Path, path: Path) -> None:
    """Settings from a file."""
    gather_settings({}, path, None)


def go_on(folder: Path, path: Path) -> None:
    """A run that goes on, from whatever it was made."""
    run = path.parent if path.name == "run.json" else path.parent.parent
    resume(run, Options(make_progress("silent")))
