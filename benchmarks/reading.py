"""How long from a CSV file to rows that training can address? Against DuckDB's CSV to Parquet.

`descend` reads the file to learn the schema and again to convert the rows; DuckDB's copy reads it
once and writes compressed columns. Both work on the same file, flights written as CSV.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Contestant
from benchmarks.problems import TASKS, find_table

DESCEND, DUCKDB = "descend, CSV to rows", "DuckDB, CSV to Parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks reading", description=__doc__)
    parser.add_argument("--tables", type=Path, help="a folder that has flights.parquet")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    import duckdb

    from descend.data.prepare import prepare
    from descend.settings import Settings

    task = TASKS["flights"]
    path = find_table(task.table, options.tables)
    if path is None:
        print("reading: left out, no table flights (name its folder with --tables)")
        return
    settings = Settings(target=task.target, exclude=task.exclude)
    with tempfile.TemporaryDirectory() as folder:
        csv = f"{folder}/flights.csv"
        duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{csv}'")
        size = Path(csv).stat().st_size
        copy = f"COPY (SELECT * FROM '{csv}') TO '{folder}/copy.parquet' (FORMAT parquet)"
        contestants = [
            Contestant(DESCEND, lambda: prepare(csv, settings).training),
            Contestant(DUCKDB, lambda: duckdb.sql(copy)),
        ]
        seconds = measure.seconds_each(contestants, options.repeats)
    against = measure.ratio(seconds[DESCEND], seconds[DUCKDB])
    rows = [[name, measure.spread(each)] for name, each in seconds.items()]
    text = (
        f"Reading flights.csv, {size / 1e6:.0f} MB:\n\n"
        + measure.table(["who", "seconds"], rows)
        + f"\n\ndescend / DuckDB: {against}"
    )
    facts = {
        "bytes": size,
        "seconds": {name: measure.spread(each).as_json() for name, each in seconds.items()},
        "over_duckdb": against.as_json(),
    }
    measure.record("reading", text, facts, save=not options.no_save)


if __name__ == "__main__":
    main()
