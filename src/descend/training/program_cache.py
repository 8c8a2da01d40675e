"""Keep the folder of compiled programs sound and small.

JAX writes an entry in place and never a second time. A process that was killed meanwhile, or a
full disk, leaves one that every later run fails to read, warns of, and compiles again; and JAX
removes no entry unless it can lock the folder for every access. Among several processes it keeps
the programs of process 0 alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_BYTES = 512 << 20
"""Size of all entries above which the oldest are removed, until half of it is left."""
STAMP = "checked"
"""An empty file whose time of change says up to when entries were checked."""
ENTRIES = "*-cache"


def tidy(folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
    """Remove damaged entries, and the oldest ones if there are too many.

    Only entries newer than the last call are read, so a call costs nothing where none are. An entry
    that another process is writing may look damaged; it is then compiled once more some day.

    Args:
        folder: where JAX keeps compiled programs; it exists.
        most_bytes: size of all entries above which the oldest are removed.
    """
    stamp = folder / STAMP
    with suppress(OSError):
        checked = stamp.stat().st_mtime_ns if stamp.exists() else 0
        if folder.stat().st_mtime_ns <= checked:
            return
        decompress = _decompress()
        found = []
        for path in folder.glob(ENTRIES):
            with suppress(OSError):
                facts = path.stat()
                if facts.st_mtime_ns > checked and decompress and not _is_sound(path, decompress):
                    path.unlink()
                else:
                    found.append((facts.st_mtime_ns, facts.st_size, path))
        _remove_oldest(found, most_bytes)
        stamp.touch()
        # Making the stamp, or removing entries, changed the folder.
        os.utime(stamp, ns=(folder.stat().st_mtime_ns,) * 2)


def _decompress() -> Callable[[bytes], bytes] | None:
    """What JAX reads an entry with, if this version still has it."""
    try:
        from jax._src.compilation_cache import decompress_executable
    except ImportError:
        return None
    return decompress_executable


def _is_sound(path: Path, decompress: Callable[[bytes], bytes]) -> bool:
    content = path.read_bytes()
    try:
        return bool(decompress(content))
    except Exception:  # Each compressor has errors of its own.
        return False


def _remove_oldest(found: list[tuple[int, int, Path]], most_bytes: int) -> None:
    total = sum(size for _, size, _ in found)
    if total <= most_bytes:
        return
    for _, size, path in sorted(found):
        if total <= most_bytes // 2:
            return
        with suppress(OSError):
            path.unlink()
            total -= size


def keep_in_every_process() -> None:
    """From now on each of several processes keeps the programs that it compiled.

    JAX lets process 0 write alone, for the others to read. On CPUs its key of a program depends on
    the process, so the others would find nothing and compile everything anew in each run.
    """
    from jax._src import compiler, distributed

    library: Any = compiler
    write, state = getattr(library, "_cache_write", None), distributed.global_state
    if write is None or not state.process_id:
        return

    def write_as_first(*arguments: Any, **named: Any) -> None:
        own, state.process_id = state.process_id, 0
        try:
            write(*arguments, **named)
        finally:
            state.process_id = own

    library._cache_write = write_as_first
