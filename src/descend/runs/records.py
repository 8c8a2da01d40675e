"""Read records from their files, each through its schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.io.json_records import Migration, read_record
from descend.runs.schemas.advice import AdviceRecord
from descend.runs.schemas.assessment import AssessmentRecord
from descend.runs.schemas.compare import CompareRecord
from descend.runs.schemas.landscape import LandscapeRecord
from descend.runs.schemas.parts import PlainSettings
from descend.runs.schemas.run import RunRecord

MIGRATIONS: tuple[Migration, ...] = ()
"""Of every record so far: version 1 is the only one."""
SCHEMAS: Mapping[str, tuple[type[Any], ...]] = {
    "run": (RunRecord, PlainSettings),
    "assessment": (AssessmentRecord,),
    "compare": (CompareRecord,),
    "landscape": (LandscapeRecord,),
    "advice": (AdviceRecord,),
}
"""By the name of the file."""


def read_kind(path: Path) -> dict[str, Any]:
    """A record from its file, whose name says of what kind it is.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is damaged, or was written by a newer version.
    """
    return read_record(path, *SCHEMAS[path.stem], migrations=MIGRATIONS)
