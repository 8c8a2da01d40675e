"""Paths that users type: refuse impossible ones, check that outputs can be written."""

from __future__ import annotations

import functools
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from descend.errors import InputError
from descend.io.atomic import write_error

LONGEST_NAME = 255
"""Bytes of one part of a path, on the file systems in use."""


def named_path(path: str | os.PathLike[str], option: str = "") -> Path:
    """A path that the user typed; `~` is the user's home.

    A shell puts the home in place of `~` only where a word begins with it, not in `--out=~/runs`.

    Args:
        path: as it was typed.
        option: where it was typed, for the message.

    Raises:
        InputError: no file can have this name, or none that a record could hold; or there is no
            home.
    """
    try:
        text = os.fspath(path)
        assert isinstance(text, str)
    except (TypeError, AssertionError):
        raise InputError(f"Expected the name of a file or folder; found {path!r}.") from None
    where = f"{option} must name a file or folder" if option else "Expected the name of a file"
    if "\0" in text:
        raise InputError(f"{where}; found {text!r}, which holds the character NUL.")
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{where} in UTF-8; found {_remedy(text)}") from None
    longest = max(map(len, content.split(b"/")))
    if longest > LONGEST_NAME:
        raise InputError(
            f"{where}; found a name of {longest:,} bytes: {text!r}. "
            f"A name has at most {LONGEST_NAME} bytes between two slashes."
        )
    if not text.startswith("~") or os.path.lexists(text):
        return Path(text)
    found = os.path.expanduser(text)
    if found == text and text.partition("/")[0] == "~":
        raise InputError(
            f"{where}; found {text!r}, and this user has no home. Name it in full, or set HOME."
        )
    return Path(found)


def check_writable(folder: Path) -> None:
    """Try out that files can be written in a folder, which may not exist yet; nothing is left.

    Raises:
        InputError: they cannot; the message says why.
    """
    made: list[Path] = []
    try:
        for place in (*reversed(folder.parents), folder):
            if not place.exists():
                place.mkdir()
                made.append(place)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()


def cache_folder() -> Path:
    """Where what can be made anew is kept: the user's cache.

    A user without a home, as in many containers, has a folder of his own among the temporary
    files; one that belongs to somebody else is not taken.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "descend"
    try:
        return Path.home() / ".cache" / "descend"
    except RuntimeError:
        pass
    return _temporary_cache()


@functools.cache
def _temporary_cache() -> Path:
    own = Path(tempfile.gettempdir()) / f"descend-{os.getuid()}"
    with suppress(OSError):
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o22:
            return own
    return Path(tempfile.mkdtemp(prefix="descend-"))


def _remedy(text: str) -> str:
    """What was found in place of a name in UTF-8, and what to do."""
    try:
        name = os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return f"{text!r}. Rename it first."
    # The name is as it should be; Python reads what is typed in another encoding.
    return f"another encoding in this terminal. For {name!r} set LC_ALL=C.UTF-8 and start again."
