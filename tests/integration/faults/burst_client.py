"""Thousands of clients in one instant: `python -m …burst_client HOST PORT NUMBER WORDS`.

A program of its own, on plain epoll: the client must not be what is slow, nor slow the test down.
It prints what became of each as one JSON document.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.integration.faults.asking import CHAT

TIMEOUT_SECONDS = 120.0
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class BurstConnection:
    """One connection and what it has heard."""

    socket: socket.socket
    asked: bool = False
    head: bytes = b""
    tail: bytes = b""
    body_bytes: int = 0
    answered_after: float = 0.0

    def hear(self, data: bytes, now: float) -> None:
        """Take in what came."""
        if _HEAD_END not in self.head:
            self.head += data
            head, end, data = self.head.partition(_HEAD_END)
            if not end:
                return
            self.head = head + end
            self.answered_after = now
        self.body_bytes += len(data)
        self.tail = (self.tail + data)[-64:]

    @property
    def status(self) -> int:
        """The status of its answer; 0 if there was none."""
        return int(self.head[9:12] or 0)

    @property
    def verdict(self) -> str:
        """What became of it: `complete`, `refused` as it should be, or what went wrong."""
        if self.status == 200:
            whole = b"data: [DONE]" in self.tail and self.tail.endswith(_LAST_CHUNK)
            return "complete" if whole else "cut"
        if self.status == 503:
            return "refused" if b"\r\nretry-after: " in self.head.lower() else "no Retry-After"
        return f"status {self.status}"


@dataclass(slots=True)
class BurstClient:
    """All of them."""

    address: tuple[str, int]
    request: bytes
    poll: select.epoll = field(default_factory=select.epoll)
    clients: dict[int, BurstConnection] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    connected: list[float] = field(default_factory=list)
    answered: dict[str, list[float]] = field(default_factory=dict)
    began: float = 0.0

    def run(self, count: int) -> dict[str, Any]:
        """Come at once, hear everything out, and tell."""
        self.began = time.monotonic()
        for _ in range(count):
            self._come()
        deadline = self.began + TIMEOUT_SECONDS
        while self.clients and time.monotonic() < deadline:
            for descriptor, _ in self.poll.poll(0.1):
                self._ready(self.clients[descriptor])
        self.verdicts["silent"] += len(self.clients)
        return {
            "began": self.began,
            "ended": time.monotonic(),
            "verdicts": {verdict: number for verdict, number in self.verdicts.items() if number},
            "connected_after": max(self.connected, default=0.0),
            "answered_after": {kind: max(times) for kind, times in self.answered.items()},
        }

    def _come(self) -> None:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = client.connect_ex(self.address)
        if code not in {0, errno.EINPROGRESS}:
            self.verdicts[errno.errorcode.get(code, str(code))] += 1
            return
        self.clients[client.fileno()] = BurstConnection(client)
        self.poll.register(client.fileno(), select.EPOLLOUT)

    def _ready(self, connection: BurstConnection) -> None:
        now = time.monotonic() - self.began
        try:
            if not connection.asked:
                connection.asked = True
                connection.socket.send(self.request)
                self.connected.append(now)
                self.poll.modify(connection.socket, select.EPOLLIN)
                return
            data = connection.socket.recv(65536)
        except OSError as error:
            self._go(connection, errno.errorcode.get(error.errno or 0, "unknown"))
            return
        connection.hear(data, now)
        if not data:
            self._go(connection, connection.verdict)

    def _go(self, connection: BurstConnection, verdict: str) -> None:
        self.verdicts[verdict] += 1
        self.answered.setdefault(verdict, []).append(connection.answered_after)
        self.poll.unregister(connection.socket)
        del self.clients[connection.socket.fileno()]
        connection.socket.close()


def main(host: str, port: str, count: str, words: str) -> None:
    """Run one burst and print its result."""
    request = CHAT.request(words, more=[("Connection", "close")])
    print(json.dumps(BurstClient((host, int(port)), request).run(int(count))))  # noqa: T201 its output


if __name__ == "__main__":
    os.nice(10)
    main(*sys.argv[1:])
