"""Frozen dataclasses from JSON, every value checked against its annotation."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints


def read_record(kind: type[Any], record: Mapping[str, Any]) -> Any:
    """An instance of a dataclass from a mapping of its fields.

    Raises:
        KeyError: a field is absent.
        TypeError: a value is not of the field's type.
        ValueError: a number is not finite.
    """
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        if field.name not in record:
            raise KeyError(f"{field.name!r} is absent")
        values[field.name] = _read(hints[field.name], record[field.name], field.name)
    return kind(**values)


def _read(hint: Any, value: Any, name: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, name)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{name!r} is not a list")
        return tuple(_read(get_args(hint)[0], one, name) for one in value)
    if dataclasses.is_dataclass(hint):
        if isinstance(hint, type) and isinstance(value, hint):
            return value
        if not isinstance(value, Mapping):
            raise TypeError(f"{name!r} is not an object")
        return read_record(hint, value)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise TypeError(f"{name!r} is not {hint.__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name!r} is not finite")
    return value


def _read_union(hints: tuple[Any, ...], value: Any, name: str) -> Any:
    if value is None and type(None) in hints:
        return None
    # A whole number is an int where int is allowed, and not made a float.
    exact = [hint for hint in hints if hint is type(value)]
    for hint in exact or [hint for hint in hints if hint is not type(None)]:
        try:
            return _read(hint, value, name)
        except (TypeError, KeyError):
            continue
    raise TypeError(f"{name!r} has a value of the wrong kind")
