"""Does memory stay under the bound, and speed where it is, as the table grows?

A CSV of 20 columns is made for each number of rows and trained on by the command line in a
process of its own, `--memory` the same for all; then its rows are evaluated and predicted under
the same bound. The largest is over 4 GB by default. Printed are the peaks of resident memory that
the system counted for each process, rows per second of reading (CSV to rows, learning the schema
included), of training and of predicting (CSV to CSV). The rows at 10⁸ are an extrapolation and
marked as one, unless they are measured with `--rows`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import measure

NUMBERS = 18
ROWS = (100_000, 1_000_000, 5_000_000, 25_000_000)
FARTHEST = 100_000_000
MIB = 1 << 20
PLOT = Path(__file__).parent.parent / "docs" / "larger-than-memory.svg"
HEADS = (
    *("rows", "CSV, GB", "store, GB", "peak MiB: training", "evaluating", "predicting"),
    *("rows/s: reading", "training", "predicting"),
)
COMMAND = "from descend.cli.app import main; main()"


@dataclass(frozen=True)
class Line:
    """One run.

    Attributes:
        rows: of the CSV.
        csv_bytes: its size.
        store_bytes: of the row store, 0 where all rows fit in memory.
        peak: bytes of resident memory at most, in training.
        peak_evaluating: and in evaluating.
        peak_predicting: and in predicting.
        seconds: of the whole command.
        reading_rate: rows per second from CSV to rows.
        training_rate: rows per second of training.
        predicting_rate: rows per second from CSV to predictions.
    """

    rows: int
    csv_bytes: int
    store_bytes: int
    peak: int
    peak_evaluating: int
    peak_predicting: int
    seconds: float
    reading_rate: float
    training_rate: float
    predicting_rate: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep; 1 where a run went over the bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks large", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--memory", type=int, default=1024, help="the bound in MiB")
    parser.add_argument("--batch-size", default="256", help="as for descend train")
    parser.add_argument("--folder", type=Path, help="where CSV files are made and kept")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    lines = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for rows in options.rows:
            csv = make_csv(options.folder or Path(folder), rows)
            lines.append(run(csv, rows, Path(folder), options.memory, options.batch_size))
            print(described(lines[-1]), file=sys.stderr)
            if options.folder is None:
                csv.unlink()
    bound = options.memory * MIB
    highest = max(
        peak for line in lines for peak in (line.peak, line.peak_evaluating, line.peak_predicting)
    )
    verdict = "under" if highest <= bound else "OVER"
    text = (
        f"Training one epoch, evaluating and predicting with `--memory {options.memory}MiB`, "
        f"batches of {options.batch_size}:\n\n"
        + measure.table(HEADS, [cells(line) for line in [*lines, *extrapolated(lines)]])
        + f"\n\nThe highest peak is {highest / MIB:.0f} MiB, {verdict} the bound."
    )
    facts = {"memory": bound, "highest_peak": highest, "runs": [asdict(line) for line in lines]}
    measure.record("large", text, facts, save=not options.no_save)
    if not options.no_save:
        plot(lines, bound)
    return int(highest > bound)


def make_csv(folder: Path, rows: int) -> Path:
    """18 numbers, a category and a target that depends on them; made once."""
    import duckdb

    path = folder / f"made-{rows}.csv"
    if path.exists():
        return path
    numbers = ", ".join(f"round(random() * 1000, 4) AS n{place}" for place in range(NUMBERS))
    target = "round(n0 / 100 - n1 / 200 + sin(n2 / 100) + 5 * (kind = 'b')::INT + random(), 3)"
    unfinished = path.with_suffix(".part")
    duckdb.connect().execute(
        f"COPY (SELECT *, {target} AS y FROM (SELECT {numbers}, "
        f"['a', 'b', 'c', 'd'][1 + (random() * 4)::INT % 4] AS kind FROM range({rows}))) "
        f"TO '{unfinished}' (FORMAT csv)"
    )
    unfinished.rename(path)
    return path


def run(csv: Path, rows: int, folder: Path, memory: int, batch_size: str) -> Line:
    """Train in a process of its own, and ask the system what it took."""
    out, stores = folder / f"run-{rows}", folder / "cache"
    typed = ["train", str(csv), "--target", "y", "--memory", f"{memory}MiB", "--epochs", "1"]
    typed += ["--batch-size", batch_size, "--out", str(out), "--force", "--quiet"]
    if batch_size != "auto":
        typed += ["--learning-rate", "0.01"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(stores)}
    seconds, peak = measured(typed, environment)
    bound = ["--memory", f"{memory}MiB"]
    predictions = folder / "predictions.csv"
    _, evaluating = measured(["evaluate", str(out), str(csv), *bound], environment)
    predict = ["predict", str(out), str(csv), "-o", str(predictions), *bound]
    predict_seconds, predicting = measured(predict, environment)
    predictions.unlink()
    result = json.loads((out / "run.json").read_text())["result"]
    kept = [path for path in stores.rglob("training.*") if f"made-{rows}-" in str(path)]
    kept += [path for path in stores.rglob("validation.*") if f"made-{rows}-" in str(path)]
    size = sum(path.stat().st_size for path in kept)
    for path in kept:
        path.unlink()
    return Line(
        rows=rows,
        csv_bytes=csv.stat().st_size,
        store_bytes=size,
        peak=peak,
        peak_evaluating=evaluating,
        peak_predicting=predicting,
        seconds=seconds,
        reading_rate=rows / (seconds - result["seconds"]),
        training_rate=result["examples"] / result["seconds"],
        predicting_rate=rows / predict_seconds,
    )


def measured(typed: Sequence[str], environment: Mapping[str, str]) -> tuple[float, int]:
    """Seconds of a command in a process of its own, and its most resident memory in bytes."""
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *typed], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"descend {' '.join(typed)} ended with {status}")
    return time.perf_counter() - begun, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def extrapolated(lines: Sequence[Line]) -> list[Line]:
    """What 10⁸ rows would take at the rates of the largest run, where they were not measured."""
    last = max(lines, key=lambda line: line.rows)
    if last.rows >= FARTHEST or not last.store_bytes:
        return []
    times = FARTHEST / last.rows
    return [
        replace(
            last,
            rows=FARTHEST,
            csv_bytes=round(times * last.csv_bytes),
            store_bytes=round(times * last.store_bytes),
            seconds=times * last.seconds,
        )
    ]


def cells(line: Line) -> list[str]:
    """A line of the table."""
    mark = " (extrapolated)" if line.rows == FARTHEST else ""
    store = f"{line.store_bytes / 1e9:.2f}" if line.store_bytes else "in memory"
    return [
        f"{line.rows:,}{mark}",
        f"{line.csv_bytes / 1e9:.2f}",
        store,
        *(f"{peak / MIB:.0f}" for peak in (line.peak, line.peak_evaluating, line.peak_predicting)),
        f"{line.reading_rate:,.0f}",
        f"{line.training_rate:,.0f}",
        f"{line.predicting_rate:,.0f}",
    ]


def described(line: Line) -> str:
    """A line while it goes."""
    return " | ".join(cells(line)) + f" | {line.seconds:.0f} s"


def plot(lines: Sequence[Line], bound: int) -> None:
    """Rows per second and peak memory against rows; what is not measured is hollow and dashed."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "descend"
    from matplotlib import pyplot

    figure, (rates, memory) = pyplot.subplots(1, 2, figsize=(10, 4))
    far = [max(lines, key=lambda line: line.rows), *extrapolated(lines)]
    for axes, names in ((rates, ("training_rate", "reading_rate")), (memory, ("peak",))):
        for name in names:
            scale = MIB if name == "peak" else 1
            (drawn,) = axes.plot(
                [line.rows for line in lines],
                [getattr(line, name) / scale for line in lines],
                marker="o",
                label=name.replace("_rate", "").replace("peak", "peak of the process"),
            )
            axes.plot(
                [line.rows for line in far],
                [getattr(line, name) / scale for line in far],
                linestyle="--",
                marker="o",
                markerfacecolor="white",
                color=drawn.get_color(),
                zorder=drawn.get_zorder() - 1,
            )
        axes.set_xscale("log")
        axes.set_xlabel("rows (hollow: extrapolated)")
    rates.set_yscale("log")
    rates.set_ylabel("rows per second")
    memory.axhline(bound / MIB, color="black", linewidth=1, linestyle=":", label="--memory")
    memory.set_ylim(0, 1.1 * bound / MIB)
    memory.set_ylabel("resident memory, MiB")
    for axes in (rates, memory):
        axes.legend()
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
