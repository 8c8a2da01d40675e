"""How good is `descend train` with no options, beside what people take for tables?

Held-out error (RMSE over the deviation for numbers, log loss for labels), seconds and the coverage
of 95 % intervals, at each effort; peers are scikit-learn's MLP with early stopping (in a pipeline
that imputes, scales, codes one-hot and scales the target) and HistGradientBoosting, LightGBM (2,000
trees, rate 0.05, early stopping on a tenth) and CatBoost (the same early stopping), their defaults
otherwise. All see the same random four fifths of at most 40,000 rows. Nobody gets more than the
table, the target and the columns to leave out; dates are split into parts for the peers, which
cannot read them.

Every candidate runs in a process of its own, one at a time. Seconds and peak memory are those of
the whole process: start, imports, reading the table, the fit and the predictions.
The network was designed on the tables in `CHOSEN_ON`; the others prove it.

Each score is kept in a file as soon as it is there (`--kept`), and a further call measures only
what is missing, so that an interrupted measurement goes on. Ours are measured again when the
defaults of the network change; `--again quick,lightgbm` measures those again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import measure
from benchmarks.problems import TASKS, Task, find_table, held_out, read_frame
from descend import defaults
from descend.defaults import EFFORTS
from descend.training import bins, day_codes, early_decay

if TYPE_CHECKING:
    import pandas as pd

CHOSEN_ON = ("bike", "hflights", "taxi", "adult", "elevators", "diamonds")
MOST_ROWS = 40_000
SMALL_ROWS = 5_000
"""Seconds of `quick` are held against the MLP's on tables of more rows than this; on smaller ones
both are mostly start-up."""
TREES = ("lightgbm", "catboost")
PATIENCE = 50
Scores = dict[str, float]
Mask = npt.NDArray[np.bool_]


class Table:
    """A task's rows, split, and prepared for those that read no dates and no text."""

    def __init__(self, task: Task, frame: pd.DataFrame, seed: int) -> None:
        if len(frame) > MOST_ROWS:
            frame = frame.sample(MOST_ROWS, random_state=seed)
        self.frame = frame.reset_index(drop=True)
        self.task, self.seed = task, seed
        self.held_out_rows = held_out(len(self.frame), seed)
        target = self.frame[task.target]
        self.labels = sorted(target.unique()) if task.classification else []
        self.y = (
            target.map({label: code for code, label in enumerate(self.labels)}).to_numpy()
            if task.classification
            else target.to_numpy(np.float64)
        )
        x = self.frame.drop(columns=[task.target, *task.exclude_peer])
        self.numeric, self.text = _for_peers(x)

    @property
    def learned(self) -> Mask:
        """The rows to learn from."""
        return ~self.held_out_rows

    def early(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows to learn from, and a tenth of them to stop by."""
        rows = np.random.default_rng(self.seed + 1).permutation(np.flatnonzero(self.learned))
        cut = len(rows) // 10
        return rows[cut:], rows[:cut]

    def joined(self) -> pd.DataFrame:
        """Numbers and text side by side."""
        return self.numeric.join(self.text)

    def error(self, predicted: npt.NDArray[Any]) -> float:
        """On the rows held out."""
        y = self.y[self.held_out_rows]
        if self.labels:
            given = np.clip(predicted[np.arange(len(y)), y], 1e-15, 1.0)
            return float(-np.mean(np.log(given)))
        return float(np.sqrt(np.mean((predicted - y) ** 2)) / np.std(y))


def _for_peers(x: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers, dates by their parts; and text, missing values a word of their own."""
    import pandas as pd

    numeric = {}
    text = {}
    for name in x.columns:
        column = x[name]
        if str(column.dtype).startswith("datetime"):
            numeric[f"{name} days"] = column.astype("int64") / 8.64e13
            for part in ("month", "day", "weekday", "hour"):
                numeric[f"{name} {part}"] = getattr(column.dt, part)
        elif pd.api.types.is_numeric_dtype(column):
            numeric[name] = column
        else:
            text[name] = column.astype(object).fillna("missing").astype(str)
    return pd.DataFrame(numeric, index=x.index), pd.DataFrame(text, index=x.index)


def descend_scores(table: Table, effort: str) -> Scores:
    """Ours, from the raw table."""
    import descend

    target = table.task.target
    task = "classification" if table.labels else "regression"
    begun = time.perf_counter()
    run = descend.train(
        table.frame[table.learned], target=target, task=task, seed=table.seed, effort=effort
    )
    seconds = time.perf_counter() - begun
    rows = table.frame[table.held_out_rows].drop(columns=[target])
    scores = {"seconds": seconds}
    if table.labels:
        return {"error": table.error(run.model.predict_proba(rows)), **scores}
    bounds, y = run.model.predict_interval(rows, 0.95), table.y[table.held_out_rows]
    scores["covered"] = float(np.mean((bounds[:, 0] <= y) & (y <= bounds[:, 1])))
    return {"error": table.error(run.model.predict(rows)), **scores}


def mlp_scores(table: Table) -> Scores:
    """scikit-learn's network."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    coded = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list(table.numeric.columns)),
        (OneHotEncoder(handle_unknown="ignore", dtype=np.float32), list(table.text.columns)),
    )
    if table.labels:
        network = MLPClassifier(early_stopping=True, random_state=table.seed)
    else:
        network = TransformedTargetRegressor(
            MLPRegressor(early_stopping=True, random_state=table.seed),
            transformer=StandardScaler(),
        )
    return _fitted(table, make_pipeline(coded, network), table.joined())


def hist_scores(table: Table) -> Scores:
    """scikit-learn's boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    x = table.joined()
    for name in table.text.columns:
        x[name] = x[name].astype("category")
    options = {"categorical_features": "from_dtype", "random_state": table.seed}
    small = all(x[name].nunique() <= 255 for name in table.text.columns)
    if not small:
        options["categorical_features"] = None
        for name in table.text.columns:
            x[name] = x[name].cat.codes
    kind = HistGradientBoostingClassifier if table.labels else HistGradientBoostingRegressor
    return _fitted(table, kind(**options), x)


def _fitted(table: Table, model: Any, x: pd.DataFrame) -> Scores:
    begun = time.perf_counter()
    model.fit(x[table.learned], table.y[table.learned])
    seconds = time.perf_counter() - begun
    predict = model.predict_proba if table.labels else model.predict
    return {"error": table.error(predict(x[table.held_out_rows])), "seconds": seconds}


def lightgbm_scores(table: Table) -> Scores:
    """LightGBM."""
    import lightgbm

    x = table.joined()
    for name in table.text.columns:
        x[name] = x[name].astype("category")
    kind = lightgbm.LGBMClassifier if table.labels else lightgbm.LGBMRegressor
    model = kind(n_estimators=2000, learning_rate=0.05, random_state=table.seed, verbose=-1)
    rows, stop = table.early()
    begun = time.perf_counter()
    model.fit(
        x.iloc[rows],
        table.y[rows],
        eval_set=[(x.iloc[stop], table.y[stop])],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    seconds = time.perf_counter() - begun
    predict = model.predict_proba if table.labels else model.predict
    return {"error": table.error(predict(x[table.held_out_rows])), "seconds": seconds}


def catboost_scores(table: Table) -> Scores:
    """CatBoost."""
    import catboost

    x = table.joined()
    kind = catboost.CatBoostClassifier if table.labels else catboost.CatBoostRegressor
    model = kind(
        random_seed=table.seed,
        early_stopping_rounds=PATIENCE,
        cat_features=list(table.text.columns),
        allow_writing_files=False,
        verbose=0,
    )
    rows, stop = table.early()
    begun = time.perf_counter()
    model.fit(x.iloc[rows], table.y[rows], eval_set=[(x.iloc[stop], table.y[stop])])
    seconds = time.perf_counter() - begun
    predict = model.predict_proba if table.labels else model.predict
    return {"error": table.error(predict(x[table.held_out_rows])), "seconds": seconds}


PEERS: dict[str, Callable[[Table], Scores]] = {
    "mlp": mlp_scores,
    "hist": hist_scores,
    "lightgbm": lightgbm_scores,
    "catboost": catboost_scores,
}


def version(side: str) -> str:
    """What a kept score depends on besides its task and seed."""
    if side in PEERS:
        return "defaults"
    network = [value for name, value in vars(defaults).items() if name.startswith("TABULAR_")]
    for module in (early_decay, bins, day_codes):
        network += [value for name, value in vars(module).items() if name.isupper()]
    return f"{EFFORTS[side]}, {defaults.HIDDEN['tabular']}, {network}"


class Kept:
    """Scores in a file, a JSON line each, appended when they are measured."""

    def __init__(self, path: Path, again: Sequence[str] = ()) -> None:
        self.path, self._found = path, {}
        lines = path.read_text().splitlines() if path.exists() else []
        for line in map(json.loads, lines):
            if line["side"] not in again:
                self._found[self._key(line["task"], line["seed"], line["side"])] = line

    def get(self, task: str, seed: int, side: str) -> Scores | None:
        """What was measured of the present version."""
        line = self._found.get(self._key(task, seed, side))
        return line["scores"] if line and line["version"] == version(side) else None

    def add(self, task: str, seed: int, side: str, scores: Scores) -> None:
        """Keep one."""
        line = {"task": task, "seed": seed, "side": side, "version": version(side)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps({**line, "scores": scores}) + "\n")

    @staticmethod
    def _key(task: str, seed: int, side: str) -> tuple[str, int, str]:
        return task, seed, side


def scores_here(name: str, path: Path, seed: int, side: str) -> Scores:
    """The scores of one candidate, in this process."""
    task = TASKS[name]
    table = Table(task, read_frame(task, path), seed)
    return PEERS[side](table) if side in PEERS else descend_scores(table, side)


def scores_alone(name: str, path: Path, seed: int, side: str) -> Scores:
    """The same in a new process, with `process` seconds and peak `memory` in MiB.

    Ours run twice, with a cache of compiled programs of their own: `first` are the seconds with an
    empty cache, as at the first run on a machine, `process` those of the second run.
    """
    if side in PEERS:
        return timed_process(name, path, seed, side, os.environ)
    with tempfile.TemporaryDirectory() as cache:
        own = {**os.environ, "XDG_CACHE_HOME": cache}
        first = timed_process(name, path, seed, side, own)["process"]
        return {**timed_process(name, path, seed, side, own), "first": first}


def timed_process(
    name: str, path: Path, seed: int, side: str, environment: Mapping[str, str]
) -> Scores:
    """One such process."""
    command = [sys.executable, "-m", "benchmarks", "quality", "--one", f"{name},{seed},{side}"]
    command += ["--tables", str(path.parent)]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    printed = child.stdout.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name}, seed {seed}, {side} failed; run: {' '.join(command)}")
    # Kibibytes on Linux, bytes on macOS.
    memory = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    scores = json.loads(printed.splitlines()[-1])
    return {**scores, "process": time.perf_counter() - begun, "memory": memory}


def compared(
    name: str, path: Path, seeds: Iterable[int], sides: Sequence[str], kept: Kept
) -> dict[str, Any]:
    """All scores on one task, a list over the seeds each."""
    found: dict[str, list[Scores]] = {side: [] for side in sides}
    for seed in seeds:
        for side in sides:
            scores = kept.get(name, seed, side)
            if scores is None:
                measured = scores_alone(name, path, seed, side)
                scores = {what: float(f"{value:.5g}") for what, value in measured.items()}
                kept.add(name, seed, side, scores)
                print(f"{name}, seed {seed}, {side}: {scores}", flush=True)
            found[side].append(scores)
    rows = min(MOST_ROWS, len(read_frame(TASKS[name], path)))
    return {"task": name, "rows": rows, "scores": found}


def mean(result: dict[str, Any], side: str, what: str) -> float:
    """Over the seeds; NaN where it was not measured."""
    values = [scores[what] for scores in result["scores"].get(side, []) if what in scores]
    return float(np.mean(values)) if values else float("nan")


def report(results: Sequence[dict[str, Any]]) -> str:
    """A line for each task: errors, seconds, and ours over the better of the trees."""
    sides = list(results[0]["scores"])
    efforts = [side for side in sides if side in EFFORTS]
    lines = []
    for result in results:
        best = np.nanmin([mean(result, side, "error") for side in TREES])
        errors = {side: mean(result, side, "error") for side in sides}
        mark = "" if result["task"] in CHOSEN_ON else " *"
        lines.append(
            [f"{result['task']}{mark}"]
            + [f"{errors[side]:.4f}" for side in sides]
            + [f"{errors[side] / best:.3f}" for side in efforts]
            + [f"{mean(result, side, 'covered'):.3f}" for side in efforts[-1:]]
        )
    heads = ["task", *sides, *(f"{side} / trees" for side in efforts), "covered"]
    return (
        "Held-out error, mean over seeds; * marks the tables that nothing was chosen on. Ratios "
        "are to the better of LightGBM and CatBoost; covered: targets within 95 % intervals, "
        f"{efforts[-1]} effort.\n\n{measure.table(heads, lines)}\n\n{medians(results, efforts)}"
        "\n\nSeconds of the whole process; ours find their compiled programs in the cache:\n\n"
        f"{costs(results, sides, 'process')}"
        "\n\nThe same with an empty cache, as at the first run on a machine:\n\n"
        f"{costs(results, efforts, 'first')}"
        f"\n\nSeconds of the fit:\n\n{costs(results, sides, 'seconds')}"
        f"\n\nPeak memory, MiB:\n\n{costs(results, sides, 'memory')}"
        f"\n\n{aims(results)}"
    )


def costs(results: Sequence[dict[str, Any]], sides: Sequence[str], what: str) -> str:
    """A line for each task, a column for each candidate."""
    digits = 0 if what == "memory" else 1
    lines = [
        [one["task"], *(f"{mean(one, side, what):.{digits}f}" for side in sides)] for one in results
    ]
    return measure.table(["task", *sides], lines)


def aims(results: Sequence[dict[str, Any]]) -> str:
    """What the default model is meant to reach, and whether it does, over all tables."""

    def ratios(
        side: str, peers: Sequence[str], what: str = "error", own: str = "", above: int = 0
    ) -> list[float]:
        pairs = (
            (mean(one, side, own or what), [mean(one, p, what) for p in peers])
            for one in results
            if one["rows"] > above
        )
        return [ours / min(theirs) for ours, theirs in pairs if np.isfinite([ours, *theirs]).all()]

    checks: list[tuple[str, list[float], Mapping[str, float]]] = [
        ("default, error over the trees", ratios("default", TREES), {"median": 0.98, "max": 1.05}),
        ("default, error over the MLP", ratios("default", ["mlp"]), {"max": 1.0}),
        (
            "default, seconds over CatBoost",
            ratios("default", ["catboost"], "process"),
            {"median": 1.0},
        ),
        (
            "default, seconds over CatBoost, empty cache",
            ratios("default", ["catboost"], "process", "first"),
            {"median": 1.0},
        ),
        ("quick, error over LightGBM", ratios("quick", ["lightgbm"]), {"median": 1.02}),
        (
            f"quick, seconds over the MLP, above {SMALL_ROWS:,} rows",
            ratios("quick", ["mlp"], "process", above=SMALL_ROWS),
            {"max": 1.0},
        ),
        (
            "the same, empty cache",
            ratios("quick", ["mlp"], "process", "first", above=SMALL_ROWS),
            {"max": 1.0},
        ),
        ("thorough, error over the trees", ratios("thorough", TREES), {"median": 0.95}),
    ]
    lines = []
    for words, found, bounds in checks:
        for kind, bound in bounds.items():
            if found:
                value = float(np.median(found) if kind == "median" else max(found))
                reached = "yes" if value <= bound else "no"
                lines.append([words, kind, f"{value:.3f}", f"{bound:g}", reached])
    return measure.table(["aim", "of the tables", "found", "at most", "reached"], lines)


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Error over the better of the trees, a row for each task, as SVG; no plot without trees."""
    sides = [side for side in results[0]["scores"] if side not in TREES]
    colours = ("#888", "#0b6", "#063", "#c60", "#90c", "#c09", "#09c")
    left, width, step = 120, 560, 24
    low, high = 0.6, 1.4
    parts = []
    for place, result in enumerate(results):
        y = 50 + step * place
        best = min(mean(result, side, "error") for side in TREES)
        parts.append(f'<text x="8" y="{y + 4}">{result["task"]}</text>')
        for side, colour in zip(sides, colours, strict=False):
            ratio = mean(result, side, "error") / best
            if np.isfinite(ratio):
                x = left + width * (min(max(ratio, low), high) - low) / (high - low)
                title = f"<title>{side} {ratio:.3f}</title>"
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}">{title}</circle>'
                )
    bottom = 50 + step * len(results)
    for tick in (0.6, 0.8, 1.0, 1.2, 1.4):
        x = left + width * (tick - low) / (high - low)
        parts.append(f'<path d="M{x:.0f} 36V{bottom}" stroke="#ccc"/>')
        parts.append(f'<text x="{x - 8:.0f}" y="{bottom + 14}">{tick}</text>')
    for place, (side, colour) in enumerate(zip(sides, colours, strict=False)):
        parts.append(f'<text x="{left + 90 * place}" y="20" fill="{colour}">{side}</text>')
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 40} {bottom + 40}" '
        'font-family="sans-serif" font-size="12">'
        f"{''.join(parts)}<text x='{left}' y='{bottom + 32}'>error over the better of LightGBM "
        "and CatBoost; beyond the ends at the ends</text></svg>\n"
    )


def medians(results: Sequence[dict[str, Any]], efforts: Sequence[str]) -> str:
    """Over the tables, all and those that nothing was chosen on."""
    texts = []
    for words, chosen in (
        ("all tables", results),
        ("tables with *", [one for one in results if one["task"] not in CHOSEN_ON]),
    ):
        if not chosen:
            continue
        best = [min(mean(one, side, "error") for side in TREES) for one in chosen]
        for effort in efforts:
            ratios = [
                mean(one, effort, "error") / least for one, least in zip(chosen, best, strict=True)
            ]
            texts.append(
                f"{effort}, {words}: {np.median(ratios):.3f} in the median, "
                f"{min(ratios):.3f} to {max(ratios):.3f}."
            )
    return "\n".join(texts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--tables", type=Path, help="a folder with more tables, as Parquet")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--efforts", default=",".join(EFFORTS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument(
        "--kept", type=Path, default=measure.RESULTS / "quality_parts.jsonl", help="scores so far"
    )
    parser.add_argument("--again", default="", help="candidates whose kept scores do not count")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        name, seed, side = options.one.split(",")
        path = find_table(TASKS[name].table, options.tables)
        assert path is not None
        print(json.dumps(scores_here(name, path, int(seed), side)))
        return
    peers = [name for name in options.peers.split(",") if name]
    efforts = [name for name in options.efforts.split(",") if name]
    kept = Kept(options.kept, options.again.split(","))
    for name in TREES:
        if name in peers and importlib.util.find_spec(name) is None:
            parser.error(f"{name} is not installed; type: make bench, which installs it")
    results = []
    for name in options.tasks.split(","):
        path = find_table(TASKS[name].table, options.tables)
        if path is None:
            print(f"{name}: left out, no table {TASKS[name].table} (name its folder with --tables)")
            continue
        seeds = [int(seed) for seed in options.seeds.split(",")]
        results.append(compared(name, path, seeds, [*efforts, *peers], kept))
    if not results:
        parser.error("no table was found; name their folder: --tables DIR")
    measure.record("quality", report(results), {"tasks": results}, save=not options.no_save)
    if not options.no_save and set(TREES) <= set(peers):
        plot(results, measure.RESULTS / "quality.svg")


if __name__ == "__main__":
    main()
