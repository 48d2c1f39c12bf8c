"""Tells whether a worker has started every request that was sent to its socket so far.

Connections to a worker's socket are accepted in the order in which they came, and the event loop
reads what has arrived before it reads what arrives later. So once a later request is answered, the
worker has begun with all that were sent before it. No clock is asked: a busy worker takes longer
for it, and a frozen one never answers.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_REQUEST = b"HEAD /healthz HTTP/1.0\r\n\r\n"
_TIMES = 3
"""The first waits in the backlog; the others give what has been read there the turns of the event
loop that it takes until it is written down (`proxy.meter.requests_in_flight`)."""
_READ = 4096


def has_passed(path: Path, *, seconds: float = 2.0) -> bool:
    """Whether the worker has begun with all that was sent to its socket before; it blocks.

    False if there is no answer within `seconds`.
    """
    try:
        return all(_is_answered(path, seconds) for _ in range(_TIMES))
    except ConnectionRefusedError:
        # Nobody accepts from it any more: what was sent there is never begun with.
        return True
    except OSError:
        return False


def _is_answered(path: Path, seconds: float) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(seconds)
        asking.connect(str(path))
        asking.sendall(_REQUEST)
        return bool(asking.recv(_READ))
