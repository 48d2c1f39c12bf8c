"""How many descriptors and connections this machine grants, and how many the settings need."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings

# Requests that come in a burst beyond the waiting line: they have both their connections too,
# until a worker has told them 503.
_BURST = 8192
# Logs, listening sockets, the channel between nginx's processes.
_OWN_FILES = 128
# What the kernel takes as a backlog's length (listen(2)), whatever somaxconn says.
_LARGEST_BACKLOG = 65_535
_SMALLEST_BACKLOG = 4096
# The kernel deals connections out by chance: of 10,000 over two processes one gets up to 5,200.
_UNEVEN = 1.125
_MOST_PROCESSES = 32


@dataclass(frozen=True, slots=True)
class Connections:
    """What nginx is told."""

    processes: int
    connections: int
    """For each nginx process."""
    files: int
    backlog: int
    warnings: tuple[str, ...] = ()
    """What does not fit, and what the operator can do about it."""


def sizes_for(settings: Settings, *, hard_limit: int, somaxconn: int) -> Connections:
    """What the settings need. A token costs nginx half of the whole, so half as many keep up."""
    return fit(
        settings.max_streams,
        settings.queue_size,
        processes=settings.nginx_workers or (settings.workers + 1) // 2,
        fixed=settings.nginx_workers > 0,
        hard_limit=hard_limit,
        somaxconn=somaxconn,
    )


def fit(
    streams: int,
    queue: int,
    *,
    processes: int,
    fixed: bool = False,
    hard_limit: int,
    somaxconn: int,
) -> Connections:
    """Size nginx for so many streams and so long a waiting line, within what is granted.

    The limit is each process's own, so there are more of them where one could not hold all;
    `fixed` leaves their number as it is.
    """
    needed = 2 * (streams + queue)
    granted = max(64, hard_limit - _OWN_FILES)
    if needed > granted and not fixed:
        enough = math.ceil(needed * _UNEVEN / granted)
        processes = max(processes, min(enough, _MOST_PROCESSES))
    own = needed if processes == 1 else math.ceil(needed * _UNEVEN / processes)
    wanted = own + 2 * _BURST
    files = min(wanted + _OWN_FILES, hard_limit)
    # Where files are what is short, they run out first: nginx then waits to accept until there are
    # some again, while out of connections it would accept and hang up.
    connections = wanted if files < hard_limit else hard_limit
    backlog = max(_SMALLEST_BACKLOG, min(streams + queue, _LARGEST_BACKLOG))
    warnings = []
    if granted < own:
        warnings.append(
            f"SLUICE_MAX_STREAMS and SLUICE_QUEUE_SIZE need {own + _OWN_FILES} open files in each "
            f"of {processes} nginx processes, but the hard limit is {hard_limit}. Raise it "
            f"(ulimit -n), or lower the two."
        )
    if somaxconn < min(streams + queue, _LARGEST_BACKLOG):
        warnings.append(
            f"net.core.somaxconn is {somaxconn}: a burst of more connections than that may have to "
            f"try again. Raise it to {min(streams + queue, _LARGEST_BACKLOG)}."
        )
    return Connections(processes, connections, files, backlog, tuple(warnings))


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
