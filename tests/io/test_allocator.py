"""Memory that is freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

HELD = """
import ctypes
import numpy as np
from descend.io.allocator import return_freed_blocks

class Figures(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Figures

def mapped():  # bytes in blocks that are mappings of their own
    return libc.mallinfo2().e

if {mend}:
    return_freed_blocks()
np.ones(20 << 20, np.uint8)
before = mapped()
kept = np.ones(20 << 20, np.uint8)
print(mapped() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="no such glibc")
def test_a_block_is_a_mapping_of_its_own_although_a_larger_one_was_freed() -> None:
    def held(mend: bool) -> int:
        code = HELD.replace("{mend}", str(mend))
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        return int(done.stdout)

    assert held(mend=True) >= 20 << 20
    assert held(mend=False) == 0  # What glibc does by itself, which is why it is told.
