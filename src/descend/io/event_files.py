"""Event files that TensorBoard reads: a record for each line of the history.

The format is small and has not changed for years: a TFRecord is its length, a checksum of that, the
bytes, and their checksum; the bytes are an `Event` message of protocol buffers with one scalar for
each figure. Nothing of TensorFlow is needed to write it.
"""

from __future__ import annotations

import functools
import math
import struct
import time
from pathlib import Path
from typing import IO

from descend.types import HistoryLine

FIGURES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "progress/epoch": "epoch",
    "progress/examples": "examples",
    "settings/learning_rate": "learning_rate",
}
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


class EventWriter:
    """Writes an event file in a folder; every line is there for readers at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.time()
        path = folder / f"events.out.tfevents.{begun:.6f}.descend"
        self._sink: IO[bytes] = path.open("xb")
        self._begun = begun
        self._write(_field(1, _DOUBLE, begun) + _field(3, _BYTES, b"brain.Event:2"))

    def add(self, line: HistoryLine) -> None:
        """Write a line of the history, its update number as the step."""
        values = b""
        figures = {tag: float(getattr(line, name)) for tag, name in FIGURES.items()}
        figures |= {f"metrics/{name}": value for name, value in line.metrics.items()}
        for tag, value in figures.items():
            if math.isfinite(value):
                scalar = _field(1, _BYTES, tag.encode()) + _field(2, _FLOAT, value)
                values += _field(1, _BYTES, scalar)
        event = _field(1, _DOUBLE, self._begun + line.seconds)
        event += _field(2, _VARINT, line.update) + _field(5, _BYTES, values)
        self._write(event)

    def close(self) -> None:
        """End the file."""
        self._sink.close()

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        checks = (struct.pack("<I", _masked_checksum(part)) for part in (length, event))
        self._sink.write(length + next(checks) + event + next(checks))
        self._sink.flush()


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table = _table()
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked_checksum(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        found.append(value)
    return tuple(found)


def _field(number: int, kind: int, value: float | bytes) -> bytes:
    """A field of a protocol-buffer message."""
    key = _varint(number << 3 | kind)
    if isinstance(value, bytes):
        return key + _varint(len(value)) + value
    if kind == _VARINT:
        return key + _varint(int(value))
    return key + struct.pack("<d" if kind == _DOUBLE else "<f", value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
