"""Checksums of rows, the same however they were divided into chunks or among processes."""

from __future__ import annotations

import hashlib
from typing import Any, final

import numpy as np

from descend.custom.share_arrays import Share, rows_of_block
from descend.data.rows.store_header import leaves_of
from descend.data.share_rows import same_everywhere
from descend.types import Batch


@final
class Digest:
    """A checksum of rows, the same however they are divided into chunks."""

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}
        self._kinds: list[str] = []

    def add(self, batch: Batch) -> None:
        """Add rows."""
        for name, values in leaves_of(batch).items():
            if name not in self._arrays:
                self._arrays[name] = hashlib.blake2b(digest_size=16)
                self._kinds.append(f"{name} {values.dtype}{values.shape[1:]}")
            self._arrays[name].update(np.ascontiguousarray(values).data)

    def text(self) -> str:
        """The checksum of all rows so far."""
        whole = hashlib.blake2b(" ".join(self._kinds).encode(), digest_size=16)
        for one in self._arrays.values():
            whole.update(one.digest())
        return whole.hexdigest()


@final
class BlockDigest:
    """A checksum of a range of rows; the sum over ranges is the same however rows are divided."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._row = share.first
        self._sum = 0
        self._kinds = ""

    def add(self, batch: Batch) -> None:
        """Add rows, whole blocks of them."""
        leaves = leaves_of(batch)
        kinds = [f"{name} {values.dtype}{values.shape[1:]}" for name, values in leaves.items()]
        self._kinds = " ".join(kinds)
        size = rows_of_block(self._share.rows)
        for start in range(0, len(batch.weight), size):
            block = hashlib.blake2b(str(self._row + start).encode(), digest_size=16)
            for values in leaves.values():
                block.update(np.ascontiguousarray(values[start : start + size]).data)
            self._sum += int.from_bytes(block.digest(), "big")
        self._row += len(batch.weight)

    def text(self) -> str:
        """The checksum of the rows of all processes; every process asks for it."""
        sharing = self._share.sharing
        found = [self._sum] if sharing is None else same_everywhere(sharing, self._sum)
        whole = hashlib.blake2b(self._kinds.encode(), digest_size=16)
        whole.update((sum(found) % (1 << 128)).to_bytes(16, "big"))
        return whole.hexdigest()


def digest_of(batch: Batch) -> str:
    """The checksum of some rows."""
    digest = Digest()
    digest.add(batch)
    return digest.text()
