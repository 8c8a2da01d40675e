"""Ways to damage a file: at random, and as real exports, editors and attackers do."""

from __future__ import annotations

import random
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch HACKED\x85R."
NUMBERS = [b"1e308", b"-1e308", b"1e999", b"nan", b"inf", b"-0", b"99999999999999999999", b"0x10"]
NUMBERS += [b"1_000", b"1,5", b"", b"NULL", b"None", b"true", b"2011-13-45", b"\xef\xbb\xbf1"]
CODE = [
    b"__import__('os').system('touch HACKED')",
    b"'; COPY (SELECT 1) TO 'HACKED'; --",
    b"\"; COPY (SELECT 1) TO 'HACKED'; --",
    b"=cmd|'/C touch HACKED'!A0",
    b"${jndi:file:HACKED}",
    b"<script>HACKED</script>",
    PICKLE,
]
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp500", "utf-7"]


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Some bits changed."""
    content = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 8, 64])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    return bytes(content)


def cut(data: bytes, dice: random.Random) -> bytes:
    """The beginning alone."""
    return data[: dice.choice([dice.randrange(len(data)), len(data) - 1, dice.randrange(16)])]


def begun_late(data: bytes, dice: random.Random) -> bytes:
    """The end alone."""
    return data[dice.randrange(len(data)) :]


def hole(data: bytes, dice: random.Random) -> bytes:
    """Something missing in the middle."""
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.choice([1, 1, 16, 500]) :]


def zeroed(data: bytes, dice: random.Random) -> bytes:
    """A block of zeros, as after a power loss."""
    start, length = dice.randrange(len(data)), dice.choice([1, 8, 512])
    return data[:start] + b"\0" * len(data[start : start + length]) + data[start + length :]


def repeated(data: bytes, dice: random.Random) -> bytes:
    """A stretch written twice."""
    start = dice.randrange(len(data))
    stop = start + dice.choice([1, 20, 300])
    return data[:stop] + data[start:stop] + data[stop:]


def spliced(data: bytes, dice: random.Random) -> bytes:
    """Code, or a number nobody expects, put in somewhere."""
    start = dice.randrange(len(data))
    return data[:start] + dice.choice(CODE + NUMBERS) + data[start:]


def replaced(data: bytes, dice: random.Random) -> bytes:
    """Another file altogether."""
    return dice.choice([b"", b"\n", b"\0" * 64, PICKLE, b"PK\3\4" + data, b"{}", b"[]", b"null"])


def one_byte(data: bytes, dice: random.Random) -> bytes:
    """A byte that means something to a parser, put over another or between two."""
    start = dice.randrange(len(data))
    byte = dice.choice([b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\\", b"\0", b"{", b"]"])
    byte = dice.choice([byte, byte, b"\xff", b"\xc3", b" ", b"-", b"9", b"e", b"="])
    return data[:start] + byte + data[start + dice.randrange(2) :]


def field(data: bytes, dice: random.Random) -> bytes:
    """A field of a line of text replaced."""
    lines = data.split(b"\n")
    number = dice.randrange(len(lines))
    fields = lines[number].split(b",")
    fields[dice.randrange(len(fields))] = dice.choice(NUMBERS + CODE)
    lines[number] = b",".join(fields)
    return b"\n".join(lines)


def ragged(data: bytes, dice: random.Random) -> bytes:
    """A line with a field more or fewer."""
    lines = data.split(b"\n")
    number = dice.randrange(len(lines))
    lines[number] = dice.choice([lines[number] + b",1", lines[number].rpartition(b",")[0]])
    return b"\n".join(lines)


def column(data: bytes, dice: random.Random) -> bytes:
    """The same field of every line replaced."""
    lines = data.split(b"\n")
    place, value = dice.randrange(8), dice.choice(NUMBERS + CODE)
    for number in range(1, len(lines)):
        fields = lines[number].split(b",")
        if place < len(fields):
            fields[place] = value
            lines[number] = b",".join(fields)
    return b"\n".join(lines)


def header(data: bytes, dice: random.Random) -> bytes:
    """A column name doubled, emptied, or with code in it; or no header at all."""
    first, _, rest = data.partition(b"\n")
    names = first.split(b",")
    place = dice.randrange(len(names))
    names[place] = dice.choice([names[0], b"", names[0].upper(), b"1", b'""', *CODE])
    return dice.choice([b",".join(names) + b"\n" + rest, rest])


def delimited(data: bytes, dice: random.Random) -> bytes:
    """Another delimiter, or another line end."""
    old, new = dice.choice(
        [(b",", b";"), (b",", b"\t"), (b",", b"|"), (b"\n", b"\r\n"), (b"\n", b"\r")]
    )
    return data.replace(old, new)


def recoded(data: bytes, dice: random.Random) -> bytes:
    """Another encoding."""
    return data.decode("latin1").encode(dice.choice(ENCODINGS))


BINARY: list[Mutation] = [flipped, cut, begun_late, hole, zeroed, repeated, spliced, replaced]
TEXT: list[Mutation] = [*BINARY, one_byte, one_byte, field, field, ragged, column, recoded]
TABLE: list[Mutation] = [*TEXT, header, header, delimited]


def mutated(data: bytes, ways: list[Mutation], dice: random.Random) -> bytes:
    """The content after one to three mutations."""
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        data = dice.choice(ways)(data, dice) if data else data
    return data
