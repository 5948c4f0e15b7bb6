"""The cores of a process under quotas, with control groups made of files."""

import os

import pytest

from app.cores import usable_cores


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write control groups, and count the cores of a process of eight that is in some of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def cores(own: str, **files: str) -> int:
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "own").write_text(own)
        return usable_cores(tmp_path / "cgroup", tmp_path / "own")

    return cores


def test_without_a_quota_all_cores_of_the_affinity_are_usable(groups):
    assert groups("0::/\n") == 8
    assert groups("0::/x\n", **{"x/cpu.max": "max 100000\n"}) == 8


@pytest.mark.parametrize(("quota", "cores"), [(100_000, 1), (50_000, 1), (150_000, 2), (300_000, 3), (9_900_000, 8)])
def test_a_quota_of_version_2_bounds_the_cores(groups, quota, cores):
    assert groups("0::/pod/own\n", **{"pod/own/cpu.max": f"{quota} 100000\n"}) == cores


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_a_quota_of_version_1_bounds_the_cores(groups, controllers):
    files = {"cpu/own/cpu.cfs_quota_us": "200000\n", "cpu/own/cpu.cfs_period_us": "100000\n"}
    assert groups(f"4:cpuset:/other\n3:{controllers}:/own\n0::/\n", **files) == 2


def test_no_quota_of_version_1_is_written_as_minus_one(groups):
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups("3:cpu:/\n", **files) == 8


def test_the_least_quota_of_all_parents_counts(groups):
    files = {"cpu.max": "max 100000", "pod/cpu.max": "200000 100000", "pod/own/cpu.max": "400000 100000"}
    assert groups("0::/pod/own\n", **files) == 2


def test_a_quota_is_found_where_the_container_sees_its_own_group_as_the_root(groups):
    assert groups("0::/docker/0123\n", **{"cpu.max": "100000 100000"}) == 1
    files = {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups("2:cpu:/docker/0123\n", **files) == 3


def test_damaged_or_missing_files_count_as_no_quota(groups, tmp_path):
    assert groups("nonsense\n0::/\n", **{"cpu.max": "x"}) == 8
    assert usable_cores(tmp_path / "nowhere", tmp_path / "nothing") == 8
