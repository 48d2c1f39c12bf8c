"""Whether a worker has started every request that was sent to its socket so far."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from proxy.appliance.accept_queue_probe import has_started_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """A worker's socket, from which nobody accepts yet."""
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "worker.sock"))
        opened.listen()
        opened.settimeout(20)
        yield opened


def answer(listening: socket.socket, times: int) -> list[bytes]:
    """Answer so many, and close each connection; the requests, in their order."""
    requests = []
    for _ in range(times):
        connection, _ = listening.accept()
        with connection:
            requests.append(connection.recv(1000))
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * requests[-1].startswith(b"HEAD"))
    return requests


def test_a_worker_that_answers_has_read_what_came_before(
    tmp_path: Path, listening: socket.socket
) -> None:
    """The question waits behind all others."""
    with socket.socket(socket.AF_UNIX) as before:
        before.connect(str(tmp_path / "worker.sock"))
        before.sendall(b"GET /v1/models HTTP/1.1\r\n\r\n")
        read: list[bytes] = []
        worker = threading.Thread(target=lambda: read.extend(answer(listening, 4)))
        worker.start()
        assert has_started_all(tmp_path / "worker.sock", seconds=20)
        worker.join()
    assert read[0].startswith(b"GET /v1/models ")


@pytest.mark.usefixtures("listening")
def test_a_frozen_worker_has_not_passed(tmp_path: Path) -> None:
    """Nor one that is away, whose socket is kept for the next."""
    assert not has_started_all(tmp_path / "worker.sock", seconds=0.01)


def test_a_worker_that_dies_meanwhile_has_not_passed(
    tmp_path: Path, listening: socket.socket
) -> None:
    """It has accepted the question, and answers nobody."""

    def die() -> None:
        listening.accept()[0].close()

    worker = threading.Thread(target=die)
    worker.start()
    assert not has_started_all(tmp_path / "worker.sock", seconds=20)
    worker.join()


def test_a_socket_that_nobody_accepts_from_any_more(
    tmp_path: Path, listening: socket.socket
) -> None:
    """What was sent there is never begun with."""
    listening.close()
    assert has_started_all(tmp_path / "worker.sock")


def test_a_socket_that_is_being_hidden(tmp_path: Path) -> None:
    """It has another name then: nothing is known."""
    assert not has_started_all(tmp_path / "worker.sock")
