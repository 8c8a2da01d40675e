"""Model files made by somebody else to do harm: refused in one text."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from descend.errors import FileFormatError, InputError
from descend.io.tensors import Arrays, _checksum
from descend.runs.folder import find_model
from descend.runs.model_file import DEEPEST, load_model_file, save_model_file

WEIGHTS: Arrays = {"w": np.ones(2, np.float32)}


def forged(path: Path, description: Any, arrays: Arrays = WEIGHTS, **changes: Any) -> None:
    """A file whose checksum is right."""
    checksum = _checksum(arrays, description) if isinstance(description, str) else ""
    metadata = {
        "format": "descend-model",
        "version": "1",
        "description": description,
        "sha256": checksum,
        **changes,
    }
    path.write_bytes(safetensors.numpy.save(arrays, {"descend": json.dumps(metadata)}))


@pytest.mark.parametrize("description", ["5", "[1]", "{", "[" * 100_000, "", 7, None])
def test_a_description_that_is_none_is_refused(tmp_path: Path, description: Any) -> None:
    path = tmp_path / "model.safetensors"
    forged(path, description)
    with pytest.raises(FileFormatError):
        load_model_file(path)


@pytest.mark.parametrize(
    "names", [["a", "a/b"], ["a/b/c", "a/b"], ["a/" * 5000 + "b"]], ids=["1", "2", "deep"]
)
def test_names_that_make_no_nesting_are_refused(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "model.safetensors"
    forged(path, "{}", {name: np.ones(1, np.float32) for name in names})
    with pytest.raises(FileFormatError, match="damaged"):
        load_model_file(path)


def test_deep_nesting_that_people_use_comes_back(tmp_path: Path) -> None:
    params: Any = np.ones(1, np.float32)
    for _ in range(DEEPEST):
        params = {"a": params}
    save_model_file(tmp_path / "model.safetensors", params, {})
    loaded, _ = load_model_file(tmp_path / "model.safetensors")
    assert json.dumps(loaded, default=np.ndarray.tolist) == json.dumps(
        params, default=np.ndarray.tolist
    )


@pytest.mark.parametrize("version", ["9" * 5000, "x", None, [1]])
def test_odd_versions_are_refused(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "model.safetensors"
    forged(path, "{}", version=version)
    with pytest.raises(FileFormatError):
        load_model_file(path)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(FileFormatError):
        load_model_file(path)
    assert not (tmp_path / "ran").exists()


def test_only_a_file_is_a_model(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="There is no model"):
        find_model(pipe)
