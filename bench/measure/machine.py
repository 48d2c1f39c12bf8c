"""The machine beside the figures: what ran where."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path


def machine() -> dict[str, str | int]:
    """Processor, cores, memory, kernel and the limits that matter here."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "kernel": platform.release(),
        "system": _system(),
        "python": platform.python_version(),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "somaxconn": int(_read("/proc/sys/net/core/somaxconn") or 0),
        "ports": _read("/proc/sys/net/ipv4/ip_local_port_range").replace("\t", "-"),
    }


def machine_busy(seconds: float) -> float:
    """Cores that were busy on the whole machine over the next seconds."""
    first = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - first) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    # user nice system idle iowait irq softirq steal: proc_stat(5)
    fields = [int(word) for word in _read("/proc/stat").splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4]


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _system() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
