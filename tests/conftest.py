"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

# Compiling takes its time on a busy machine, and a test that failed must fail again.
hypothesis.settings.register_profile("descend", deadline=None, derandomize=True)
hypothesis.settings.load_profile("descend")


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the user's cache folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
