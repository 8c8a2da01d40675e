"""A first report: replaced soon."""

from __future__ import annotations
import html, json
from collections.abc import Mapping
from typing import Any
from descend.types import History


def train_report(record: Mapping[str, Any], history: History) -> str:
    """A plain page."""
    return f"<!doctype html><title>descend</title><pre>{html.escape(json.dumps(record, default=str, indent=1))}</pre>"
