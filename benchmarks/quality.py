"""How good is `descend train` with no options? Held-out error against scikit-learn's MLP.

The peer is an MLP with early stopping in a pipeline that imputes missing numbers, scales, codes
categories one-hot and scales the target, its defaults otherwise. Both see the same random four
fifths of the rows and are judged on the last fifth, for three seeds. `descend` gets the raw table,
the target and the columns to leave out, nothing else; the peer is spared what one-hot coding
cannot use (dates, tail numbers). The error is RMSE for numbers and log loss for labels.

The peer's scores are kept in `results/quality-sklearn.json` and measured again when its version
changes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import measure
from benchmarks.problems import TASKS, Task, find_table, held_out, read_frame

if TYPE_CHECKING:
    import pandas as pd

KEPT = measure.RESULTS / "quality-sklearn.json"
Mask = npt.NDArray[np.bool_]
Scores = dict[str, float]
Train = Callable[[Task, "pd.DataFrame", Mask, int], Scores]


def sklearn_scores(task: Task, frame: pd.DataFrame, judged: Mask, seed: int) -> Scores:
    """The peer's held-out scores."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x = frame.drop(columns=[task.target, *task.exclude_peer])
    numeric = list(x.select_dtypes("number").columns)
    text = [name for name in x.columns if name not in numeric]
    coded = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numeric),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32), text),
    )
    if task.classification:
        model = MLPClassifier(early_stopping=True, random_state=seed)
    else:
        network = MLPRegressor(early_stopping=True, random_state=seed)
        model = TransformedTargetRegressor(network, transformer=StandardScaler())
    pipeline = make_pipeline(coded, model)
    begun = time.perf_counter()
    pipeline.fit(x[~judged], frame[task.target][~judged])
    seconds = time.perf_counter() - begun
    truth = frame[task.target][judged].to_numpy()
    if task.classification:
        probabilities = pipeline.predict_proba(x[judged])
        scores = classification_scores(truth, probabilities, pipeline.classes_)
    else:
        scores = regression_scores(truth, pipeline.predict(x[judged]))
    return scores | {"seconds": seconds}


def descend_scores(task: Task, frame: pd.DataFrame, judged: Mask, seed: int) -> Scores:
    """Our held-out scores, by the defaults of `descend.train`."""
    import descend

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = descend.train(
            frame[~judged], target=task.target, seed=seed, out=str(Path(folder) / "run"), quiet=True
        )
        seconds = time.perf_counter() - begun
    rows, truth = frame[judged].drop(columns=[task.target]), frame[task.target][judged].to_numpy()
    if task.classification:
        scores = classification_scores(truth, run.model.predict_proba(rows), run.model.classes)
    else:
        scores = regression_scores(truth, np.asarray(run.model.predict(rows)))
    return scores | {"seconds": seconds}


def regression_scores(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> Scores:
    """RMSE (the error), MAE and R²."""
    wrong = np.asarray(predicted, np.float64) - truth
    return {
        "error": float(np.sqrt(np.mean(wrong**2))),
        "mae": float(np.mean(np.abs(wrong))),
        "r2": float(1.0 - np.mean(wrong**2) / np.var(truth)),
    }


def classification_scores(
    truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], classes: Sequence[Any]
) -> Scores:
    """Log loss (the error) and accuracy; `probabilities` `[N, K]`, in the order of `classes`."""
    place = {label: index for index, label in enumerate(classes)}
    true = np.array([place[label] for label in truth])
    given = np.clip(probabilities[np.arange(len(true)), true], 1e-15, 1.0)
    return {
        "error": float(-np.mean(np.log(given))),
        "accuracy": float(np.mean(np.argmax(probabilities, axis=1) == true)),
    }


def peer_scores(name: str, task: Task, frame: pd.DataFrame, judged: Mask, seed: int) -> Scores:
    """The peer's scores, as kept, or measured and then kept."""
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    version = measure.versions().get("scikit-learn", kept.get("scikit-learn"))
    if kept.get("scikit-learn") != version:
        kept = {"scikit-learn": version, "scores": {}}
    key = f"{name}, {len(frame)} rows, seed {seed}"
    if key not in kept["scores"]:
        scores = sklearn_scores(task, frame, judged, seed)
        kept["scores"][key] = {what: float(f"{value:.5g}") for what, value in scores.items()}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    found: Scores = kept["scores"][key]
    return found


def compared(name: str, path: Path, seeds: Sequence[int], *, ours: bool) -> dict[str, Any]:
    """Both sides' scores on one task, a list over the seeds each."""
    task = TASKS[name]
    frame = read_frame(task, path)
    both: dict[str, list[Scores]] = {"scikit-learn": [], "descend": []}
    for seed in seeds:
        judged = held_out(len(frame), seed)
        both["scikit-learn"].append(peer_scores(name, task, frame, judged, seed))
        if ours:
            both["descend"].append(descend_scores(task, frame, judged, seed))
        last = {side: scores[-1] for side, scores in both.items() if scores}
        print(f"{name}, seed {seed}: {last}", flush=True)
    result: dict[str, Any] = {"task": name, "rows": len(frame), **both}
    if ours:
        errors = {side: [score["error"] for score in scores] for side, scores in both.items()}
        against = measure.ratio(errors["descend"], errors["scikit-learn"])
        result["error_ratio"] = against.as_json()
    return result


def report(results: Sequence[dict[str, Any]]) -> str:
    """A line for each task."""
    rows = []
    for result in results:
        for side in ("descend", "scikit-learn"):
            scores = result[side]
            if not scores:
                continue
            second = "r2" if "r2" in scores[0] else "accuracy"
            ratio = result.get("error_ratio") if side == "descend" else None
            verdict = ""
            if ratio:
                verdict = f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
                verdict += "" if ratio["median"] <= 1.0 else ": WORSE"
            rows.append(
                [
                    result["task"],
                    side,
                    measure.spread([s["error"] for s in scores]),
                    f"{second} {measure.spread([s[second] for s in scores])}",
                    f"{measure.spread([s['seconds'] for s in scores]).median:.1f}",
                    verdict,
                ]
            )
    heads = ["task", "by", "held-out error", "also", "seconds", "descend / scikit-learn"]
    return "Held-out error (RMSE or log loss), median and range over seeds:\n\n" + measure.table(
        heads, rows
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--tables", type=Path, help="a folder with more tables, as Parquet")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--peer-only", action="store_true", help="measure scikit-learn alone")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    results = []
    for name in options.tasks.split(","):
        path = find_table(TASKS[name].table, options.tables)
        if path is None:
            print(f"{name}: left out, no table {TASKS[name].table} (name its folder with --tables)")
            continue
        seeds = [int(seed) for seed in options.seeds.split(",")]
        results.append(compared(name, path, seeds, ours=not options.peer_only))
    save = not options.no_save and not options.peer_only
    measure.record("quality", report(results), {"tasks": results}, save=save)


if __name__ == "__main__":
    main()
