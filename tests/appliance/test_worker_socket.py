"""A socket that outlives those that accept from it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from proxy.appliance.worker_socket import WorkerSocket


def connected(path: Path) -> socket.socket:
    """Somebody who has connected."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client


def test_who_comes_while_nobody_accepts_waits(tmp_path: Path) -> None:
    """And is met by the next one that has the socket."""
    listening = WorkerSocket(tmp_path / "s", mode=0o600)
    next_worker = socket.socket(fileno=socket.dup(listening.fileno()))
    with next_worker, connected(listening.path) as client:
        next_worker.accept()[0].close()
        assert client.recv(1) == b""
    listening.close()


def test_hidden_it_refuses_at_once_and_keeps_who_waits(tmp_path: Path) -> None:
    """At its usual path nobody is met, yet the supervisor reaches it; shown again, all is well."""
    path = tmp_path / "s"
    listening = WorkerSocket(path, mode=0o600)
    listening.fileno()
    with connected(path):
        listening.show(False)
        with pytest.raises(FileNotFoundError):
            connected(path)
        connected(listening.path).close()
        waiting = listening.take_waiting()
        assert len(waiting) == 2
        for client in waiting:
            client.close()
        listening.show(True)
        connected(path).close()
    listening.close()


def test_its_rights_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """Either nginx as nobody may connect, or only whoever started Sluice."""
    for mode in (0o600, 0o666):
        listening = WorkerSocket(tmp_path / str(mode), mode=mode)
        listening.fileno()
        assert listening.path.stat().st_mode & 0o777 == mode
        listening.close()


def test_closed_it_has_nobody_to_turn_away(tmp_path: Path) -> None:
    """Whoever is slower than the end need not care."""
    listening = WorkerSocket(tmp_path / "s", mode=0o600)
    assert listening.take_waiting() == []
    listening.fileno()
    listening.close()
    assert listening.take_waiting() == []
