"""`evaluate` on rows of which none can be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import descend
from descend.errors import DataError, DataWarning


@pytest.mark.slow
def test_rows_of_unknown_classes_alone_are_one_message(tmp_path: Path) -> None:
    """It had ended in a ZeroDivisionError."""
    path, new = tmp_path / "t.csv", tmp_path / "new.csv"
    path.write_text("x,kind\n" + "".join(f"{n * n % 17},{'ab'[n % 2]}\n" for n in range(60)))
    new.write_text("x,kind\n1,A\n2,B\n")
    fixed = {"model": "linear", "batch_size": 16, "learning_rate": 0.1, "epochs": 1}
    descend.train(str(path), target="kind", out=tmp_path / "r", quiet=True, **fixed)
    model = descend.load_model(tmp_path / "r")
    with (
        pytest.warns(DataWarning, match="a class that training did not have in 2 rows"),
        pytest.raises(DataError, match="No row is left to compute metrics on"),
    ):
        model.evaluate(str(new))
    assert np.isfinite(model.evaluate(str(path))["model"]["log_loss"])
