"""What the container grants."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from proxy.container_limits import granted, oom_kills, raise_oom_score

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_least_limit_of_all_groups_above_holds(tmp_path: Path) -> None:
    """Cgroup v2: a pod's limit binds a container that has none."""
    put(tmp_path, "proc/self/cgroup", "0::/pod/container\n")
    put(tmp_path, "sys/fs/cgroup/pod/container/memory.max", "max\n")
    put(tmp_path, "sys/fs/cgroup/pod/memory.max", f"{64 * MIB}\n")
    put(tmp_path, "sys/fs/cgroup/pod/cpu.max", "50000 100000\n")
    assert granted(tmp_path) == (64 * MIB, True, 1)


def test_a_container_that_sees_its_group_as_the_root(tmp_path: Path) -> None:
    """As docker has it: with its namespace, and without one where the named path is not there."""
    put(tmp_path, "sys/fs/cgroup/memory.max", f"{32 * MIB}\n")
    for text in ("0::/\n", "0::/docker/0123\n", "0::/../../other\n"):
        put(tmp_path, "proc/self/cgroup", text)
        assert granted(tmp_path).memory == 32 * MIB


def test_version_1_has_folders_for_each_controller(tmp_path: Path) -> None:
    """Its largest number means that there is no limit; a quota of -1 as well."""
    put(tmp_path, "proc/self/cgroup", "4:memory:/a\n2:cpu,cpuacct:/a\n0::/\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    everything = (MACHINE, False, len(os.sched_getaffinity(0)))
    assert granted(tmp_path) == everything
    put(tmp_path, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", f"{48 * MIB}\n")
    put(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n")
    put(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    assert granted(tmp_path) == (48 * MIB, True, 1)


def test_where_nothing_can_be_read_the_machine_is_the_limit(tmp_path: Path) -> None:
    """No file, or one with something else in it."""
    put(tmp_path, "sys/fs/cgroup/memory.max", "\xff\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "what\n")
    assert granted(tmp_path) == (MACHINE, False, len(os.sched_getaffinity(0)))
    assert granted().memory > 0


def test_the_kernel_counts_whom_it_killed_for_memory(tmp_path: Path) -> None:
    """Those of the group where it has such a count, else those of the machine."""
    assert oom_kills(tmp_path) is None
    put(tmp_path, "proc/vmstat", "nr_free_pages 12\noom_kill 7\n")
    assert oom_kills(tmp_path) == 7
    put(tmp_path, "sys/fs/cgroup/memory.events", "oom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills(tmp_path) == 2


@pytest.mark.parametrize(("before", "after"), [("0", "500"), ("-300", "200"), ("900", "1000")])
def test_who_dies_first_for_want_of_memory(tmp_path: Path, before: str, after: str) -> None:
    """A worker does, seen from where whoever started the container has put it."""
    put(tmp_path, "proc/self/oom_score_adj", f"{before}\n")
    raise_oom_score(tmp_path)
    assert (tmp_path / "proc/self/oom_score_adj").read_text() == after


def test_a_kernel_that_knows_no_scores(tmp_path: Path) -> None:
    """It goes by size, and the worker starts all the same."""
    raise_oom_score(tmp_path)
    assert list(tmp_path.iterdir()) == []
