"""What several processes that train together have to agree on."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.errors import LostProcessError, SettingsError, what_after_a_loss
from descend.reporting.progress import Progress
from descend.runs.checkpoint import Saved, load_checkpoint
from descend.runs.folder import read_run_record
from descend.runtime.auto import Chosen, choose
from descend.runtime.batch_schedule import check_batch_schedule, with_batch_schedule
from descend.runtime.callbacks import Agreement, Callbacks, KeepTime
from descend.runtime.same_work import check_same_weights, weights_checksum
from descend.runtime.synchrony import with_sync_every
from descend.settings import Settings
from descend.training.callback import Callback
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.problem import Problem, programs
from descend.training.processes.all_reduce import Link
from descend.training.processes.messages import bytes_from_first, from_all, from_first
from descend.training.processes.place import (
    Place,
    is_lost_connection,
    is_watched,
    this_link,
    this_place,
    use_link,
)
from descend.training.processes.slices import local, replicate
from descend.training.processes.watch import steps
from descend.training.several_networks import Networks
from descend.training.state import state_at
from descend.types import Params, StopReason, TrainState


class AskedOfNetworks(NamedTuple):
    """How networks of one process are trained, where it is not as usual.

    Attributes:
        begin_at: weights at which they begin; those beyond begin at random ones.
        keep_last: whether the last weights of each are kept, whatever their validation loss.
    """

    begin_at: Sequence[Params] = ()
    keep_last: bool = False


AS_USUAL = AskedOfNetworks()
_REASONS = list(StopReason)
_NONE = -1


def choose_together(
    problem: Problem, settings: Settings, progress: Progress, place: Place
) -> Chosen:
    """What `auto` stands for: process 0 measures, the others take what it found.

    All begin with the initial weights: the trials of process 0 are not known to the others.
    """
    check_batch_schedule(settings, place)
    if place.count == 1:
        alone = choose(problem, settings, progress)
        return alone._replace(settings=with_sync_every(problem, alone.settings, place, progress))
    found = np.zeros(2)
    advice = None
    steps.begin("measuring the batch size and the learning rate")
    if place.first:
        chosen, advice = choose(problem, settings, progress)[::2]
        found[:] = chosen.batch_size, chosen.learning_rate
    batch_size, learning_rate = from_first(found).tolist()
    numbers = {"batch_size": int(batch_size), "learning_rate": learning_rate}
    settings = with_sync_every(problem, settings.replace(**numbers), place, progress)
    return Chosen(settings, problem.begin(), advice)


def config_for(
    problem: Problem, config: LoopConfig, place: Place, settings: Settings
) -> LoopConfig:
    """A run in this process as one of several; the time budget is kept by `KeepTime`."""
    check_batch_schedule(settings, place)
    if place.count == 1:
        return with_batch_schedule(problem, config, settings)
    # Something that was not measured for several processes is as exact as one.
    every = settings.sync_every if isinstance(settings.sync_every, int) else 1
    shared = problem.in_parallel(config, place, every)
    return dataclasses.replace(shared, limits=dataclasses.replace(shared.limits, seconds=None))


def record_of_first(path: Path, place: Place) -> dict[str, Any]:
    """What run.json of a run holds, as process 0 reads it: the others need not see the folder.

    On a host without that folder, or with an old copy of it, a process would not go on with this
    run, or with another one.

    Args:
        path: of the run.
        place: which process this is.
    """
    record = read_run_record(path) if place.first else {}
    if place.count == 1:
        return record
    came: dict[str, Any] = json.loads(bytes_from_first(json.dumps(record).encode()))
    return came


def checkpoint_of_first(path: Path, place: Place) -> Saved | None:
    """The newest checkpoint of a run, as process 0 reads it; None where there is none."""
    saved = load_checkpoint(path / "checkpoint") if place.first else None
    if place.count == 1:
        return saved
    arrays, record = saved or ({}, None)
    forms = [[name, str(one.dtype), list(one.shape)] for name, one in arrays.items()]
    header = bytes_from_first(json.dumps([forms, record]).encode())
    content = bytes_from_first(b"".join(one.tobytes() for one in arrays.values()))
    forms, record = json.loads(header)
    if record is None:
        return None
    came, start = {}, 0
    for name, kind, shape in forms:
        stop = start + math.prod(shape) * jnp.dtype(kind).itemsize
        values = np.frombuffer(content[start:stop], jnp.dtype(kind))
        came[name], start = values.reshape(shape).copy(), stop
    return came, record


def link_record() -> dict[str, Any]:
    """What run.json says of the link between the processes, where it was measured."""
    link = this_link()
    return {} if link is None else {"link": link._asdict()}


def use_recorded_link(record: Mapping[str, Any], place: Place) -> None:
    """Sum as the run did until now, whatever the link does today: the last bits depend on it.

    Another number of processes sums in another order anyhow, in the way that suits its link.

    Args:
        record: run.json.
        place: which process this is.
    """
    if place.count == 1 or record.get("processes") != place.count:
        return
    known = record.get("link")
    link = None if known is None else Link(**known)
    if link != this_link():
        use_link(link)
        programs.cache_clear()


def of_another_number(record: Mapping[str, Any], place: Place) -> str | None:
    """What is told where a run goes on in another number of processes; None where it is the same.

    Rows that were shared out are told of where they are shared out anew.

    Args:
        record: run.json.
        place: which process this is, of how many.
    """
    before = record.get("processes", 1)
    if before == place.count or record["data"]["layout"].get("processes"):
        return None
    return (
        f"The run was in {before} {'process' if before == 1 else 'processes'} and goes on in "
        f"{place.count}: from the same update, to the same result up to rounding, but its bytes "
        "will differ."
    )


@contextmanager
def noticing_lost_processes(place: Place) -> Iterator[None]:
    """Within this block an error of a connection says that another process ended.

    Raises:
        LostProcessError: it did, and nobody watches over the processes who would say which.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if place.count == 1 or not is_lost_connection(error):
            raise
        if is_watched():
            raise SystemExit(LostProcessError.exit_status) from error
        raise LostProcessError(
            "Another process of this job ended, or could not be reached any more, so this one "
            f"cannot go on either. {what_after_a_loss(place.count)} "
            f"({str(error).splitlines()[0][:200]})"
        ) from error


