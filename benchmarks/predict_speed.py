"""How many rows a second does `descend predict` do? Flights, Parquet to Parquet, raw rows.

The whole call counts: reading, encoding, the network, writing. Compiling does not: one call goes
before. Copying the columns that the model needs from Parquet to Parquet with DuckDB, in the same
turns, shows what reading and writing alone cost.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Candidate
from benchmarks.problems import TASKS, find_table

ROWS_A_SECOND = 300_000
DESCEND, COPY = "descend predict", "DuckDB, copying the columns"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks predict_speed", description=__doc__)
    parser.add_argument("--tables", type=Path, help="a folder that has flights.parquet")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    import duckdb
    import pyarrow.parquet

    import descend

    task = TASKS["flights"]
    path = find_table(task.table, options.tables)
    if path is None:
        print("predict_speed: left out, no table flights (name its folder with --tables)")
        return
    rows = pyarrow.parquet.read_metadata(path).num_rows
    run = descend.train(str(path), target=task.target, exclude=list(task.exclude), epochs=1)
    left_out = ", ".join((*task.exclude, task.target))
    with tempfile.TemporaryDirectory() as folder:
        copy = (
            f"COPY (SELECT * EXCLUDE ({left_out}) FROM '{path}') "
            f"TO '{folder}/copy.parquet' (FORMAT parquet)"
        )
        written = f"{folder}/predicted.parquet"
        candidates = [
            Candidate(DESCEND, lambda: descend.predict(run.model, str(path), written)),
            Candidate(COPY, lambda: duckdb.sql(copy)),
        ]
        seconds = measure.seconds_each(candidates, options.repeats)
    speeds = {name: measure.spread([rows / s for s in each]) for name, each in seconds.items()}
    missed = "" if speeds[DESCEND].median >= ROWS_A_SECOND else ": MISSED"
    lines = [
        [name, f"{speed.median:,.0f} ({speed.low:,.0f} to {speed.high:,.0f})",
         f"{ROWS_A_SECOND:,}{missed}" if name == DESCEND else ""]
        for name, speed in speeds.items()
    ]  # fmt: skip
    text = "Predicting on flights, Parquet to Parquet:\n\n" + measure.table(
        ["who", "rows a second", "at least"], lines
    )
    facts = {"rows": rows, "rows_a_second": {name: s.as_json() for name, s in speeds.items()}}
    measure.record("predict_speed", text, facts, save=not options.no_save)


if __name__ == "__main__":
    main()
