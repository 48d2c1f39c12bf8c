"""Sizes nginx's processes, connections and files for the settings, within the system's limits."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings

# Requests of a burst beyond the queue: each holds two connections, too, until a worker answers 503.
_BURST = 8192
# Logs, listening sockets, the channel between nginx's processes.
_OWN_FILES = 128
# The largest backlog that the kernel accepts (listen(2)), whatever somaxconn is.
_LARGEST_BACKLOG = 65_535
_SMALLEST_BACKLOG = 4096
# The kernel distributes connections at random: of 10,000, one of two processes gets up to 5,200.
_UNEVEN = 1.125
_MOST_PROCESSES = 32


@dataclass(frozen=True, slots=True)
class Connections:
    """The sizes in nginx's configuration."""

    processes: int
    connections: int
    """Per nginx process."""
    files: int
    backlog: int
    warnings: tuple[str, ...] = ()
    """What exceeds the system's limits, and what the operator can do."""


def sizes_for(settings: Settings, *, hard_limit: int, somaxconn: int) -> Connections:
    """Size nginx for the settings; half as many processes as workers suffice for relaying."""
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
    """Size nginx for so many streams and queued requests, within the limits.

    The limit of open files is per process, so there are more processes if one could not hold all
    connections; `fixed` keeps their number.
    """
    needed = 2 * (streams + queue)
    granted = max(64, hard_limit - _OWN_FILES)
    if needed > granted and not fixed:
        enough = math.ceil(needed * _UNEVEN / granted)
        processes = max(processes, min(enough, _MOST_PROCESSES))
    own = needed if processes == 1 else math.ceil(needed * _UNEVEN / processes)
    wanted = own + 2 * _BURST
    files = min(wanted + _OWN_FILES, hard_limit)
    # If files are limited, let them run out first: nginx then pauses accepting, while out of
    # connections it would accept and close.
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
    """Raise the limit of open files to the hard limit, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def somaxconn() -> int:
    """Return the kernel's limit of listen backlogs; its old default if unreadable."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
    except OSError:
        return 128
