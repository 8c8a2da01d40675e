from __future__ import annotations

import datetime
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.schema.dates import PARTS, part_values

EPOCH = datetime.datetime(1970, 1, 1)


def slow_parts(moment: datetime.datetime) -> dict[str, float]:
    day = (moment - EPOCH) / datetime.timedelta(days=1)
    turns = {
        "month": (moment.month - 1) / 12,
        "weekday": moment.weekday() / 7,
        "hour": (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0))
        / datetime.timedelta(days=1),
    }
    parts = {"year": moment.year, "day": moment.day, "elapsed days": day}
    for name, turn in turns.items():
        parts[f"{name} sin"] = math.sin(2 * math.pi * turn)
        parts[f"{name} cos"] = math.cos(2 * math.pi * turn)
    return parts


@settings(deadline=None)
@given(st.lists(st.datetimes(), min_size=1, max_size=20))
def test_parts_are_those_of_the_calendar(moments: list[datetime.datetime]) -> None:
    microseconds = [(moment - EPOCH) // datetime.timedelta(microseconds=1) for moment in moments]
    found = part_values(np.array(microseconds), PARTS)
    for place, moment in enumerate(moments):
        for name, value in slow_parts(moment).items():
            assert math.isclose(found[name][place], value, rel_tol=1e-12, abs_tol=1e-9), name


def test_only_what_is_asked_for() -> None:
    assert list(part_values(np.array([0]), ["hour cos", "year"])) == ["hour cos", "year"]
