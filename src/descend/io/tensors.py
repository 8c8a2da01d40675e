"""Arrays and a description in one safetensors file, protected by a checksum.

The format is data alone: a header of JSON and raw numbers. Nothing read from it can run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from descend.errors import FileFormatError, InputError
from descend.io.atomic import write_whole
from descend.io.json_records import decode_json

FORMAT = 1

Arrays = dict[str, np.ndarray]


def save_tensors(path: Path, kind: str, arrays: Arrays, description: Mapping[str, Any]) -> None:
    """Write arrays and a description to one file, whole or not at all.

    The same content gives the same bytes.

    Args:
        path: where.
        kind: what the file is, `model` or `checkpoint`.
        arrays: by name.
        description: values that JSON holds.
    """
    content = {name: np.asarray(value, order="C") for name, value in sorted(arrays.items())}
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    metadata = {
        "format": f"descend-{kind}",
        "version": str(FORMAT),
        "description": text,
        "sha256": _checksum(content, text),
    }
    # One entry: safetensors writes the keys of its metadata in no fixed order.
    whole = {"descend": json.dumps(metadata, sort_keys=True)}
    write_whole(path, safetensors.numpy.save(content, whole))


def load_tensors(path: Path, kind: str) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the description of a file.

    Raises:
        InputError: there is no such file.
        FileFormatError: it is truncated, altered, of a newer version, or of another kind.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            metadata = json.loads((opened.metadata() or {})["descend"])
            arrays = {name: np.array(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
        found = metadata["format"]
        version = int(metadata["version"])
        description = metadata["description"]
        checksum = _checksum(arrays, description)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"There is no file {path}.") from None
    except PermissionError:
        raise InputError(f"{path} cannot be read: no permission.") from None
    except Exception as error:
        raise FileFormatError(
            f"{path} is no {kind} of descend, or it is truncated or damaged ({error})."
        ) from error
    if found != f"descend-{kind}":
        raise FileFormatError(f"{path} should be a {kind}; it says it is {found!r}.")
    if version > FORMAT:
        raise FileFormatError(
            f"{path} was written by a newer descend (format {version}, this one reads up to "
            f"{FORMAT}). Update: pip install . in a newer checkout"
        )
    if metadata.get("sha256") != checksum:
        raise FileFormatError(f"{path} was altered after it was written: its checksum is wrong.")
    return arrays, _read_description(path, description)


def _read_description(path: Path, text: str) -> dict[str, Any]:
    """The description; a checksum is no proof that `save_tensors` wrote it."""
    description = decode_json(text, path)
    if not isinstance(description, dict):
        raise FileFormatError(f"{path} is damaged: it does not say what its arrays are.")
    return description


def _checksum(arrays: Arrays, description: str) -> str:
    digest = hashlib.sha256(description.encode("utf-8"))
    for name, value in sorted(arrays.items()):
        digest.update(f"{name}:{value.dtype}:{value.shape};".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
