"""CPU time and memory of a process and all its descendants, read from /proc.

CPU time is the scheduler's own nanosecond count, the one that /proc/PID/schedstat shows per thread
(proc(5), Linux's Documentation/scheduler/sched-stats.rst). It is read through each process's CPU
clock, which sums that count over all threads, those that have ended included, and brings a thread
that is running right now up to date, which the file does not.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CPU_CLOCK_SCHEDULER = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CPU nanoseconds so far, by process."""

    taken: int
    cpu: dict[int, int]

    def since(self, earlier: Snapshot) -> int:
        """Nanoseconds spent between the two by every process seen in the later one.

        A process that was born in between counts from nothing; one that died in between is lost,
        which no contestant does at steady state.
        """
        return sum(spent - earlier.cpu.get(pid, 0) for pid, spent in self.cpu.items())


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process tree.

    Shared pages count in full in `resident`, by their share in `proportional`.
    """

    resident: int
    proportional: int


def family(root: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything, brackets and spaces too.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    pids = [root]
    for pid in pids:
        pids.extend(children.get(pid, ()))
    return pids


def cpu_nanoseconds(pid: int) -> int:
    """CPU time of all threads of one process.

    Raises ProcessLookupError when there is no such process.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK_SCHEDULER)
    except OSError as error:
        raise ProcessLookupError(pid) from error


def snapshot(root: int) -> Snapshot:
    """CPU time of the whole family."""
    cpu = {}
    taken = time.monotonic_ns()
    for pid in family(root):
        with contextlib.suppress(ProcessLookupError):
            cpu[pid] = cpu_nanoseconds(pid)
    return Snapshot(taken, cpu)


def memory(root: int) -> Memory:
    """Memory of the whole family, from smaps_rollup."""
    resident = proportional = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            sizes = read_sizes((_PROC / str(pid) / "smaps_rollup").read_text())
            resident += sizes.get("Rss", 0)
            proportional += sizes.get("Pss", 0)
    return Memory(resident, proportional)


def read_sizes(text: str) -> dict[str, int]:
    """`Name: 123 kB` lines as bytes."""
    sizes = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            sizes[name] = int(words[0]) * 1024
    return sizes


def socket_memory() -> int:
    """Bytes that the kernel holds in TCP buffers, the whole machine's."""
    for line in (_PROC / "net" / "sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("mem") + 1]) * 4096
    return 0
