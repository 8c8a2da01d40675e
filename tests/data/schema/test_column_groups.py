from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from descend.data.reading.errors import MemoryShortError
from descend.data.reading.open_table import open_table
from descend.data.schema.column_groups import survey_groups


def test_groups_that_lack_memory_are_asked_in_halves() -> None:
    table = open_table(pa.table({"a": [1.0]}))
    asked: list[int] = []

    def survey(group: Any) -> Any:
        asked.append(len(group))
        if len(group) > 2:
            raise MemoryShortError("the memory does not suffice")
        return list(group)

    found = survey_groups(table, [range(7), range(7, 9)], survey)
    assert sorted(one for group in found for one in group) == list(range(9))
    assert max(asked[2:]) < 7

    def hopeless(group: Any) -> Any:
        raise MemoryShortError("the memory does not suffice")

    with pytest.raises(MemoryShortError, match="does not suffice"):
        survey_groups(table, [range(3)], hopeless)
