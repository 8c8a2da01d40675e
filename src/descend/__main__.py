"""`python -m descend`, and what the `descend` command runs."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it as well."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    from descend.cli.app import main as run
    from descend.cli.process import end_process

    status = 1
    try:
        run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    except Exception:  # Only with --debug: everything else was told and has its status.
        traceback.print_exc(file=sys.stderr)
    end_process(status)


def _stop(number: int, frame: FrameType | None) -> None:
    # Nothing is written yet, and an exception here might be taken for one of the import's.
    os.write(2, b"descend: stopped.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
