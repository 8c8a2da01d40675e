"""Calls that mypy checks: keywords are known by name and type. Nothing here is run.

Each line that has to be an error says so; mypy complains where it is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import descend

if TYPE_CHECKING:
    descend.train("t.csv", target="y", batch_size=64, hidden=(8, 4), exclude=["id"])
    descend.train("t.csv", target="y", batch_size="all", learning_rate="auto", epochs=None)
    descend.train("t.csv", target="y", batch_sice=64)  # type: ignore[call-arg]
    descend.train("t.csv", target="y", batch_size="big")  # type: ignore[arg-type]
    descend.train("t.csv", target="y", time_budget="10m")  # type: ignore[arg-type]
    descend.fit(None, None, goal="quality", task="regression")
    descend.fit(None, None, goal="speed")  # type: ignore[arg-type]
    descend.fit(None, None, hidden=(8,))  # type: ignore[call-arg]
    descend.advise("t.csv", target="y", hidden=8, seed=1)
    descend.advise("t.csv", target="y", seed=1.5)  # type: ignore[arg-type]
    descend.compare("t.csv", target="y", patience=3)
    descend.compare("t.csv", target="y", patients=3)  # type: ignore[call-arg]
    descend.advise(None, None, trainable=None, class_weight="balanced", precision="bfloat16")
    descend.advise(None, None, precision="int8")  # type: ignore[arg-type]
