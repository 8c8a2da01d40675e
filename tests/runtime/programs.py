"""Programs that several processes run together, for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FIT = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
import descend
from descend.choices import OPTIMIZERS
from descend import MiniBatchRegressor

random = np.random.default_rng(0)
X = random.normal(size=(103, 3)).astype(np.float32)
y = (X @ [1.0, -2.0, 0.5]).astype(np.float32)[:, None]
weight = random.integers(0, 3, 103).astype(np.float32)

def init(key):
    return {"w": jnp.full((3, 4), 0.3), "v": jnp.full((4, 1), 0.2)}

def apply(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]

common = dict(batch_size=10, epochs=2, warmup=0.0, loss="squared_error")
found = {}
for name in sys.argv[2].split(","):
    run = descend.fit(
        (init, apply), (X, y, weight), optimizer=name, learning_rate=0.02,
        metrics={"mae": lambda found, y: np.abs(found - y).mean()},
        callbacks=[lambda evaluation: evaluation.metrics and evaluation.params], **common
    )
    found[name] = np.concatenate([leaf.ravel() for leaf in run.params.values()])
    found[name + " loss"] = np.array([line.validation_loss for line in run.history])
run = descend.fit((init, apply), (X, y), optimizer=optax.adam(1e-2), validation=(X, y), **common)
found["optax"] = np.concatenate([leaf.ravel() for leaf in run.params.values()])
estimator = MiniBatchRegressor(
    "mlp", hidden=(4,), batch_size=16, learning_rate=0.02, max_epochs=2, random_state=3
)
found["estimator"] = estimator.fit(X, y[:, 0], sample_weight=weight + 1).predict(X[:9])
if jax.process_index() == 0:
    np.savez(sys.argv[1], **found)
print("done")
"""
"""Trains a custom model by the rules that are named, and an estimator; writes what was learned."""


SHARED = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
import descend
from descend.data.rows.shared_store import SharedStore

folder = Path(sys.argv[1]).parent

def init(key):
    return {"w": jnp.full((3, 4), 0.3), "v": jnp.full((4, 1), 0.2)}

def apply(params, x):
    x = jnp.stack([x[name] for name in "abc"], axis=1) if isinstance(x, dict) else x
    return jnp.tanh(x @ params["w"]) @ params["v"]

def from_table(params, x):
    return apply(params, x["numeric"])

arrays = tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in "Xy")
# A batch of all rows has the same rows in every order.
common = dict(batch_size="all", epochs=4, learning_rate=0.1, loss="squared_error")
common |= dict(optimizer="momentum", share_rows="yes", validation=0.2, warmup=0.0)
found = {}
for name, model, data, more in (
    ("arrays", (init, apply), arrays, {}),
    ("table", (init, from_table), str(folder / "t.csv"), {"target": "y"}),
):
    run = descend.fit(model, data, **common, **more)
    found[name] = np.concatenate([leaf.ravel() for leaf in run.params.values()])
    found[name + " loss"] = np.array([line.validation_loss for line in run.history])
    assert run.record["data"]["layout"].get("processes", 1) == jax.process_count()
if jax.process_index() == 0:
    np.savez(sys.argv[1], **found)
"""
"""Trains a custom model on arrays in files and on a table, both shared out."""


def run_program(
    text: str, folder: Path, processes: int, *arguments: str, starter: Sequence[str] = ()
) -> str:
    """Run a program in some processes and return what it printed; it must end well.

    Args:
        text: of the program; its first argument is a file in `folder` that process 0 writes.
        folder: to work in.
        processes: how many.
        arguments: further ones.
        starter: who starts the processes; empty: `descend run --processes`.
    """
    path = folder / "program.py"
    path.write_text(text)
    descend = [sys.executable, "-m", "descend", "run"]
    out = folder / f"{processes}.npz"
    start = [*starter, *descend] if starter else [*descend, "--processes", str(processes)]
    done = subprocess.run(
        [*start, str(path), "--", str(out), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


MISMATCHED = """
import jax.numpy as jnp, numpy as np
import descend

X = np.random.default_rng().normal(size=(50, 2))
model = (lambda key: jnp.zeros((2, 1)), lambda params, x: x @ params)
descend.fit(model, (X, X[:, :1]), batch_size=10, learning_rate=0.02, epochs=1)
"""
"""Makes other rows in every process."""
