"""A model as one safetensors file: its weights by name, and all that prediction needs as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from descend.errors import FileFormatError
from descend.io.tensors import Arrays, load_tensors, save_tensors
from descend.types import Params

DEEPEST = 100
"""Dicts and lists within each other."""


def save_model_file(path: Path, params: Params, description: Mapping[str, Any]) -> None:
    """Write a model, whole or not at all.

    Args:
        path: of the file.
        params: nested dicts and lists of arrays; names become `layers/0/kernel`.
        description: values that JSON holds.
    """
    save_tensors(path, "model", flatten(params), description)


def load_model_file(path: Path) -> tuple[Params, dict[str, Any]]:
    """The weights, nested as they were saved, and the description.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is truncated, altered, of a newer version, or no model.
    """
    arrays, description = load_tensors(path, "model")
    return unflatten(arrays, path), description


def flatten(params: Params, prefix: str = "") -> Arrays:
    """Arrays by the path that leads to them: keys of dicts and places in lists."""
    if isinstance(params, Mapping):
        items = [(str(key), value) for key, value in params.items()]
    elif isinstance(params, list | tuple):
        items = [(str(place), value) for place, value in enumerate(params)]
    else:
        return {prefix: np.asarray(params)}
    found: Arrays = {}
    for key, value in items:
        found.update(flatten(value, f"{prefix}/{key}" if prefix else key))
    return found


def unflatten(arrays: Arrays, path: Path) -> Params:
    """The nesting that `flatten` took apart; keys that count from 0 make a list."""
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        *folders, last = name.split("/")
        if len(folders) > DEEPEST:
            raise FileFormatError(f"{path} is damaged: an array is nested {len(folders)} deep.")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise FileFormatError(f"{path} is damaged: {name} stands inside an array.")
        if last in place:
            raise FileFormatError(f"{path} is damaged: {name} stands for several arrays.")
        place[last] = value
    return _lists(tree)


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    inner = {key: _lists(value) for key, value in tree.items()}
    if inner and sorted(inner) == sorted(str(place) for place in range(len(inner))):
        return [inner[str(place)] for place in range(len(inner))]
    return inner
