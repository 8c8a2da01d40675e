"""Files whole or not at all, model files, checkpoints, run directories."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from descend.errors import DescendError, FileFormatError, InputError
from descend.io import tensors
from descend.io.atomic import json_text, whole_file, write_whole
from descend.io.json_records import read_json
from descend.runs.checkpoint import SLOTS, CheckpointWriter, load_checkpoint, save_checkpoint
from descend.runs.folder import create_run, find_model, open_run
from descend.runs.history import read_history
from descend.runs.model_file import load_model_file, save_model_file
from descend.types import HistoryLine
from tests.records import run_record

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.int32, np.uint32, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
)


def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")

    def write_half() -> None:
        with whole_file(path) as sink:
            sink.write(b"half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "no permission"), (errno.EIO, "could not be")],
)
def test_errors_of_the_disk_are_one_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=expected):
        write_whole(tmp_path / "file", "text")
    assert not list(tmp_path.iterdir())


def test_json_holds_what_json_cannot() -> None:
    value = {"b": [float("nan"), float("inf"), np.float32(1.5)], "a": Path("x")}
    assert json.loads(json_text(value)) == {"a": "x", "b": [None, None, 1.5]}


def test_bad_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"run\.json is damaged"):
        read_json(tmp_path / "run.json")


PARAMS = st.recursive(
    ARRAYS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
).filter(lambda tree: not isinstance(tree, np.ndarray))


@settings(max_examples=50, deadline=None)
@given(params=PARAMS)
def test_a_model_comes_back_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, params: Any
) -> None:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model_file(path, params, {"target": "ä</script>"})
    loaded, description = load_model_file(path)
    _assert_equal(params, loaded)
    assert description == {"target": "ä</script>"}
    first = path.read_bytes()
    save_model_file(path, params, {"target": "ä</script>"})
    assert path.read_bytes() == first


def _assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert sorted(one) == sorted(other)
        for key in one:
            _assert_equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _assert_equal(left, right)
    else:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_altered_byte_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    params = {"w": np.arange(6, dtype=np.float32)}
    save_model_file(path, params, {"a": 1})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    content[place] ^= flip
    path.write_bytes(content)
    try:
        loaded, description = load_model_file(path)
    except FileFormatError:
        return
    # Space in the header means nothing; what means something must have stayed.
    assert description == {"a": 1}
    _assert_equal(params, loaded)


@pytest.mark.parametrize("length", [0, 1, 8, 100])
def test_truncated_models_are_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    save_model_file(path, {"w": np.ones(3, np.float32)}, {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        load_model_file(path)


def test_a_header_that_asks_for_the_whole_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(FileFormatError):
        load_model_file(path)


def test_newer_formats_and_other_kinds_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    tensors.save_tensors(path, "checkpoint", {"w": np.ones(1, np.float32)}, {})
    with pytest.raises(FileFormatError, match="should be a model"):
        load_model_file(path)
    with monkeypatch.context() as newer:
        newer.setattr(tensors, "FORMAT", 99)
        save_model_file(path, {"w": np.ones(1, np.float32)}, {})
    with pytest.raises(FileFormatError, match="newer descend"):
        load_model_file(path)


def test_the_newest_checkpoint_that_is_whole_is_loaded(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for number in range(3):
        save_checkpoint(tmp_path, number, {"w": np.full(2, number, np.float32)}, {"n": number})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"n": 2}
    newest = tmp_path / SLOTS[2 % len(SLOTS)]
    newest.write_bytes(newest.read_bytes()[:-1])
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"n": 1}
    for slot in SLOTS:
        (tmp_path / slot).write_bytes(b"")
    with pytest.raises(FileFormatError, match="damaged"):
        load_checkpoint(tmp_path)


def test_the_writer_keeps_the_newest_and_goes_on_counting(tmp_path: Path) -> None:
    for turn in range(2):
        writer = CheckpointWriter(tmp_path)
        for number in range(20):
            writer.save({"w": np.ones(2, np.float32)}, {"n": 100 * turn + number})
        writer.close()
        loaded = load_checkpoint(tmp_path)
        assert loaded is not None
        assert loaded[1] == {"n": 100 * turn + 19}


def test_errors_in_the_background_reach_the_foreground(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be here")
    writer = CheckpointWriter(blocked / "checkpoint")
    writer.save({"w": np.ones(2, np.float32)}, {})
    with pytest.raises(DescendError):
        writer.close()


def test_a_run_folder_is_held_by_one_process(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "run", "x")
    folder.write_record(run_record())
    with pytest.raises(InputError, match="Another descend"):
        open_run(tmp_path / "run")
    with pytest.raises(InputError, match="Another descend"):
        create_run(tmp_path / "run", "x", force=True)
    assert (tmp_path / "run" / "run.json").exists()
    folder.release()
    with open_run(tmp_path / "run") as held:
        assert held.read_record()["state"] == "running"


def test_names_are_counted_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        with create_run(None, "houses") as folder:
            assert folder.path == Path("runs") / f"houses-{number}"


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    create_run(tmp_path / "run", "x").release()
    partial = tmp_path / "run" / ".model.safetensors.abcd1234.descend-part"
    partial.write_bytes(b"half")
    with create_run(tmp_path / "run", "x"):
        assert not partial.exists()


def test_history_comes_back(tmp_path: Path) -> None:
    history = (
        HistoryLine(0, 0.0, 0, 0.0, float("nan"), 0.5, 32, 0.1),
        HistoryLine(10, 0.1 + 0.2, 320, 1e-9, 0.25, 1 / 3, 32, 0.1),
    )
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_history(history)
    assert read_history(tmp_path / "run")[1] == history[1]
    (tmp_path / "run" / "history.csv").write_text("update,epoch\n1,x\n")
    with pytest.raises(FileFormatError, match="damaged"):
        read_history(tmp_path / "run")


def test_find_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no model"):
        find_model(tmp_path / "none")
    with pytest.raises(InputError, match="a folder without"):
        find_model(tmp_path)
    with create_run(tmp_path / "run", "x") as folder:
        folder.write_record(run_record())
    with pytest.raises(InputError, match=r"descend\.resume\("):
        find_model(tmp_path / "run")
