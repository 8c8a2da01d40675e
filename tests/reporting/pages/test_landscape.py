"""The page of a landscape: which method it says ends lowest, and at what price."""

from __future__ import annotations

from typing import Any

import pytest

from descend.reporting.pages.landscape import landscape_summary
from tests.records import landscape_record


def path(method: str, loss: float, rows: float, rate: float | None) -> dict[str, Any]:
    [first] = landscape_record("many-minima")["paths"][:1]
    one = {"losses": [1.0, loss], "updates": [0, 10], "points": [(0.0, 0.0), (1.0, 1.0)]}
    return {**first, "method": method, "rows_read": rows, "learning_rate": rate, **one}


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (0.1, "Of those that read at most 1,000 rows, SGD ends lowest: a loss of 0.2"),
        (0.2000001, "SGD ends lowest: a loss of 0.2 after 10 updates, 1,000 rows read."),
        (0.3, "SGD ends lowest: a loss of 0.2 after 10 updates, 1,000 rows read."),
    ],
)
def test_a_method_that_read_more_rows_is_not_simply_the_lowest(loss: float, said: str) -> None:
    paths = [path("SGD", 0.2, 100.0, 0.1), path("Nesterov", 0.25, 100.0, 0.1)]
    paths.append(path("Simulated annealing", loss, 20_000.0, None))
    record = {**landscape_record("many-minima"), "paths": paths, "escape_law": None}
    outcome = landscape_summary(record).outcome
    assert outcome.startswith(said)
    assert ("Simulated annealing ends lower" in outcome) == (loss < 0.2)
