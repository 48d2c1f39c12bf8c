"""Thousands of connections in one instant, and how long it takes until each was served.

Plain epoll and no event loop: the client must not be what is slow. A connection is *connected* when
the kernel says so, which a full backlog delays by seconds; all are *accepted* when they are
connected and the contestant's accept queue is empty; one is *answered* with the first byte of its
answer. All stay open until the last one was.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.load.backlog import overflows, waiting
from bench.load.target import Target
from bench.measure.figures import distribution
from bench.upstream.pace import Pace

_LOOK_SECONDS = 0.02


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
        self.answered: list[float] = []
        self.all_accepted: float | None = None
        self.failures: Counter[str] = Counter()
        self._began = 0.0

    def run(self) -> None:
        self._began = time.monotonic()
        for _ in range(self._load.connections):
            self._connect()
        deadline = self._began + self._load.patience
        next_look = self._began
        while self._sockets and time.monotonic() < deadline:
            for descriptor, _ in self._poll.poll(_LOOK_SECONDS):
                self._ready(descriptor)
            if time.monotonic() >= next_look:
                self._look()
                next_look = time.monotonic() + _LOOK_SECONDS
        self.failures["silent"] += len(self._sockets)
        self._look()
        for client in (*self._sockets.values(), *self._held):
            client.close()
        self._poll.close()

    def _look(self) -> None:
        connected = len(self.connected) == self._load.connections
        if connected and self.all_accepted is None and not waiting(self._address[1]):
            self.all_accepted = time.monotonic() - self._began

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
                self.answered.append(taken)
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


def _accepted(burst: _Burst, overflown: int, connections: int) -> float | None:
    """When all were accepted.

    Where the queue overflowed, clients believed in connections that were none; then only an answer
    proves that one was accepted.
    """
    if not overflown:
        return burst.all_accepted
    return max(burst.answered) if len(burst.answered) == connections else None


def measure_burst(target: Target, load: BurstLoad) -> dict[str, Any]:
    """Seconds after the first connect until connections were established, accepted, answered."""
    burst = _Burst(target, load)
    before = overflows()
    burst.run()
    overflown = overflows() - before
    connected, answered = distribution(burst.connected), distribution(burst.answered)
    return {
        "connections": load.connections,
        "connected_seconds": None if connected is None else connected.as_dict(),
        "overflows": overflown,
        "all_accepted_seconds": _accepted(burst, overflown, load.connections),
        "answered_seconds": None if answered is None else answered.as_dict(),
        "failures": {kind: count for kind, count in burst.failures.items() if count},
    }
