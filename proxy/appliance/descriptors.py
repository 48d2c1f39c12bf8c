"""How many descriptors and connections this machine grants, and how many the settings need."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

# Requests that come in a burst beyond the waiting line: they have both their connections too,
# until a worker has told them 503.
_BURST = 8192
# Logs, listening sockets, the channel between nginx's processes.
_OWN_FILES = 128
# What the kernel takes as a backlog's length (listen(2)), whatever somaxconn says.
_LARGEST_BACKLOG = 65_535
_SMALLEST_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Connections:
    """What nginx is told."""

    connections: int
    """For each nginx process."""
    files: int
    backlog: int
    warnings: tuple[str, ...] = ()
    """What does not fit, and what the operator can do about it."""


def fit(streams: int, queue: int, *, hard_limit: int, somaxconn: int) -> Connections:
    """Size nginx for so many streams and so long a waiting line, within what is granted."""
    needed = 2 * (streams + queue)
    wanted = needed + 2 * _BURST
    connections = max(64, min(wanted, hard_limit - _OWN_FILES))
    backlog = max(_SMALLEST_BACKLOG, min(streams + queue, _LARGEST_BACKLOG))
    warnings = []
    if connections < needed:
        warnings.append(
            f"SLUICE_MAX_STREAMS and SLUICE_QUEUE_SIZE need {needed + _OWN_FILES} open files, but "
            f"the hard limit is {hard_limit}. Raise it (ulimit -n), or lower the two."
        )
    if somaxconn < min(streams + queue, _LARGEST_BACKLOG):
        warnings.append(
            f"net.core.somaxconn is {somaxconn}: a burst of more connections than that may have to "
            f"try again. Raise it to {min(streams + queue, _LARGEST_BACKLOG)}."
        )
    files = min(connections + _OWN_FILES, hard_limit)
    return Connections(connections, files, backlog, tuple(warnings))


def raise_limit() -> int:
    """Let this process and all it starts open as many files as the hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def somaxconn() -> int:
    """The kernel's bound on every listen backlog; its old default where it cannot be read."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
    except OSError:
        return 128
