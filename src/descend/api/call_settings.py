"""The settings of a call, in which arrays need no name for the target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.custom.problem import CustomParts
from descend.settings import Settings, settings_from


def table_settings(data: Any, target: str | None, options: Mapping[str, Any]) -> Settings:
    """The settings of a call on a table, whose target has a name unless it is a pair of arrays.

    A table may have a column `y` that nobody wants to predict.
    """
    return settings_from({"target": target or ("y" if isinstance(data, tuple) else ""), **options})


def custom_settings(parts: CustomParts, target: str | None, options: Mapping[str, Any]) -> Settings:
    """The settings of a call with a custom model, whose target is `y` unless it reads a file."""
    named = {"optimizer": parts.optimizer} if isinstance(parts.optimizer, str) else {}
    unnamed = "" if isinstance(parts.data, str | Path) else "y"
    return settings_from({"target": target or unnamed, **named, **options})
