"""What records of older versions hold in another place than those of today."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def leaking_in(warnings: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """The columns that warnings say give the target away: older records name them nowhere else.

    Args:
        warnings: of the table.
        names: of its columns.

    >>> leaking_in(["Column 'paid' gives the target 'y' away (...)."], ["paid", "leak_rate"])
    ('paid',)
    """
    subjects = [warning.partition(" gives the target ")[0] for warning in warnings]
    return tuple(name for name in names if f"Column {name!r}" in subjects)
