"""Data that can be read only once: standard input, pipes and downloads, copied to files."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from descend.data.reading.spool import Spool, copy_stream
from descend.errors import DataError
from descend.io.secrets import without_secrets

_URL = re.compile(r"[a-z][a-z0-9+]{1,9}://", re.IGNORECASE)
STANDARD_INPUT = ("-", "/dev/stdin")
_streams: dict[tuple[int, int], tuple[str, str]] = {}
"""(path, hash) of what was read from each pipe, by device and inode: it cannot be read again."""


def is_url(text: str) -> bool:
    """Whether a text begins as an address does: `https://`, `s3://`, `postgresql://`."""
    return _URL.match(text) is not None


def is_stream(path: str) -> bool:
    """Whether a path is standard input, a pipe or the like, which can only be read once."""
    if path in STANDARD_INPUT:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def stream_file(path: str, spool: Spool) -> tuple[str, str]:
    """(a file with the content of a stream, its hash).

    Raises:
        DataError: standard input is a terminal.
    """
    shown = "standard input" if path in STANDARD_INPUT else path
    try:
        descriptor = os.dup(0) if path in STANDARD_INPUT else os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror}.") from None
    with open(descriptor, "rb") as stream:
        if stream.isatty():
            raise DataError(
                f"Expected a table on {shown}, found a terminal. Give the name of a file, or send "
                "rows through a pipe:  cat FILE | descend ... -"
            )
        status = os.fstat(stream.fileno())
        key = (status.st_dev, status.st_ino)
        if key not in _streams:
            folder = tempfile.mkdtemp(prefix="descend-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            copy = os.path.join(folder, "stream")
            _streams[key] = (copy, copy_stream(stream, copy))
    copy, digest = _streams[key]
    named = spool.new("stream", shown)
    os.symlink(copy, named)
    if os.path.getsize(copy) == 0:
        raise DataError(f"{shown} is empty; expected a table.")
    return named, digest


def download(url: str, spool: Spool) -> tuple[str, str]:
    """(a file downloaded from an http URL, its hash).

    Raises:
        DataError: there is no answer, it is an error, or it ends too early.
    """
    import urllib.error
    import urllib.request

    shown = without_secrets(url)
    name = Path(url.partition("?")[0].partition("#")[0]).name or "download"
    path = spool.new(name[-100:], shown)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "descend"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            digest = copy_stream(answer, path)
            announced = int(answer.headers.get("Content-Length") or -1)
    except urllib.error.HTTPError as error:
        raise DataError(f"{shown}: the server answered {error.code} ({error.reason}).") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{shown} cannot be read: {reason}.") from None
    received = os.path.getsize(path)
    if announced not in (-1, received):
        raise DataError(
            f"{shown}: the connection ended after {received:,} of {announced:,} bytes. Try again."
        )
    return path, digest
