"""The candidates of `quality`: our efforts and the peers, on the rows of one task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.problems import Task, held_out

if TYPE_CHECKING:
    import pandas as pd

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
