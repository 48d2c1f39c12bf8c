"""How many connections wait in a listening socket's accept queue, and whether it overflowed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TABLE = "/proc/net/tcp"
_COUNTERS = Path("/proc/net/netstat")
_LISTEN = "0A"
_BLOCK_BYTES = 16 * 1024


def waiting(port: int) -> int:
    """Connections to this port that the kernel has established and nobody has accepted yet.

    For a listening socket, /proc/net/tcp has that number as its receive queue (proc_net_tcp).
    """
    return read_waiting(_listening(), port)


def read_waiting(lines: Iterator[str], port: int) -> int:
    """The same, from the table's lines; a port may have several listening sockets."""
    found = 0
    for line in lines:
        fields = line.split()
        if (
            len(fields) > 4
            and fields[3] == _LISTEN
            and int(fields[1].rpartition(":")[2], 16) == port
        ):
            found += int(fields[4].partition(":")[2], 16)
    return found


def overflows() -> int:
    """Connections that found any accept queue of this machine full, since it started.

    The client of such a connection may well believe itself connected (ListenOverflows in
    Linux's Documentation/networking/snmp_counter.rst).
    """
    return read_overflows(_COUNTERS.read_text(encoding="ascii"))


def read_overflows(text: str) -> int:
    """The same, from the counters' text: a line of names, then a line of values."""
    rows = [line.split() for line in text.splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(*rows, strict=True))["ListenOverflows"])


def _listening() -> Iterator[str]:
    """The table's first lines: listening sockets come before the thousands of others."""
    descriptor = os.open(_TABLE, os.O_RDONLY)
    try:
        rest = ""
        while block := os.read(descriptor, _BLOCK_BYTES):
            *lines, rest = (rest + block.decode()).split("\n")
            yield from lines
            if lines and lines[-1].split()[3] != _LISTEN:
                return
    finally:
        os.close(descriptor)
