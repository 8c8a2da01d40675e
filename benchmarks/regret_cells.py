"""What was measured for a problem of the regret, kept in a file that grows cell by cell."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "docs" / "regret"


class OutOfTimeError(Exception):
    """The minutes that were given are over."""


class Cells:
    """What was measured for one problem, kept in a file that grows cell by cell.

    Args:
        path: the file.
        end: when nothing more is measured, as `time.monotonic` says.
    """

    def __init__(self, path: Path, end: float = math.inf) -> None:
        self.path, self.end = path, end
        self.facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, key: str, measure: Callable[[], Any]) -> Any:
        """What is known under a key, measured where it is not."""
        if key not in self.facts:
            if time.monotonic() > self.end:
                raise OutOfTimeError
            self.facts[key] = measure()
            self._save()
        return self.facts[key]

    def keep(self, key: str, value: Any) -> None:
        """Keep what was measured, in place of what was known under this key."""
        self.facts[key] = value
        self._save()

    def forget(self, kinds: Sequence[str]) -> None:
        """Forget what was measured under keys that begin with one of these words."""
        self.facts = {key: one for key, one in self.facts.items() if key.split()[0] not in kinds}
        self._save()

    def forget_one(self, key: str) -> None:
        """Forget what was measured under a key."""
        del self.facts[key]

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rough = self.path.with_suffix(".part")
        rough.write_text(json.dumps(self.facts, indent=1) + "\n")
        rough.replace(self.path)
