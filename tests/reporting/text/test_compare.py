"""A comparison in a terminal."""

from __future__ import annotations

import pytest

from descend.reporting.pages.compare import compare_warnings
from descend.reporting.text.compare import compare_text
from tests.records import compare_record


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = compare_text(compare_record())
    assert max(map(len, text.splitlines())) <= columns
    assert "A larger batch is closer to the true gradient." in " ".join(text.split())


def test_one_lucky_run_among_many_does_not_hide_that_nothing_was_learned() -> None:
    record = compare_record()
    assert not any("little to learn" in one for one in compare_warnings(record))
    for run in record["runs"]:
        start = run["history"]["validation_loss"][0]
        run["measures"]["best"] = start * (0.9 if run["seed"] == 1 else 0.999)
    [warning] = [one for one in compare_warnings(record) if "little to learn" in one]
    assert "more than 0.1 % of the loss in the median" in warning
