"""How long from a CSV file to rows that training can address? Against DuckDB's CSV to Parquet.

`descend` reads the file, learns the schema and converts the rows, into memory or into a store on
disk (synced, with checksums). DuckDB's copy reads the file once and writes compressed columns.
All work on the same two files: flights written as CSV, and a made one of 20 columns.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.large import make_csv
from benchmarks.measure import Candidate
from benchmarks.problems import TASKS, find_table

if TYPE_CHECKING:
    from descend.settings import Settings

MEMORY, STORE, DUCKDB = "descend, to memory", "descend, to a store", "DuckDB, to Parquet"
MADE_ROWS = 2_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks reading", description=__doc__)
    parser.add_argument("--tables", type=Path, help="a folder that has flights.parquet")
    parser.add_argument("--rows", type=int, default=MADE_ROWS, help="of the made table")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    import duckdb

    from descend.settings import Settings as Options

    lines, facts = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_csv(folder, options.rows)
        files = {"made": (made, Options("y"))}
        task = TASKS["flights"]
        path = find_table(task.table, options.tables)
        if path is None:
            print("flights: left out, no such table (name its folder with --tables)")
        else:
            csv = folder / "flights.csv"
            duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{csv}'")
            files["flights"] = (csv, Options(target=task.target, exclude=task.exclude))
        for table, (csv, settings) in files.items():
            candidates = candidates_of(csv, settings, folder)
            seconds = measure.seconds_each(candidates, options.repeats)
            size = csv.stat().st_size
            ratios = {who: measure.ratio(seconds[who], seconds[DUCKDB]) for who in (MEMORY, STORE)}
            for who, each in seconds.items():
                against = ratios.get(who, "")
                lines.append([table, f"{size / 1e6:.0f}", who, measure.spread(each), against])
            facts[table] = {
                "bytes": size,
                "seconds": {who: measure.spread(each).as_json() for who, each in seconds.items()},
                "over_duckdb": {who: ratio.as_json() for who, ratio in ratios.items()},
            }
    heads = ["table", "CSV, MB", "who", "seconds", "times DuckDB's"]
    text = "From CSV to rows that training can address:\n\n" + measure.table(heads, lines)
    measure.record("reading", text, facts, save=not options.no_save)


def candidates_of(csv: Path, settings: Settings, folder: Path) -> list[Candidate]:
    """The ways from one file; a store is made anew every time."""
    import duckdb

    from descend.data.prepare import prepare

    copy = f"COPY (SELECT * FROM '{csv}') TO '{folder}/copy.parquet' (FORMAT parquet)"
    stored = settings.replace(store=str(folder / "stores"))

    def to_store() -> object:
        shutil.rmtree(folder / "stores", ignore_errors=True)
        return prepare(str(csv), stored).training

    return [
        Candidate(MEMORY, lambda: prepare(str(csv), settings).training),
        Candidate(STORE, to_store),
        Candidate(DUCKDB, lambda: duckdb.sql(copy)),
    ]


if __name__ == "__main__":
    main()
