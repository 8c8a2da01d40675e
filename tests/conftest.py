"""What holds for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Compiling takes its time on a busy machine, and a test that failed must fail again.
hypothesis.settings.register_profile("descend", deadline=None, derandomize=True)
hypothesis.settings.load_profile("descend")


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


def _of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this session, which the workers of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
