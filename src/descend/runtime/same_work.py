"""Check that several processes do the same work: what differs in silence makes a wrong model.

Before a row is read the commands, options and versions are compared; before the first update the
rows, the weights, the order of the rows and what an update computes; at each evaluation the
weights. What may differ is what a host has of its own: paths, disks, memory, processors.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.store import RowStore
from descend.errors import InputError, LostProcessError, option_text
from descend.settings import Settings
from descend.training.gradient import make_gradient
from descend.training.jax_setup import jit_program
from descend.training.keys import update_key
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.problem import Problem
from descend.training.processes.messages import bytes_from_all, from_all
from descend.training.processes.place import Place
from descend.training.saved_state import save_loop_state
from descend.training.step import make_apply
from descend.types import Array, Batch, Params, TrainState, split_variables

_PIECE = 1 << 16
_PROBE_ROWS = 8
"""Rows of the batch for which it is compared what an update computes."""
CLOSE = 1e-2
"""Largest part by which sums of a gradient may differ between processes: more than rounding."""
_SAME_OPTIONS = (
    *("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl"),
    *("jax_threefry_partitionable", "jax_numpy_dtype_promotion", "jax_disable_jit"),
)
"""Options of JAX that decide about numbers; a variable of the environment may set them."""
_BEGINS = ("state", "best", "position", "progress", "loss_sum", "loss_count", "order", "growth")
"""What a loop state holds beside its arrays, without what each process measures by itself."""
_SAME_VERSIONS = (
    *("descend", "jax", "jaxlib", "optax", "numpy", "duckdb", "pyarrow"),
    *("pandas", "polars", "flax", "equinox", "keras"),
)
"""Packages that decide about rows, their order or an update, as far as they are installed."""


def check_same_start(command: str, settings: Mapping[str, Any], place: Place) -> None:
    """Raise InputError where the processes were started to do different things.

    Weights that each process moves in another way would part in silence.

    Args:
        command: what each was started to do.
        settings: with which, as JSON has them.
        place: which process this is.
    """
    if place.count == 1:
        return
    own: dict[str, Any] = {"the command": command, "the version of Python": _python()}
    own |= {f"the version of {name}": _version(name) for name in _SAME_VERSIONS}
    own |= {f"JAX's option {name}": str(getattr(jax.config, name)) for name in _SAME_OPTIONS}
    own["the kind of device"] = jax.default_backend()
    for name, value in settings.items():
        # Hosts may have other disks, and other room.
        is_path = name == "store" or (name == "validation" and isinstance(value, str))
        if name != "memory" and not is_path:
            own[option_text(name)] = value
    found = [json.loads(one) for one in bytes_from_all(json.dumps(own).encode())]
    for index, one in enumerate(found):
        for name in [*found[0], *(one.keys() - found[0].keys())]:
            if one.get(name) != found[0].get(name):
                raise InputError(
                    f"Process {index} differs from process 0 in {name}: {one.get(name)} there, "
                    f"{found[0].get(name)} in process 0. Start all processes with the same "
                    "command, the same versions installed and the same variables of the "
                    "environment."
                )


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def least_memory(settings: Settings, place: Place) -> Settings:
    """The settings with the least bound of memory that a process was given.

    It decides how a batch is divided and in which order a table on disk is read, and both have to
    be the same in all processes.
    """
    if place.count == 1:
        return settings
    own = json.dumps(settings.memory).encode()
    given = [one for one in map(json.loads, bytes_from_all(own)) if one is not None]
    return settings.replace(memory=min(given)) if given else settings


def check_same(problem: Problem, config: LoopConfig, loop: LoopState) -> None:
    """Raise InputError where processes differ in rows, weights, order or what an update computes.

    A program that makes its rows with random numbers of its own makes others in every process, and
    a host may have another version of a file or of the program.

    Args:
        problem: what is trained.
        config: how; with the plan of this process.
        loop: where the run begins.
    """
    # Of rows that are shared out, all processes know the same sample.
    training = problem.store.sample if isinstance(problem.store, SharedStore) else problem.store
    arrays, record = save_loop_state(loop)
    begins = [record.get(name) for name in _BEGINS]
    found = {
        "initial weights": [*map(_bytes, arrays.values()), json.dumps(begins).encode()],
        "training rows": [_compared(training)],
        "validation rows": [_compared(problem.validation)],
        "orders of rows": [repr(_numbers(config)).encode()],
        "numbers of training rows": [str(len(problem.store)).encode()],
    }
    sums = [zlib.crc32(b"".join(one)) for one in found.values()]
    everywhere = from_all(np.array(sums, np.int64))
    for name, column in zip(found, everywhere.T, strict=True):
        if len(set(column.tolist())) > 1:
            raise InputError(
                f"The {len(everywhere)} processes of this job have different {name}; all must make "
                "the same. Seed every random number, and read the same files everywhere."
            )
    check_same_update(problem, loop.state)


def _numbers(config: LoopConfig) -> list[Any]:
    """What decides in numbers how a run goes: the plan of its batches, its rates and limits."""
    limits = dataclasses.replace(config.limits, seconds=None)
    return [config.plan, config.learning_rate, limits, config.window]


def _compared(store: RowStore) -> bytes:
    """Checksums of all rows of a store: of those on disk as they were kept when it was written."""
    count = len(store)
    if isinstance(store, MappedStore):
        return repr((count, store.header.groups, zlib.crc32(_bytes(store.checksums)))).encode()
    sums = []
    for first in range(0, count, _PIECE):
        rows = np.arange(first, min(first + _PIECE, count), dtype=np.int64)
        leaves = jax.tree.leaves(store.gather(rows))
        sums.append(zlib.crc32(b"".join(map(_bytes, leaves))))
    return repr((count, sums)).encode()


def _bytes(leaf: Any) -> bytes:
    return np.ascontiguousarray(leaf).tobytes()


def check_same_update(problem: Problem, state: TrainState) -> None:
    """Raise InputError where the processes have different models, losses or optimizers.

    Equal programs are the same. Programs may differ in their text and still compute the same up to
    rounding, so a gradient decides then. The rule of the optimizer has to be equal.
    """
    probe = _probe(problem, state)
    computed = _computed(problem)
    gradient = jax.jit(computed).lower(*probe)
    rule = jax.jit(make_apply(problem.optimizer)).lower(
        (state.params, state.opt_state),
        *gradient.out_info[1:],
        jax.ShapeDtypeStruct((), np.float32),
        split_variables(state.params)[1],
    )
    texts = np.array([zlib.crc32(one.as_text().encode()) for one in (gradient, rule)], np.int64)
    gradients, rules = (_others(column) for column in from_all(texts).T)
    if rules:
        raise _other_update(rules, "optimizer")
    if gradients:
        found = from_all(np.array(_sizes(jit_program(computed)(*probe)), np.float64))
        near = np.isclose(found, found[0], rtol=CLOSE, atol=1e-6, equal_nan=True)
        if not near.all():
            raise _other_update(_others(near.all(axis=1)), "model, loss or penalty")


def _probe(problem: Problem, state: TrainState) -> tuple[Params, Batch, Array | None]:
    """Weights, some rows and a key, the same in every process."""
    store = problem.store.sample if isinstance(problem.store, SharedStore) else problem.store
    batch = store.gather(np.arange(min(_PROBE_ROWS, len(store)), dtype=np.int64))
    key = update_key(np.uint32(problem.seed), np.uint32(0)) if problem.noisy else None
    return state.params, batch, key


def _computed(problem: Problem) -> Callable[..., tuple[Array, Array, Params]]:
    """`(params, batch, key) -> (loss as evaluated, loss as trained, gradient)`."""
    gradient_of = make_gradient(problem.objective)

    def computed(params: Params, batch: Batch, key: Array | None) -> tuple[Array, Array, Params]:
        return problem.objective.loss_sum(params, batch), *gradient_of(params, batch, key)

    return computed


def _sizes(tree: Any) -> list[float]:
    return [float(np.abs(np.asarray(leaf, np.float64)).sum()) for leaf in jax.tree.leaves(tree)]


def _others(found: npt.NDArray[Any]) -> list[int]:
    """The processes that have something else than process 0."""
    return np.flatnonzero(found != found[0]).tolist()


def _other_update(processes: Sequence[int], what: str) -> InputError:
    return InputError(
        f"Process {processes[0]} differs from process 0 in its {what}: from the same weights and "
        "rows it computes something else. Start the same version of the program everywhere, with "
        "the same options of JAX."
    )


def weights_checksum(loop: LoopState) -> int:
    """A checksum of the weights, equal in all processes unless they have parted."""
    found = 0
    for leaf in jax.tree.leaves(loop.state.params):
        # As bytes: some types of numbers, such as bfloat16, are unknown to zlib.
        flat = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
        found = zlib.crc32(flat.data, found)
    return found


def check_same_weights(checksums: npt.NDArray[Any], update: int) -> None:
    """Raise LostProcessError where the weights of the processes are not the same to the last bit.

    Args:
        checksums: `[processes]`, of `weights_checksum`.
        update: how many were made.
    """
    others = _others(checksums)
    if others:
        raise LostProcessError(
            f"The weights of process {others[0]} are not those of process 0 after "
            f"{update:,} updates, though both made the same ones: its processor, "
            "its memory or its libraries compute something else. Start the run again without "
            "that host; what was saved so far may be wrong."
        )
