"""The checksum of a record and its JSON."""

from __future__ import annotations

import hashlib
import json
import math
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np

from descend.io.atomic import json_text, write_json
from descend.io.checksum import seal_of


def test_a_record_has_the_same_checksum_after_it_is_read(tmp_path: Path) -> None:
    record = {
        "b": [np.float64(0.1), math.nan, -0.0, 1 << 70, None, True],
        "a": {2: "ä\u2028", "x": (np.int8(3), Path("runs"))},
        "seal": "of before",
    }
    path = tmp_path / "run.json"
    write_json(path, record)
    read = json.loads(path.read_text(), object_pairs_hook=OrderedDict)
    text = json_text({name: read[name] for name in ("a", "b")})
    assert seal_of(record) == seal_of(read) == hashlib.sha256(text.encode()).hexdigest()
    assert seal_of({**record, "b": []}) != seal_of(record)


def test_the_text_of_a_large_record_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    record = {"labels": [f"{place:0100d}" for place in range(60_000)]}
    tracemalloc.start()
    seal_of(record)
    write_json(tmp_path / "run.json", record)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < (tmp_path / "run.json").stat().st_size / 2
