"""Resume an interrupted run: same data, same settings, same bytes at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from descend.errors import InputError
from descend.runs.fingerprint import check_unchanged
from descend.runtime.own_metrics import Asked
from descend.runtime.run import Options, resume_run
from descend.runtime.table_run import (
    NOTHING_ASKED,
    NOTHING_NAMED,
    Named,
    Run,
    TableRun,
    reopen_run,
)
from descend.training.processes.place import this_place


def resume(
    path: Path,
    options: Options,
    named: Named = NOTHING_NAMED,
    asked: Asked = NOTHING_ASKED,
) -> Run:
    """Continue the run in a folder; see `resume_run`.

    Args:
        path: of the run.
        options: only its progress and callbacks are used.
        named: what the user names himself of what stands in the record.
        asked: what is to be measured beside the usual.

    Raises:
        InputError: there is no run, its data was not a file, or its model is a custom one.
        DataError: the data changed since.
    """

    def make(path: Path, record: dict[str, Any]) -> TableRun:
        if record.get("own"):
            raise InputError(
                f"{path} is a run of a custom model, which only your program can build. Call "
                f"descend.fit again with out={str(path)!r} and resume=True."
            )
        before = record["data"]["fingerprint"]
        return reopen_run(
            path,
            record,
            options.progress,
            # What the other processes read is compared with what process 0 reads.
            (lambda now: check_unchanged(path, before, now)) if this_place().first else None,
            named,
            asked,
        )

    return resume_run(path, make, options)
