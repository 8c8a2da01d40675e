"""Advice on batch size and learning rate, by measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from descend.commands.outputs import ADVICE, free_folder, write_record_and_page
from descend.defaults import ADVICE_SECONDS
from descend.io.machine import utc_now
from descend.reporting.progress import Progress
from descend.runtime.auto import choose
from descend.runtime.together import check_alone
from descend.runtime.trial_setup import MakeSetup
from descend.settings import Settings
from descend.training.jax_setup import set_up
from descend.types import Advice


def advise(
    make_setup: MakeSetup,
    settings: Settings,
    *,
    progress: Progress,
    out: str | Path | None = None,
    force: bool = False,
    command: list[str] | None = None,
    next_command: Callable[[Advice], str] | None = None,
    processes: Callable[[Advice], dict[str, Any]] | None = None,
) -> tuple[Advice, dict[str, Any]]:
    """Advice for a problem, and the record that its page is made from.

    Args:
        make_setup: makes the problem.
        settings: as the user gave them.
        progress: shows what is being measured.
        out: a folder for the record and its page, or None.
        force: whether an earlier advice in that folder may be replaced.
        command: what was typed, for the record.
        next_command: what to type to train with the advice, for the record and its page.
        processes: measures how many processes pay, for the record.
    """
    check_alone("advise")
    began = utc_now()
    set_up()
    folder = None if out is None else free_folder(out, ADVICE, force=force)
    setup = make_setup(settings, progress)
    chosen = choose(setup.problem, setup.settings, progress, at_least=ADVICE_SECONDS)
    advice = chosen.advice or Advice(
        batch_size=int(chosen.settings.batch_size),
        learning_rate=float(chosen.settings.learning_rate),
        interval=(float(chosen.settings.learning_rate),) * 2,
        flat_region=(int(chosen.settings.batch_size),) * 2,
        evidence={"decided_by": "given", "given": ["batch size", "learning rate"]},
    )
    content = {
        "started": began,
        "advice": dataclasses.asdict(advice),
        "settings": setup.recorded(chosen.settings),
        "rows": setup.data["rows"],
        "task": setup.data["task"],
        "own": dict(setup.own),
    }
    if next_command is not None:
        content["train_command"] = next_command(advice)
    if processes is not None:
        content["processes"] = processes(advice)
    return advice, write_record_and_page(folder, ADVICE, content, command)
