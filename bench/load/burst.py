"""Thousands of connections in one instant, and how long it takes until each was served.

Plain epoll and no event loop: the client must not be what is slow. A connection counts as
*connected* when the kernel says so and as *accepted* when the first byte of its answer came: a full
backlog shows in the first, a server that does not get round to accepting in the second. All stay
open until the last one was served.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.load.target import Target
from bench.measure.figures import distribution
from bench.upstream.pace import Pace


@dataclass(frozen=True, slots=True)
class BurstLoad:
    """Connections at once, the pace of the answers, seconds to wait for the last one."""

    connections: int
    pace: Pace
    patience: float


class _Burst:
    def __init__(self, target: Target, load: BurstLoad) -> None:
        self._address = (target.host, target.port)
        self._request = target.request(load.pace.model, stream=True)
        self._load = load
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._asked: set[int] = set()
        self._held: list[socket.socket] = []
        self.connected: list[float] = []
        self.accepted: list[float] = []
        self.failures: Counter[str] = Counter()
        self._began = 0.0

    def run(self) -> None:
        self._began = time.monotonic()
        for _ in range(self._load.connections):
            self._connect()
        deadline = self._began + self._load.patience
        while self._sockets and time.monotonic() < deadline:
            for descriptor, _ in self._poll.poll(0.1):
                self._ready(descriptor)
        self.failures["silent"] += len(self._sockets)
        for client in (*self._sockets.values(), *self._held):
            client.close()
        self._poll.close()

    def _connect(self) -> None:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = client.connect_ex(self._address)
        if code not in {0, errno.EINPROGRESS}:
            self.failures[errno.errorcode.get(code, str(code))] += 1
            client.close()
            return
        self._sockets[client.fileno()] = client
        self._poll.register(client.fileno(), select.EPOLLOUT)

    def _ready(self, descriptor: int) -> None:
        client = self._sockets[descriptor]
        taken = time.monotonic() - self._began
        if descriptor in self._asked:
            try:
                data = client.recv(65536)
            except OSError as error:
                self._fail(descriptor, error)
                return
            if data.startswith(b"HTTP/1.1 200"):
                self.accepted.append(taken)
            else:
                self.failures[data[:12].decode("latin-1") or "closed"] += 1
            self._held.append(self._release(descriptor))
            return
        code = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(descriptor, OSError(code, ""))
            return
        self.connected.append(taken)
        self._asked.add(descriptor)
        client.send(self._request)
        self._poll.modify(descriptor, select.EPOLLIN)

    def _fail(self, descriptor: int, error: OSError) -> None:
        self.failures[errno.errorcode.get(error.errno or 0, "unknown")] += 1
        self._release(descriptor).close()

    def _release(self, descriptor: int) -> socket.socket:
        self._poll.unregister(descriptor)
        return self._sockets.pop(descriptor)


def measure_burst(target: Target, load: BurstLoad) -> dict[str, Any]:
    """Seconds after the first connect at which connections were established and accepted."""
    burst = _Burst(target, load)
    burst.run()
    connected, accepted = distribution(burst.connected), distribution(burst.accepted)
    return {
        "connections": load.connections,
        "connected_seconds": None if connected is None else connected.as_dict(),
        "accepted_seconds": None if accepted is None else accepted.as_dict(),
        "failures": {kind: count for kind, count in burst.failures.items() if count},
    }
