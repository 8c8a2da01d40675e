"""The cache of row stores: where a store lies, and whether it can be used again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from descend.data.rows.mapped_store import MappedStore, open_store
from descend.errors import DataError, FileFormatError, option_text
from descend.io.atomic import write_error
from descend.io.paths import cache_folder, named_path
from descend.io.units import bytes_text

Say = Callable[[str], None]


def folder_of_stores(named: str | None) -> Path:
    """The folder of all stores.

    Args:
        named: the option `store`; None: the cache.
    """
    return cache_folder() / "stores" if named is None else named_path(named)


def store_folder(kept_in: Path, name: str, identity: Mapping[str, Any]) -> Path:
    """The folder for the store of a source, split and columns, whatever the content.

    Args:
        kept_in: the folder of all stores.
        name: of the source, for people who look into the folder.
        identity: identifies the source even when its content changes.
    """
    text = json.dumps(identity, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "", Path(name).name.split(".")[0])[:40] or "table"
    return kept_in / f"{stem}-{digest}"


def open_cached_store(
    folder: Path, key: Mapping[str, Any], write: Callable[[], None], say: Say
) -> tuple[MappedStore, MappedStore]:
    """The store in a folder if it has this key, else a new one.

    Args:
        folder: of the store.
        key: must equal those items of the store's key.
        write: writes the store; called if there is none that can be used.
        say: called with messages for the user.

    Raises:
        DataError: the store cannot be written.
    """
    with _alone(folder, say):
        # Another process may have written it while this one waited.
        found = usable_store(folder, key, say)
        if found is not None:
            say(f"Rows are read from {folder}, written earlier from the same data.")
            return found
        write()
        found = open_store(folder)
        say(f"Rows are kept in {folder} ({bytes_text(found[0].header.bytes)}) for later runs.")
        return found


def usable_store(
    folder: Path, key: Mapping[str, Any], say: Say | None = None
) -> tuple[MappedStore, MappedStore] | None:
    """The store in a folder if it has this key, else None; the reason goes to `say`."""
    say = say or _ignore
    key = json.loads(json.dumps(key))
    if not os.path.exists(folder):
        return None
    try:
        found = open_store(folder)
    except FileFormatError as error:
        say(f"{str(error).split(' Delete ')[0]} It will be written again.")
        return None
    made_from = {name: found[0].header.key.get(name) for name in key}
    if made_from == key:
        return found
    changed = ", ".join(_differences(made_from, key))
    say(f"The row store {folder} was made from other data ({changed}); it will be written again.")
    return None


def _differences(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """What differs, in words."""
    if before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for one, other in zip(before, now, strict=True):
            yield from _differences(one, other, name)
    else:
        yield f"{name} was {before}, is {now}"


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """Let one process at a time work on a store."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        path = folder.with_name(f".{folder.name}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise DataError(
            f"{write_error(folder, error)} {option_text('store')} names another folder."
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another process is writing {folder}; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _ignore(text: str) -> None: ...
