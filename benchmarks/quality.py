"""How good is `descend train` with no options, beside what people take for tables?

Held-out error (RMSE over the deviation for numbers, log loss for labels), seconds and the coverage
of 95 % intervals, at each effort; peers are scikit-learn's MLP with early stopping (in a pipeline
that imputes, scales, codes one-hot and scales the target) and HistGradientBoosting, LightGBM (2,000
trees, rate 0.05, early stopping on a tenth) and CatBoost (the same early stopping), their defaults
otherwise. All see the same random four fifths of at most 40,000 rows. Nobody gets more than the
table, the target and the columns to leave out; dates are split into parts for the peers, which
cannot read them.

Seconds are those of the fit in a process that is warm, the contestants one after the other.
The network was designed on the tables in `CHOSEN_ON`; the others prove it.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import measure
from benchmarks.problems import TASKS, Task, find_table, held_out, read_frame
from descend.defaults import EFFORTS

if TYPE_CHECKING:
    import pandas as pd

CHOSEN_ON = ("bike", "hflights", "taxi", "adult", "elevators")
MOST_ROWS = 40_000
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
        self.judged = held_out(len(self.frame), seed)
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
        return ~self.judged

    def early(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows to learn from, and a tenth of them to stop by."""
        rows = np.random.default_rng(self.seed + 1).permutation(np.flatnonzero(self.learned))
        cut = len(rows) // 10
        return rows[cut:], rows[:cut]

    def joined(self) -> pd.DataFrame:
        """Numbers and text side by side."""
        return self.numeric.join(self.text)

    def error(self, predicted: npt.NDArray[Any]) -> float:
        """On the judged rows."""
        y = self.y[self.judged]
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
    rows = table.frame[table.judged].drop(columns=[target])
    scores = {"seconds": seconds}
    if table.labels:
        return {"error": table.error(run.model.predict_proba(rows)), **scores}
    bounds, y = run.model.predict_interval(rows, 0.95), table.y[table.judged]
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
    return {"error": table.error(predict(x[table.judged])), "seconds": seconds}


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
    return {"error": table.error(predict(x[table.judged])), "seconds": seconds}


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
    return {"error": table.error(predict(x[table.judged])), "seconds": seconds}


PEERS: dict[str, Callable[[Table], Scores]] = {
    "mlp": mlp_scores,
    "hist": hist_scores,
    "lightgbm": lightgbm_scores,
    "catboost": catboost_scores,
}


def compared(
    name: str, path: Path, seeds: Sequence[int], efforts: Sequence[str], peers: Sequence[str]
) -> dict[str, Any]:
    """All scores on one task, a list over the seeds each."""
    task = TASKS[name]
    frame = read_frame(task, path)
    found: dict[str, list[Scores]] = {side: [] for side in (*efforts, *peers)}
    for seed in seeds:
        table = Table(task, frame, seed)
        for side, kept in found.items():
            scores = PEERS[side](table) if side in PEERS else descend_scores(table, side)
            kept.append({what: float(f"{value:.5g}") for what, value in scores.items()})
            print(f"{name}, seed {seed}, {side}: {kept[-1]}", flush=True)
    return {"task": name, "rows": min(len(frame), MOST_ROWS), "scores": found}


def mean(result: dict[str, Any], side: str, what: str) -> float:
    """Over the seeds; NaN where it was not measured."""
    values = [scores[what] for scores in result["scores"].get(side, []) if what in scores]
    return float(np.mean(values)) if values else float("nan")


def report(results: Sequence[dict[str, Any]]) -> str:
    """A line for each task: errors, seconds, and ours over the better of the trees."""
    sides = list(results[0]["scores"])
    efforts = [side for side in sides if side in EFFORTS]
    lines, seconds = [], []
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
        seconds.append(
            [result["task"], *(f"{mean(result, side, 'seconds'):.1f}" for side in sides)]
        )
    heads = ["task", *sides, *(f"{side} / trees" for side in efforts), "covered"]
    return (
        "Held-out error, mean over seeds; * marks the tables that nothing was chosen on. Ratios "
        "are to the better of LightGBM and CatBoost; covered: targets within 95 % intervals, "
        f"{efforts[-1]} effort.\n\n{measure.table(heads, lines)}\n\n{medians(results, efforts)}"
        f"\n\nSeconds of a fit:\n\n{measure.table(['task', *sides], seconds)}"
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
    options = parser.parse_args(arguments)
    peers = [name for name in options.peers.split(",") if name]
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
        results.append(compared(name, path, seeds, options.efforts.split(","), peers))
    measure.record("quality", report(results), {"tasks": results}, save=not options.no_save)


if __name__ == "__main__":
    main()
