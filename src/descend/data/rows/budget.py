"""How much memory the process may use, divided among the parts of its work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from descend.errors import SettingsError, option_text
from descend.io.allocator import return_freed_blocks

MIB = 1 << 20
BASE = 400 * MIB
"""What Python, JAX, DuckDB and PyArrow take without data, including a compiled network."""
FLOOR = 640 * MIB
"""The lowest limit that is accepted."""
_RESERVE = 0.2
_LEAST_RESERVE = 256 * MIB
_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class Budget:
    """A limit for the whole process, divided among the parts that work at the same time.

    While the table is read: `base` + `reading` + `table`, or `base` + `reading` + `shuffling` +
    `encoding`. While a model is trained: `base` + `table`, or `base` + `window` + `validation`;
    the rest is for chunks in flight, gradients and copies of the model.

    Attributes:
        total: bytes of the whole process.
        reading: bytes for DuckDB.
        table: bytes for a table held in memory as a whole.
        shuffling: bytes for shuffling rows as they are written to disk.
        encoding: bytes for rows between reading and writing.
        window: bytes for the window of a store that is in memory.
        validation: bytes for validation rows that stay in memory beside a window.
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

    @property
    def batch_bytes(self) -> int:
        """Bytes of raw rows that are read at a time; four such batches are in memory at once."""
        return self.encoding // 4

    def encoded_rows(self, row_bytes: int) -> int:
        """Rows to encode at a time; meanwhile a value takes about eight times its encoded size."""
        return max(256, min(65536, self.encoding // (8 * row_bytes)))


def divide(memory: int | None) -> Budget:
    """The budget for the option `memory`; None takes what is free, less a reserve.

    Raises:
        SettingsError: less than `FLOOR`.

    Example:
        >>> divide(1 << 30).total
        1073741824
    """
    if memory is not None and memory < FLOOR:
        raise SettingsError(
            f"{option_text('memory')} must be at least {FLOOR // MIB} MiB: Python, JAX and "
            f"DuckDB alone take about {BASE // MIB}. Found {memory / MIB:.0f} MiB."
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


def keep_to(memory: int | None) -> Budget:
    """The same for the process that is to keep to it: it returns what it frees to the system.

    Raises:
        SettingsError: less than `FLOOR`.
    """
    if memory is not None:
        return_freed_blocks()
    return divide(memory)


def usable_memory() -> int:
    """Bytes that are free now, less a fifth (at least 256 MiB) for others."""
    free = free_memory()
    return free - max(_LEAST_RESERVE, int(_RESERVE * free))


def free_memory() -> int:
    """Bytes available without swapping, as the system and every enclosing cgroup allow."""
    return min(_system_free(), *_cgroup_free(), _UNLIMITED)


def _system_free() -> int:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Other systems do not tell what is free without a library: take half of the total.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _cgroup_free(own: Path = Path("/proc/self/cgroup"), root: Path = _CGROUP) -> Iterator[int]:
    """What each cgroup of this process has left, counting its file cache as free."""
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
        # In a container the path may be the host's, where only the root exists.
        for place in (folder, *folder.parents):
            if (place / limit).exists():
                yield _bytes_left(place / limit, place / used, place / "memory.stat", cache)
            if place == base:
                break


def _bytes_left(limit: Path, used: Path, statistics: Path, cache: str) -> int:
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
