"""Checkpoints: what is saved comes back, and a failing writer is heard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descend.errors import InputError
from descend.runs import checkpoint
from descend.runs.checkpoint import SLOTS, CheckpointWriter, load_checkpoint, save_checkpoint

ml_dtypes = pytest.importorskip("ml_dtypes")
WEIGHTS = {"w": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    "array",
    [
        np.array(3, np.int32),
        np.array(True),
        np.arange(3, dtype=np.uint32),
        np.zeros((0, 3), np.float32),
        np.arange(6.0).reshape(2, 3).T,
        np.ones(2, ml_dtypes.bfloat16),
        np.array([np.nan, -0.0, np.inf, 5e-324]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_to_the_bit(tmp_path: Path, array: Any) -> None:
    save_checkpoint(tmp_path, 0, {"a": array}, {})
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    loaded = saved[0]["a"]
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    assert loaded.tobytes() == array.tobytes()


def test_a_checkpoint_that_fails_leaves_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        save_checkpoint(tmp_path, number, WEIGHTS, {"n": number})
    before = {slot: (tmp_path / slot).read_bytes() for slot in SLOTS}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(InputError, match="disk is full"):
            save_checkpoint(tmp_path, 2, WEIGHTS, {"n": 2})
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


@pytest.mark.parametrize("error", [ValueError("ours"), MemoryError(), InputError("theirs")])
def test_no_error_in_the_background_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    writer = CheckpointWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_tensors", fail)
        writer.save(WEIGHTS, {})
        with pytest.raises(type(error)):
            writer.close()


def test_a_writer_goes_on_after_an_error(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path)
    writer.save(WEIGHTS, {"no JSON": float("nan")})
    while writer._error is None:
        time.sleep(0.001)
    with pytest.raises(ValueError, match="JSON"):
        writer.save(WEIGHTS, {})
    writer.save(WEIGHTS, {"n": 1})
    writer.close()
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert saved[1] == {"n": 1}


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    two = {"a": np.ones(1), "b": np.zeros(1)}
    save_checkpoint(tmp_path / "one", 0, two, {"x": 1, "y": 2})
    save_checkpoint(tmp_path / "other", 0, dict(reversed(two.items())), {"y": 2, "x": 1})
    one, other = (tmp_path / name / SLOTS[0] for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
