"""One table stored in many ways: a value is the same value however it is written.

A model is trained on CSV. Some rows are then stored in another way (another delimiter, quotes,
narrow or wide types, decimals, dictionaries, JSON, Arrow, frames); predictions must be the same.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

import descend
from descend.model import Model

ROWS = 400
WORDS = ["red", "green", "blue", "00501", "a,b", 'say "so"', "é", "x y"]
NUMBER_TYPES = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()),
    *(pa.float32(), pa.float64(), pa.decimal128(10, 2)),
]
Columns = dict[str, list[Any]]


def columns(seed: int = 0) -> Columns:
    """Numbers, codes, text, true and false, dates."""
    dice = np.random.default_rng(seed)
    code = dice.integers(0, 6, ROWS)
    size = dice.integers(1, 100, ROWS)
    price = np.round(dice.normal(50.0, 20.0, ROWS), 2)
    word = dice.integers(0, len(WORDS), ROWS)
    flag = dice.random(ROWS) < 0.5
    day = dice.integers(0, 700, ROWS)
    y = 3.0 * code + 0.1 * size + 0.05 * price + word + 2.0 * flag
    days = np.datetime64("2023-01-01") + day
    return {
        "code": code.tolist(),
        "size": size.tolist(),
        "price": price.tolist(),
        "word": [WORDS[place] for place in word],
        "flag": flag.tolist(),
        "day": [str(one) for one in days],
        "y": y.tolist(),
    }


def csv_text(table: Columns, delimiter: str = ",", end: str = "\n", quoted: bool = False) -> str:
    """The table as CSV."""

    def cell(value: Any) -> str:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        special = quoted or delimiter in text or '"' in text
        return '"' + text.replace('"', '""') + '"' if special else text

    rows = zip(*table.values(), strict=True)
    lines = [delimiter.join(map(cell, table)), *(delimiter.join(map(cell, row)) for row in rows)]
    return end.join(lines) + end


@functools.lru_cache(maxsize=1)
def trained(folder: Path) -> tuple[Model, np.ndarray]:
    """A model of the table, and its predictions."""
    table = columns()
    path = folder / "spelling.csv"
    path.write_text(csv_text(table), encoding="utf-8")
    run = descend.train(
        str(path), target="y", categorical=["code"], model="linear", epochs=3, batch_size=20,
        learning_rate=0.05,
    )  # fmt: skip
    return run.model, run.model.predict(str(path))


def spelled(folder: Path, dice: random.Random) -> None:
    """Store some rows in some way and predict them."""
    model, right = trained(folder.parent)
    chosen = sorted(dice.sample(range(ROWS), dice.randint(1, 40)))
    table = {name: [values[row] for row in chosen] for name, values in columns().items()}
    if dice.random() < 0.5:
        table.pop("y")
    order = list(table)
    dice.shuffle(order)
    table = {name: table[name] for name in order}
    way = dice.choice(WAYS)
    data = way(table, folder, dice)
    found = model.predict(data)
    if not np.allclose(found, right[chosen], rtol=1e-4, atol=1e-4):
        worst = int(np.argmax(np.abs(found - right[chosen])))
        row = {name: values[worst] for name, values in table.items()}
        raise AssertionError(
            f"{way.__name__}: {found[worst]} for {row}, not {right[chosen][worst]}"
        )


def as_csv(table: Columns, folder: Path, dice: random.Random) -> str:
    """CSV with another delimiter, line end, quotes, mark."""
    table = dict(table)
    if dice.random() < 0.4:
        table["code"] = [float(one) for one in table["code"]]
    if dice.random() < 0.4:
        table["size"] = [dice.choice([f"{one}.0", f"{one}.00", f"{one}"]) for one in table["size"]]
    if dice.random() < 0.3:
        table["flag"] = [str(one) for one in table["flag"]]
    text = csv_text(
        table, dice.choice([",", ";", "\t", "|"]), dice.choice(["\n", "\r\n"]), dice.random() < 0.3
    )
    path = folder / "stored.csv"
    path.write_text(text, encoding=dice.choice(["utf-8", "utf-8-sig"]), newline="")
    return str(path)


def typed(table: Columns, dice: random.Random) -> pa.Table:
    """Arrow columns of types drawn at random."""
    arrays = {}
    for name, values in table.items():
        if name in ("code", "size"):
            kind = dice.choice(NUMBER_TYPES)
            exact = pa.types.is_decimal(kind)
            arrays[name] = pa.array([decimal.Decimal(v) for v in values] if exact else values, kind)
        elif name == "day":
            days = [datetime.datetime.fromisoformat(value) for value in values]
            kind = dice.choice([pa.date32(), pa.timestamp("us"), pa.timestamp("s"), pa.string()])
            arrays[name] = pa.array(values if kind == pa.string() else days, kind)
        elif name == "word":
            array = pa.array(values)
            arrays[name] = dice.choice(
                [array, array.dictionary_encode(), array.cast("large_string")]
            )
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def as_parquet(table: Columns, folder: Path, dice: random.Random) -> str:
    """Parquet of other types."""
    pa.parquet.write_table(typed(table, dice), folder / "stored.parquet", compression="zstd")
    return str(folder / "stored.parquet")


def as_arrow(table: Columns, folder: Path, dice: random.Random) -> pa.Table:
    """An Arrow table."""
    return typed(table, dice)


def as_feather(table: Columns, folder: Path, dice: random.Random) -> str:
    """An Arrow file."""
    found = typed(table, dice)
    with pa.ipc.new_file(folder / "stored.arrow", found.schema) as sink:
        sink.write_table(found)
    return str(folder / "stored.arrow")


def as_json(table: Columns, folder: Path, dice: random.Random) -> str:
    """JSON lines."""
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    if dice.random() < 0.4:
        rows = [{**row, "code": float(row["code"])} for row in rows]
    path = folder / "stored.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def as_pandas(table: Columns, folder: Path, dice: random.Random) -> Any:
    """A frame."""
    import pandas as pd

    frame = pd.DataFrame(table)
    if dice.random() < 0.3:
        frame["code"] = frame["code"].astype(dice.choice(["int8", "uint16", "float64", "Int64"]))
    if dice.random() < 0.3:
        frame["word"] = frame["word"].astype("category")
    if dice.random() < 0.3:
        frame["day"] = pd.to_datetime(frame["day"])
    return frame


WAYS: list[Callable[[Columns, Path, random.Random], Any]] = [
    *(as_csv, as_csv, as_parquet, as_parquet, as_arrow, as_feather, as_json, as_pandas),
]
