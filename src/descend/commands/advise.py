"""Batch size and learning rate where the user left them to us: by measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.io.atomic import write_error, write_json, write_whole
from descend.reporting.pages.advice import advice_page
from descend.reporting.progress import Progress
from descend.reporting.render import render
from descend.runtime.auto import choose
from descend.runtime.trial_setup import MakeSetup
from descend.settings import Settings
from descend.training.jax_setup import set_up
from descend.types import Advice

THOROUGH = 10.0
"""Seconds that an advice takes at the least where somebody asked for one."""


def advise(
    make_setup: MakeSetup, settings: Settings, *, progress: Progress, out: Path | None = None
) -> tuple[Advice, dict[str, Any]]:
    """Advice for a problem, and the record that its report is made from.

    Args:
        make_setup: makes the problem.
        settings: as the user gave them.
        progress: who is told what happens.
        out: a folder for the record and its page, or None.
    """
    set_up()
    setup = make_setup(settings, progress)
    chosen = choose(setup.problem, setup.settings, progress, at_least=THOROUGH)
    advice = chosen.advice or Advice(
        batch_size=int(chosen.settings.batch_size),
        learning_rate=float(chosen.settings.learning_rate),
        interval=(float(chosen.settings.learning_rate),) * 2,
        flat_region=(int(chosen.settings.batch_size),) * 2,
    )
    record = {
        "advice": dataclasses.asdict(advice),
        "settings": setup.recorded(chosen.settings),
        "rows": setup.data["rows"],
        "task": setup.data["task"],
        "own": dict(setup.own),
    }
    if out is not None:
        write_advice(out, record)
    return advice, record


def write_advice(out: Path, record: Mapping[str, Any]) -> None:
    """Leave the record of an advice and its page in a folder.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(out, error) from error
    write_json(out / "advice.json", record)
    write_whole(out / "advice.html", render(advice_page(record)))
