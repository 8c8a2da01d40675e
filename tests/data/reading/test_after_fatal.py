"""After a fatal error of DuckDB its message is what the user sees, not that tidying up failed."""

from __future__ import annotations

import pytest

from descend.data.reading.connection import Instance
from descend.errors import DataError


def broken(instance: Instance) -> None:
    instance._connection.close()
    raise DataError("the first error")


def test_what_cannot_be_undone_hides_no_error() -> None:
    instance = Instance(None)
    with pytest.raises(DataError, match="the first error"), instance.one_thread():
        broken(instance)
