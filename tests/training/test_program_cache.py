import os
from pathlib import Path

import numpy as np
import pytest
from jax._src import compiler, distributed
from jax._src.compilation_cache import compress_executable

from descend.training.program_cache import STAMP, keep_in_every_process, tidy


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Three entries of about 1,000 bytes, the first the oldest."""
    for number in range(3):
        content = np.random.default_rng(number).bytes(1000)
        path = tmp_path / f"jit_{number}-cache"
        path.write_bytes(compress_executable(content))
        os.utime(path, (1000 + number, 1000 + number))
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != STAMP)


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda content: content[:500], lambda content: content[::-1]]
)
def test_a_damaged_program_is_removed_and_sound_ones_stay(programs: Path, damage) -> None:
    path = programs / "jit_1-cache"
    path.write_bytes(damage(path.read_bytes()))
    tidy(programs)
    assert names(programs) == ["jit_0-cache", "jit_2-cache"]


def test_only_new_programs_are_read(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy(programs)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    tidy(programs)
    (programs / "other").touch()
    tidy(programs)
    assert len(names(programs)) == 4


def test_one_that_is_damaged_later_is_found(programs: Path) -> None:
    tidy(programs)
    (programs / "jit_3-cache").write_bytes(b"cut off")
    tidy(programs)
    assert names(programs) == ["jit_0-cache", "jit_1-cache", "jit_2-cache"]


def test_the_oldest_go_where_there_are_too_many(programs: Path) -> None:
    tidy(programs, most_bytes=2500)
    assert names(programs) == ["jit_2-cache"]


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    tidy(tmp_path / "missing")


@pytest.mark.parametrize("process", [0, 3])
def test_every_process_keeps_programs(process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(key: str) -> None:
        # JAX writes as process 0 alone.
        written.append((key, distributed.global_state.process_id))
        if key == "on a full disk":
            raise OSError(key)

    monkeypatch.setattr(distributed.global_state, "process_id", process)
    monkeypatch.setattr(compiler, "_cache_write", write)
    keep_in_every_process()
    compiler._cache_write("key")
    with pytest.raises(OSError, match="full disk"):
        compiler._cache_write("on a full disk")
    assert written == [("key", 0), ("on a full disk", 0)]
    assert distributed.global_state.process_id == process
