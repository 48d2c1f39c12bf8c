"""Probes whether a worker has started every request that waited in its accept queue.

A worker accepts connections in the order in which they were made, and reads requests in the order
in which they arrived. So when it answers a later request, it has started all earlier ones. This
does not depend on time: a busy worker takes longer, and a frozen one never answers.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST = b"HEAD /healthz HTTP/1.0\r\n\r\n"
_PROBES = 3
"""The first request passes the backlog; the others give the event loop the iterations after which
earlier requests are recorded as in flight (`proxy.meter.requests_in_flight`)."""
_READ = 4096


def has_started_all(path: Path, *, seconds: float = 2.0) -> bool:
    """Whether the worker has started all requests sent to its socket so far; it blocks.

    False if there is no answer within `seconds`.
    """
    try:
        return all(_is_answered(path, seconds) for _ in range(_PROBES))
    except ConnectionRefusedError:
        # No process listens any more, so what was sent is never started.
        return True
    except OSError:
        return False


def _is_answered(path: Path, seconds: float) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(_REQUEST)
        return bool(connection.recv(_READ))
