"""Bytes, times and counts: what is written is read back as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.errors import SettingsError
from descend.io.units import bytes_text, count_text, parse_duration, parse_size, span_text


@given(st.integers(0, 1 << 49))
def test_bytes_are_read_back_to_three_digits(size: int) -> None:
    text = bytes_text(size)
    assert "e" not in text
    assert parse_size(text.replace(" ", "")) == pytest.approx(size, rel=0.005, abs=0.5)


@given(st.floats(1.0, 99.0))
def test_seconds_are_read_back_to_three_digits(seconds: float) -> None:
    assert parse_duration(span_text(seconds)) == pytest.approx(seconds, rel=0.005)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0009999, "1 ms"), (0.9999, "1 s"), (99.97, "1 min 40 s"), (3599.7, "1 h 0 min")],
)
def test_a_time_is_rounded_before_its_unit_is_chosen(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


@pytest.mark.parametrize("text", ["", "GiB", "1..5G", "-1G", "4 parsecs", "1e3", "9" * 400, "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="memory must be a size like 4GiB or 500MB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "s", "1..5m", "-1m", "4 weeks", "9" * 400, "inf"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="budget must be a time like 30s, 10m or 2h"):
        parse_duration(text, "budget")


def test_units_are_powers_of_1024_however_they_are_called() -> None:
    assert parse_size("500MB") == parse_size("500MiB") == parse_size("500m") == 500 << 20
    assert bytes_text(500 << 20) == "500 MiB"
    assert bytes_text(3 << 40) == "3 TiB"


def test_a_noun_follows_its_count() -> None:
    assert [count_text(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
