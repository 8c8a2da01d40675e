"""What a notebook shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

import descend


def test_a_run_and_its_model_show_themselves_escaped():
    X = np.random.default_rng(0).normal(size=(200, 2))
    table = pd.DataFrame(X, columns=["<script>", "b"]).assign(y=X[:, 0])
    run = descend.train(table, model="linear", epochs=2, batch_size=8, learning_rate=0.01)
    shown = run._repr_html_() + run.model._repr_html_()
    assert "trivial prediction" in shown
    assert run.stop_reason.value in shown
    assert "<script>" not in shown
    assert "&lt;script&gt; (number)" in shown
