"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import functools
import sys

MMAP_THRESHOLD = -3
"""The option of glibc's `mallopt` that sets from how many bytes on a block is a mapping of its own,
which goes back to the system as soon as it is freed."""
LARGE_BYTES = 1 << 20
"""Blocks from this size on are returned: pages of smaller ones cost more to get again."""


@functools.cache
def return_freed_blocks() -> None:
    """Have blocks of `LARGE_BYTES` and more go back to the system as soon as they are freed.

    By default glibc raises the size from which that is so to that of the largest block freed so
    far, up to 32 MiB. Then each thread keeps up to 64 MiB of freed blocks for itself, which made
    the process half as large again as what it used. Other C libraries are left as they are.
    (man 3 mallopt, M_MMAP_THRESHOLD)
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE_BYTES)
