"""What the container grants: memory and processors, by its control group (cgroup v2 or v1).

A limit may be set on any group above the process's own, and the least of them holds. With a
namespace of its own a container sees its group as the root of `/sys/fs/cgroup`; without one
`/proc/self/cgroup` names a path that is not there, so the root counts in any case
(kernel documentation, Control Group v2; cgroups(7)).
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
"""Beside up to 1000 for the part of the memory that a process takes (proc(5))."""


class ContainerLimits(NamedTuple):
    """What all processes of the container may use together."""

    memory: int
    """Bytes."""
    limited: bool
    """Whether a control group says so; else it is all that the machine has."""
    processors: int
    """That run at the same time, at least 1."""


def granted(root: Path = _ROOT) -> ContainerLimits:
    """What is granted to this process; `root` is where `/proc` and `/sys` are, for tests."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [limit for limit in _memory_limits(root) if limit < machine]
    processors = len(os.sched_getaffinity(0))
    quota = min(_quotas(root), default=math.inf)
    if quota < processors:
        # Half a processor is still one that works.
        processors = max(1, math.ceil(quota))
    return ContainerLimits(min(limits, default=machine), bool(limits), processors)


def oom_kills(root: Path = _ROOT) -> int | None:
    """How many processes the kernel has killed for want of memory; None where nobody says.

    Of this container where its control group counts them, else of the whole machine.
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
    """Make this process, and what it starts, the kernel's first choice where memory runs out.

    For a worker beside its supervisor, nginx and store: it takes its own requests along and is
    started again, while with any of the others all streams would end. Where the kernel does not
    take it, its choice is by size alone (`oom_score_adj` in proc(5)).
    """
    path = root / "proc/self/oom_score_adj"
    for score in _lines(path):
        with contextlib.suppress(OSError, ValueError):
            path.write_text(str(min(_HIGHEST_OOM_SCORE, int(score) + _OOM_SCORE)), "ascii")


def _memory_limits(root: Path) -> Iterator[int]:
    # What is no limit is `max`, or in v1 a number that no machine has.
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
    """The folders of this process's group and all above it; of v2 if no controller is named."""
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
