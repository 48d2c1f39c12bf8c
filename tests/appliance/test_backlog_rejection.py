from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from proxy.appliance.backlog_rejection import BacklogRejection
from proxy.appliance.uncounted_requests import UncountedRequests
from proxy.appliance.worker_socket import WorkerSocket
from tests.appliance.test_uncounted_requests import _own_values, counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["_own_values"]
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: the-id\r\nContent-Length: 9\r\n\r\nunread"


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[WorkerSocket]:
    """The socket of a worker that is away."""
    opened = WorkerSocket(tmp_path / "s", mode=0o600)
    opened.fileno()
    yield opened
    opened.close()


def connected(listening: WorkerSocket) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(listening.path))
    return client


def read(client: socket.socket) -> bytes:
    """All of the answer, as nginx reads it: it closes after that."""
    got = b""
    while piece := client.recv(65_536):
        got += piece
    client.close()
    return got


@pytest.mark.parametrize(
    ("path", "shape", "shed"),
    [
        (b"/v1/chat/completions", b'{"error":', 1),
        (b"/v1/messages", b'{"type":"error"', 1),
        (b"/nowhere", b'{"error":', 0),
    ],
)
async def test_who_waited_is_told_to_try_again(
    tmp_path: Path, listening: WorkerSocket, path: bytes, shape: bytes, shed: int
) -> None:
    """503 in the family's shape with nginx's id, counted once; nobody else is."""
    uncounted = UncountedRequests(tmp_path)
    asking, silent, left = (connected(listening) for _ in range(3))
    asking.sendall(HEAD % path)
    left.sendall(HEAD % path)
    left.close()
    silent.shutdown(socket.SHUT_WR)
    with capture_logs() as logged:
        BacklogRejection(uncounted)(listening)
        answer = await asyncio.to_thread(read, asking)
        assert await asyncio.to_thread(read, silent) == b""
        async with asyncio.timeout(10):
            while not logged:
                await asyncio.sleep(0.01)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nX-Request-ID: the-id\r\n" in head
    assert b"\r\nRetry-After: " in head
    assert body.replace(b" ", b"").startswith(shape)
    assert b"the-id" in body
    assert [(line["event"], line["requests"]) for line in logged] == [("turned_away", 1)]
    uncounted.close()
    assert await asyncio.to_thread(counted, tmp_path) == ({("503", "shed"): 1} if shed else {})


async def test_nobody_waits(tmp_path: Path, listening: WorkerSocket) -> None:
    """Then nothing is said."""
    with capture_logs() as logged:
        BacklogRejection(UncountedRequests(tmp_path))(listening)
        await asyncio.sleep(0)
    assert logged == []
