import dataclasses
import inspect
import subprocess
import sys

import pytest

from descend import types
from descend.types import StopReason

RECORDS = [value for value in vars(types).values() if dataclasses.is_dataclass(value)]
TUPLES = [
    value for value in vars(types).values() if inspect.isclass(value) and hasattr(value, "_fields")
]


@pytest.mark.parametrize("reason", StopReason)
def test_each_stop_reason_is_a_sentence(reason: StopReason) -> None:
    assert reason.value[0].isupper()
    assert reason.value.endswith(".")


def test_stop_reasons_name_what_to_type() -> None:
    assert "epochs" in StopReason.EPOCHS.value
    assert "time" in StopReason.TIME_BUDGET.value
    assert "learning rate" in StopReason.DIVERGED.value
    assert "descend resume" in StopReason.INTERRUPTED.value


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_frozen_and_describe_each_field(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for field in dataclasses.fields(record):
        assert f"{field.name}:" in (record.__doc__ or "")


@pytest.mark.parametrize("noun", TUPLES)
def test_nouns_have_a_description(noun: type) -> None:
    assert noun.__doc__
    assert "Alias for" not in noun.__doc__


def test_nouns_errors_and_settings_need_no_jax() -> None:
    code = (
        "import sys; import descend.types, descend.errors, descend.settings;"
        "sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
