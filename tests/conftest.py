"""What holds for every test."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Compiling takes its time on a busy machine, and a test that failed must fail again.
hypothesis.settings.register_profile("descend", deadline=None, derandomize=True)
hypothesis.settings.load_profile("descend")

# With the default of JAX its key of a compiled program holds the path of the cache folder, so that
# no worker of pytest-xdist would find what another compiled: each has a path of its own to it.
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what stays until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the user's cache folder alone; compiled programs are those of all workers."""
    cache = tmp_path_factory.mktemp("cache")
    programs = _of_all_workers(tmp_path_factory) / "compiled"
    programs.mkdir(exist_ok=True)
    (cache / "descend").mkdir()
    (cache / "descend" / "compiled").symlink_to(programs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_context_for_lowering() -> Iterator[None]:
    """Lower the programs of a thread in one context of MLIR.

    JAX makes a new context for each program, which takes half as long as lowering a small one, and
    most programs of the tests are small. What is lowered is the same.
    """
    from jax._src.interpreters import mlir

    make = getattr(mlir, "make_ir_context", None)
    if make is None:  # Another version of JAX.
        yield
        return
    made = threading.local()

    def of_this_thread() -> Any:
        if not hasattr(made, "context"):
            made.context = make()
        return made.context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlir, "make_ir_context", of_this_thread)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Leave written files to the system: no test takes the power away.

    That files are synchronised is tested with one that fails.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


def _of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this session, which the workers of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
