"""A comparison in a terminal."""

from __future__ import annotations

import pytest

from descend.reporting.text.compare import compare_text
from tests.records import compare_record


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = compare_text(compare_record())
    assert max(map(len, text.splitlines())) <= columns
    assert "A larger batch is closer to the true gradient." in " ".join(text.split())