def check_alone(command: str) -> None:
    """Raise SettingsError where this is one of several processes, for what is done in one."""
    count = this_place().count
    if count > 1:
        raise SettingsError(
            f"{command} measures in one process; found {count}. Call it in a program that is "
            "started once, and pass the batch size and the learning rate that it finds to "
            "descend.train or descend.fit here."
        )


def same_number(number: int) -> int:
    """The number that process 0 has, in all processes; for what each draws by itself."""
    if this_place().count == 1:
        return number
    (first,) = from_first(np.array([number], np.int64)).tolist()
    return int(first)


def in_all_processes(loop: LoopState) -> LoopState:
    """The loop state with arrays that all processes share."""
    return _with_arrays(loop, replicate)


def several_networks(
    problem: Problem, settings: Settings, place: Place, asked: AskedOfNetworks
) -> Networks | None:
    """How a run trains several networks; None where it trains one.

    Args:
        problem: of the first.
        settings: of the run.
        place: of several processes, which all begin at the same weights.
        asked: where networks begin and what is kept of them.
    """
    count = settings.networks or 1
    if count == 1:
        return None

    def first_state(number: int) -> TrainState:
        if number < len(asked.begin_at):
            return state_at(asked.begin_at[number], problem.optimizer)
        (seed,) = np.random.SeedSequence([problem.seed, number]).generate_state(1).tolist()
        loop = problem.begin(seed)
        return (in_all_processes(loop) if place.count > 1 else loop).state

    return Networks(count, first_state, asked.keep_last)


def in_this_process(loop: LoopState) -> LoopState:
    """The loop state with arrays of this process alone."""
    return _with_arrays(loop, local)


def _with_arrays(loop: LoopState, change: Any) -> LoopState:
    def changed(state: Any) -> Any:
        params, opt_state, mean = change((state.params, state.opt_state, state.mean))
        return state._replace(params=params, opt_state=opt_state, mean=mean)

    return loop._replace(state=changed(loop.state), best=changed(loop.best))


def same_factor(loop: LoopState, factor: float | None) -> float | None:
    """The factor for the learning rate that process 0 has: it alone has the user's callbacks.

    The same message compares the weights, since one of its own would take as long again.

    Raises:
        LostProcessError: the weights of the processes are not the same.
    """
    sent = math.nan if factor is None else factor
    came = from_all(np.array([sent, weights_checksum(loop)]))
    check_same_weights(came[:, 1], loop.updates)
    first = float(came[0, 0])
    return None if math.isnan(first) else first


def same_reason(reason: StopReason | None) -> StopReason | None:
    """`INTERRUPTED` where any process was interrupted, else the reason that process 0 has."""
    mine = _NONE if reason is None else _REASONS.index(reason)
    came = from_all(np.array([mine]))[:, 0].tolist()
    if _REASONS.index(StopReason.INTERRUPTED) in came:
        return StopReason.INTERRUPTED
    return None if came[0] == _NONE else _REASONS[came[0]]


def callbacks_that_agree(callbacks: Sequence[Callback], seconds: float | None) -> Callbacks:
    """Callbacks whose answers are the same in every process.

    What ends a run or changes its learning rate must do so everywhere at the same update, but each
    process has a clock of its own, and only process 0 has the user's callbacks.

    Args:
        callbacks: of this process.
        seconds: time budget, or None; process 0 keeps the time.
    """
    members = [*callbacks, KeepTime(math.inf if seconds is None else seconds)]
    return Callbacks(members, Agreement(in_this_process, same_factor, same_reason))
