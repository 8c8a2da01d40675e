"""The typed keywords of the Python functions are the fields of Settings."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import descend
from descend import choices
from descend.keywords import (
    CustomKeywords,
    MeasureKeywords,
    NetworkKeywords,
    RunKeywords,
    TableKeywords,
    TrainKeywords,
)
from descend.settings import Settings

FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
HINTS = get_type_hints(TrainKeywords)


def test_train_takes_every_setting() -> None:
    assert HINTS.keys() == FIELDS.keys() - {"target"}


@pytest.mark.parametrize(
    ("function", "keywords"),
    [
        (descend.train, TrainKeywords),
        (descend.advise, MeasureKeywords),
        (descend.compare, MeasureKeywords),
        (descend.landscape, MeasureKeywords),
        (descend.fit, TableKeywords),
    ],
)
def test_no_keyword_is_also_a_parameter(function: Any, keywords: Any) -> None:
    signature = inspect.signature(function)
    assert str(signature.parameters["options"].annotation) == f"Unpack[{keywords.__name__}]"
    own = signature.parameters.keys() - {"options"}
    assert not own & get_type_hints(keywords).keys()
    # What one of them lacks, it names itself; or it belongs to descend's own networks.
    missing = HINTS.keys() - get_type_hints(keywords).keys() - own
    networks = {"effort", "members", "networks", "hidden", "activation"}
    assert missing == (networks if function is descend.fit else set())


def test_the_options_of_custom_models_are_those_of_fit() -> None:
    parameters = inspect.signature(descend.fit, eval_str=True).parameters
    for name, hint in get_type_hints(CustomKeywords).items():
        assert parameters[name].annotation == hint
        for function in (descend.advise, descend.compare, descend.landscape):
            assert f"`{name}`" in str(function.__doc__)


def accepts(hint: Any, value: object) -> bool:
    """Whether a type has a value."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is Sequence:
        return isinstance(value, Sequence)
    if get_args(hint):
        return any(accepts(one, value) for one in get_args(hint))
    return isinstance(value, (int, float) if hint is float else hint)


@pytest.mark.parametrize("name", HINTS)
def test_each_type_has_the_default(name: str) -> None:
    assert accepts(HINTS[name], FIELDS[name].default)


@pytest.mark.parametrize("name", ["goal", "task"])
def test_choices_are_those_of_settings(name: str) -> None:
    words = {"goal": choices.GOALS, "task": choices.TASKS}[name]
    assert set(get_args(HINTS[name])) == set(words)


def test_none_is_allowed_where_settings_allow_it() -> None:
    kinds = get_type_hints(Settings)
    for name, hint in HINTS.items():
        assert (type(None) in get_args(hint)) == (type(None) in get_args(kinds[name])), name


def test_the_keywords_build_on_each_other() -> None:
    names = [
        get_type_hints(one).keys()
        for one in (RunKeywords, TableKeywords, NetworkKeywords, TrainKeywords)
    ]
    assert all(less < more for less, more in itertools.pairwise(names))
