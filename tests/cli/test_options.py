"""Numbers on the command line: what is taken, and what is said of others."""

from __future__ import annotations

import pytest

from descend.cli.app import app
from descend.cli.options import SETTINGS
from descend.errors import InputError, SettingsError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("seed", "7", 7), ("epochs", "1e3", 1000), ("l2", "1e-3", 0.001), ("momentum", "1", 1.0)],
)
def test_numbers_are_read(name: str, text: str, expected: float) -> None:
    found = SETTINGS[name].read(name, text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["x", "1.5", "inf", "nan", "", "9" * 5000])
def test_what_is_no_whole_number_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="seed must be a whole number; found"):
        SETTINGS["seed"].read("seed", text)


@pytest.mark.parametrize("text", ["x", "nan", "1,5"])
def test_what_is_no_number_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="l2 must be a number; found"):
        SETTINGS["l2"].read("l2", text)


def test_a_decimal_comma_is_answered_with_the_number() -> None:
    for name in ("l2", "learning_rate"):
        with pytest.raises(SettingsError, match=r"found '0,1'\. Type 0\.1\."):
            SETTINGS[name].read(name, "0,1")


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_thousands_comma_of_a_whole_number_is_no_decimal_point(name: str) -> None:
    with pytest.raises(SettingsError, match=r"found '1,000'\. Type 1000\."):
        SETTINGS[name].read(name, "1,000")
    with pytest.raises(SettingsError, match=r"found '1,5'\.$"):
        SETTINGS[name].read(name, "1,5")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("--exclude a b, c", "--exclude, type --exclude a,b,c"),
        ("--hidden 64 32 --epochs 2", "--hidden, type --hidden 64,32"),
        ("more.csv --exclude a", "found more.csv. Type descend train --help."),
        ("--seed 1 more.csv", "found more.csv. Type descend train --help."),
    ],
)
def test_what_is_too_much_is_answered_with_what_to_type(typed: str, answer: str) -> None:
    with pytest.raises(InputError, match="descend train takes no further argument") as told:
        app(["train", "table.csv", *typed.split()], prog_name="descend", standalone_mode=False)
    assert str(told.value).endswith(answer)
