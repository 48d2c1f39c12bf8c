"""Reads the container's limits of memory and processors from its control group (cgroup v1 or v2).

A limit may be set on any group above the process's own; the lowest one applies. In a cgroup
namespace, a container sees its group as the root of `/sys/fs/cgroup`. Without one,
`/proc/self/cgroup` names a path that does not exist in the container, so the root is always read
(kernel documentation, "Control Group v2"; cgroups(7)).
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_OOM_KILLS = "oom_kill"
_ROOT = Path("/")
_OOM_SCORE, _HIGHEST_OOM_SCORE = 500, 1000
"""The kernel adds up to 1000 for the share of the memory that a process uses (proc(5))."""


class ContainerLimits(NamedTuple):
    """The limits for all processes of the container together."""

    memory: int
    """Bytes."""
    limited: bool
    """Whether a control group sets the limit; else `memory` is the machine's."""
    processors: int
    """Processors that can be used at the same time, at least 1."""


def granted(root: Path = _ROOT) -> ContainerLimits:
    """Return the limits of this process; `root` is the parent of `/proc` and `/sys`, for tests."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [limit for limit in _memory_limits(root) if limit < machine]
    processors = len(os.sched_getaffinity(0))
    quota = min(_quotas(root), default=math.inf)
    if quota < processors:
        # A worker can run on half a processor, too.
        processors = max(1, math.ceil(quota))
    return ContainerLimits(min(limits, default=machine), bool(limits), processors)


def oom_kills(root: Path = _ROOT) -> int | None:
    """Return the number of processes that the OOM killer has killed; None if it is unknown.

    It is this container's number if its control group counts them, else the machine's.
    """
    for path in (
        *(folder / "memory.events" for folder in _folders(root, "")),
        *(folder / "memory.oom_control" for folder in _folders(root, "memory")),
        root / "proc/vmstat",
    ):
        for line in _lines(path):
            name, _, value = line.partition(" ")
            if name == _OOM_KILLS and value.isdigit():
                return int(value)
    return None


def raise_oom_score(root: Path = _ROOT) -> None:
    """Make this process and its children the OOM killer's first choice.

    It is for workers: the death of one ends only its own requests, and it is restarted; without
    nginx, the supervisor or the store, all streams would end. If the kernel does not allow it, the
    OOM killer chooses by size alone (`oom_score_adj` in proc(5)).
    """
    path = root / "proc/self/oom_score_adj"
    for score in _lines(path):
        with contextlib.suppress(OSError, ValueError):
            path.write_text(str(min(_HIGHEST_OOM_SCORE, int(score) + _OOM_SCORE)), "ascii")


def _memory_limits(root: Path) -> Iterator[int]:
    # Without a limit, the file holds `max`, or in v1 a number above any machine's memory.
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _folders(root, controller):
            yield from (int(line) for line in _lines(folder / name) if line.isdigit())


def _quotas(root: Path) -> Iterator[float]:
    for folder in _folders(root, ""):
        for line in _lines(folder / "cpu.max"):
            quota, _, period = line.partition(" ")
            if quota.isdigit() and period.isdigit() and int(period):
                yield int(quota) / int(period)
    for folder in _folders(root, "cpu"):
        quotas, periods = (_lines(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quotas and periods and quotas[0].isdigit() and int(periods[0]):
            yield int(quotas[0]) / int(periods[0])


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group and its parents; v2's if no controller is given."""
    top = root / "sys/fs/cgroup" / controller
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        folder = top / path.strip("/")
        while folder != top and top in folder.parents:
            yield folder
            folder = folder.parent
    yield top


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
