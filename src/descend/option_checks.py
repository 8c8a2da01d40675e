"""Checks of one option each, whose errors say what was expected and what was found."""

from __future__ import annotations

import difflib
import math
import sys

from descend.errors import SettingsError, option_text

FLOAT32_MAX = (2 - 2**-23) * 2.0**127
"""Largest value of an option that updates compute with."""
LARGEST_COUNT = 1 << 53
"""Largest value of an option; beyond, float64 cannot hold every whole number."""


def check_names(name: str, value: object, what: str = "names of columns") -> None:
    """Raise SettingsError unless an option is a tuple of names, or of what else is text."""
    if not (isinstance(value, tuple) and all(isinstance(part, str) for part in value)):
        raise SettingsError(f"{option_text(name)} must be {what}; found {value!r}.")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise SettingsError unless an option is one of a few words; the nearest is offered."""
    if value not in choices:
        near = difflib.get_close_matches(str(value).lower(), choices, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingsError(
            f"{option_text(name)} must be one of {', '.join(choices)}; found {value!r}.{hint}"
        )


def check_no_array(name: str, value: object) -> None:
    """Raise SettingsError for an array, which compares element by element."""
    if getattr(value, "ndim", 0):
        raise SettingsError(
            f"{option_text(name)} must be a single value, a list or a tuple; found an array or a "
            f"table ({type(value).__name__})."
        )


def check_number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float = sys.float_info.max,
    whole: bool = False,
    also: str = "",
) -> None:
    """Raise SettingsError unless an option is a number in a range.

    Args:
        name: of the option.
        value: of the option.
        low: least value.
        above: a bound that the number has to exceed.
        below: a bound that it has to stay under.
        most: largest value of a number that need not be whole.
        whole: whether it has to be a whole number.
        also: what the option may be instead, for the message; it is not checked here.
    """
    limits = [
        text
        for limit, text in (
            (low, f"at least {low}"),
            (above, f"greater than {above}"),
            (below, f"less than {below}"),
        )
        if limit is not None
    ]
    try:
        found = repr(value)
    except ValueError:  # Python refuses to print numbers with thousands of digits.
        found = "a number of thousands of digits"
    most = LARGEST_COUNT if whole else most
    far = isinstance(value, int | float) and abs(value) > min(most, LARGEST_COUNT)
    if far and below is None and value != math.inf:
        limits.append(f"at most {most:.1e}")
    wanted = ("a whole number " if whole else "a number ") + " and ".join(limits)
    if also:
        wanted += f", or {also}"
    good = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or (not whole and math.isfinite(value)))
        and abs(value) <= most
        and (low is None or value >= low)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not good:
        raise SettingsError(f"{option_text(name)} must be {wanted}; found {found}.")
