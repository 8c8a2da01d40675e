from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.rows import budget
from descend.data.rows.budget import BASE, FLOOR, MIB, divide, free_memory
from descend.errors import SettingsError


@given(st.integers(FLOOR, 1 << 45))
def test_no_phase_takes_more_than_the_whole(bound: int) -> None:
    budget = divide(bound)
    assert budget.total == bound
    assert BASE + budget.reading + budget.table <= bound
    assert BASE + budget.reading + budget.shuffling + budget.encoding <= bound
    assert BASE + budget.window + budget.validation <= bound
    assert min(budget.reading, budget.table, budget.window) >= 64 * MIB


def test_a_bound_below_the_floor_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 640 MiB"):
        divide(FLOOR - 1)


def test_without_a_bound_a_reserve_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "free_memory", lambda: 10_000 * MIB)
    assert divide(None).total == 8_000 * MIB
    monkeypatch.setattr(budget, "free_memory", lambda: 10 * MIB)
    assert divide(None).total == FLOOR


def test_rows_to_encode_at_a_time_are_bounded() -> None:
    budget = divide(1 << 30)
    assert budget.encoded_rows(4) == 65536
    assert 256 <= budget.encoded_rows(40_000) < 65536
    assert budget.encoded_rows(1 << 40) == 256


def test_what_is_free_is_told() -> None:
    assert 0 < free_memory() < 1 << 50


def cgroup(folder: Path, limit: str, used: int, cache: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")


def test_the_tightest_cgroup_counts_and_file_cache_is_free(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    cgroup(tmp_path / "root" / "a" / "b", "max", 500, 0)
    cgroup(tmp_path / "root" / "a", "1000", 600, 150)
    assert min(budget._cgroup_free(own, tmp_path / "root")) == 550


def test_the_first_version_of_cgroups_is_understood(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:cpu,cpuacct:/\n3:memory:/job\n")
    folder = tmp_path / "root" / "memory"  # inside a container /job is not to be seen
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("2000\n")
    (folder / "memory.usage_in_bytes").write_text("900\n")
    (folder / "memory.stat").write_text("total_inactive_file 100\n")
    assert min(budget._cgroup_free(own, tmp_path / "root")) == 1200


def test_without_cgroups_nothing_is_bounded(tmp_path: Path) -> None:
    assert min(budget._cgroup_free(tmp_path / "none", tmp_path)) == budget._UNLIMITED
