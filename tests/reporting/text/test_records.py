"""The summary of a run: what was left out, in the caller's words."""

from __future__ import annotations

from typing import Any

from descend.errors import command_line_words
from descend.reporting.text.records import left_out_text, summary_text
from tests.records import run_record

IDENTIFIER = {
    "name": "order no",
    "becomes": "left out",
    "remark": "identifier: it numbers the rows (the option numeric keeps it)",
}


def test_what_keeps_a_column_is_named_as_it_is_typed() -> None:
    assert "(numeric=['order no'] keeps it)" in left_out_text([IDENTIFIER])
    with command_line_words():
        assert "(--numeric 'order no' keeps it)" in left_out_text([IDENTIFIER])


def summary(**counts: int) -> str:
    record: dict[str, Any] = run_record()
    record["data"]["rows"] |= counts
    figures = {"r2": 0.5, "rmse": 1.0, "mae": 1.0}
    record["result"] = {
        "metrics": {"model": figures, "baseline": figures},
        "updates": 10,
        "epochs": 2,
        "seconds": 1.0,
        "stop_reason": "EPOCHS",
        "stop_text": "The number of epochs was reached.",
        "best_validation_loss": 0.5,
    }
    return " ".join(summary_text(record, None).split())


def test_rows_without_target_or_weight_are_counted() -> None:
    assert "trained on 90 rows; skipped: 88 without target, 46 without weight." in summary(
        missing_target=88, unweighted=46
    )
    assert "trained on 90 rows." in summary(missing_target=0)
