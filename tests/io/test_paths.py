"""Names of files that cannot be, and what to do about them."""

from __future__ import annotations

import pytest

from descend.errors import InputError
from descend.io.paths import named_path


def test_a_name_in_utf8_is_not_to_be_renamed_where_the_terminal_has_another_encoding() -> None:
    typed = "größe.csv".encode().decode("ascii", "surrogateescape")  # As Python has it there.
    with pytest.raises(InputError, match="set LC_ALL="):
        named_path(typed)


def test_a_name_that_is_no_utf8_is_to_be_renamed() -> None:
    with pytest.raises(InputError, match="Rename it first"):
        named_path(b"\xff\xfe.csv".decode("utf-8", "surrogateescape"))
