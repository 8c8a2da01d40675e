"""Whether the source that a record names may be read: the record may come from somebody else."""

from __future__ import annotations

import os
import re

from descend.data.reading.query import is_query
from descend.data.reading.streams import is_url
from descend.errors import DataError, option_text
from descend.io.secrets import without_secrets

_QUERY_AFTER = re.compile(r"#\s*(select|with)\s", re.IGNORECASE)
"""The query in `database#query`."""


def accept_recorded_source(source: str, *, record: str, named: str | None, option: str) -> str:
    """A source from a record, if it is safe to read or the user has named it too.

    A record may come from somebody else. A path in it is read, like any file. A query, a URL or a
    database is used only if the user repeats it.

    Args:
        source: as the record holds it.
        record: its name in messages, such as the folder of the run.
        named: what the user gave for `option`, or None.
        option: the option that names it, such as `data`.

    Raises:
        DataError: the source is not a path, and the user has named none or another.
    """
    asked = is_query(source) or (
        _QUERY_AFTER.search(source) is not None and not os.path.exists(source)
    )
    if not asked and not is_url(source):
        return source
    if named is not None and source.strip() in (named.strip(), without_secrets(named).strip()):
        return named  # Passwords are not recorded.
    shown = "".join(one if one.isprintable() else " " for one in source)
    kind = "the query" if asked else "the address"
    raise DataError(
        f"{record} was made from {kind}  {shown}  A record may come from somebody else, so this is "
        f"read only when you name it yourself: add  {option_text(option, shown)}"
    )
