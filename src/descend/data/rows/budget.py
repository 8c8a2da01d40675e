"""How much memory there is, and what each part of the work may take of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from descend.errors import SettingsError, option_text

MIB = 1 << 20
BASE = 400 * MIB
"""What Python, JAX, DuckDB and PyArrow take by themselves, a compiled network included."""
FLOOR = 640 * MIB
"""The least bound that is accepted."""
_RESERVE = 0.2
_LEAST_RESERVE = 256 * MIB
_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Budget:
    """A bound on the whole process, divided among the parts that are at work together.

    While the table is read: `base` + `reading` + `table`, or `base` + `reading` + `shuffling` +
    `encoding`. While a model is trained: `base` + `table`, or `base` + `window` + `validation`;
    the rest is for chunks on their way, gradients and the copies of the model.

    Attributes:
        total: bytes of the whole process.
        reading: bytes for DuckDB.
        table: bytes of rows that are held in memory as a whole.
        shuffling: bytes for bringing rows into order when they are written to disk.
        encoding: bytes of rows between reading and writing.
        window: bytes of rows of a store that are in memory, and shuffled, together.
        validation: bytes of validation rows that stay in memory beside a window.
    """

    total: int
    reading: int
    table: int
    shuffling: int
    encoding: int
    window: int
    validation: int

    @property
    def working(self) -> int:
        """Bytes that remain for training: chunks, gradients, copies of the model."""
        return self.total - BASE - max(self.table, self.window + self.validation)

    def encoded_rows(self, row_bytes: int) -> int:
        """Rows to encode at a time; on the way a value takes about eight times its size."""
        return max(256, min(65536, self.encoding // (8 * row_bytes)))


def divide(memory: int | None) -> Budget:
    """The budget for `--memory`; None takes what is free, less a reserve.

    Raises:
        SettingsError: less than the floor.

    Example:
        >>> divide(1 << 30).total
        1073741824
    """
    if memory is not None and memory < FLOOR:
        raise SettingsError(
            f"{option_text('memory')} must be at least {FLOOR // MIB} MiB: Python, JAX and "
            "DuckDB alone take "
            f"about {BASE // MIB}. Found {memory / MIB:.0f} MiB."
        )
    total = memory if memory is not None else max(FLOOR, usable_memory())
    free = total - BASE
    return Budget(
        total=total,
        reading=int(0.40 * free),
        table=int(0.45 * free),
        shuffling=int(0.20 * free),
        encoding=int(0.15 * free),
        window=int(0.35 * free),
        validation=int(0.08 * free),
    )


def usable_memory() -> int:
    """Bytes that are free now, less a fifth (at least 256 MiB) for others."""
    free = free_memory()
    return free - max(_LEAST_RESERVE, int(_RESERVE * free))


def free_memory() -> int:
    """Bytes that can be had without swapping: what the system and every cgroup above allow."""
    return min(_system_free(), *_cgroup_free(), _UNLIMITED)


def _system_free() -> int:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Elsewhere what is free cannot be asked without help: half of what there is.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _cgroup_free(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUP) -> Iterator[int]:
    """What each cgroup that this process is in has left, its file cache counted as free."""
    yield _UNLIMITED
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit, used, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base = root / "memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        folder = base / path.lstrip("/")
        # Inside a container the path may be that of the host: then only the root is there.
        for place in (folder, *folder.parents):
            if (place / limit).exists():
                yield _left(place / limit, place / used, place / "memory.stat", cache)
            if place == base:
                break


def _left(limit: Path, used: Path, statistics: Path, cache: str) -> int:
    allowed = "".join(_lines(limit)).strip()
    if not allowed.isdigit() or int(allowed) >= _UNLIMITED:
        return _UNLIMITED
    taken = int("".join(_lines(used)).strip() or 0)
    for line in _lines(statistics):
        if line.startswith(cache + " "):
            taken -= int(line.split()[1])
    return max(0, int(allowed) - taken)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
