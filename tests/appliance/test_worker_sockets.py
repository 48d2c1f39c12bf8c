from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.appliance.monitor import ProcessState
from proxy.appliance.run_directory import RunDirectory
from proxy.appliance.worker_sockets import WorkerSockets
from proxy.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.appliance.monitor import ProcessMonitor

# The supervisor renames sockets in its event loop, which relays nothing.
pytestmark = pytest.mark.no_blockbuster


class Worker:
    """What the sockets ask of a worker's monitor."""

    def __init__(self) -> None:
        self.state = ProcessState.WAITING
        self.given_up = False
        self.ready = asyncio.Event()


class Two:
    """Two workers and their sockets."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.run = RunDirectory(folder, None)
        given = Settings(upstream_url="http://127.0.0.1:9/v1", workers=2, **settings)
        self.sockets = WorkerSockets(self.run, given, cast("Any", None))
        self.workers = [Worker(), Worker()]
        for index in range(2):
            self.sockets[index].fileno()

    def become(self, *states: ProcessState) -> list[bool]:
        """The workers are in these states; whether nginx finds each one's socket then."""
        for worker, state in zip(self.workers, states, strict=True):
            worker.state = state
        self.sockets.route_new_connections(cast("list[ProcessMonitor]", self.workers))
        return [self.run.worker_socket(index).exists() for index in range(2)]


READY, WAITING, SILENT = ProcessState.READY, ProcessState.WAITING, ProcessState.SILENT


@pytest.mark.parametrize(
    ("states", "expected", "away"),
    [
        ((WAITING, WAITING), [True, True], False),
        ((READY, WAITING), [True, False], True),
        ((SILENT, READY), [False, True], True),
        ((READY, READY), [True, True], False),
    ],
)
async def test_nginx_finds_who_is_ready_or_everybody(
    tmp_path: Path, states: tuple[ProcessState, ...], expected: list[bool], *, away: bool
) -> None:
    """And is told while one is out of its way: then it may try another for any request."""
    two = Two(tmp_path)
    two.become(READY, SILENT)
    assert two.become(*states) == expected
    assert two.run.worker_away.exists() is away
    two.sockets.close()


async def test_a_worker_that_is_given_up_is_out_of_the_way_for_good(tmp_path: Path) -> None:
    """Also where the other one is away."""
    two = Two(tmp_path)
    two.workers[1].given_up = True
    assert two.become(READY, WAITING) == [True, False]
    assert two.become(WAITING, WAITING) == [True, False]
    assert two.run.worker_away.exists()
    two.sockets.close()


async def test_where_nothing_can_be_written_down_the_sockets_are_directed_all_the_same(
    tmp_path: Path,
) -> None:
    """The note to nginx is worth less than they are."""
    two = Two(tmp_path)
    two.run.worker_away.mkdir()
    (two.run.worker_away / "something").touch()
    assert two.become(READY, WAITING) == [True, False]
    assert two.become(READY, READY) == [True, True]
    two.sockets.close()


async def test_who_waits_for_a_worker_that_stays_away_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the queue's time, and again; not once it is back."""
    two = Two(tmp_path, queue_timeout_seconds=0.02)
    rejected = asyncio.Queue[Any]()
    monkeypatch.setattr(two.sockets, "_reject_backlog", rejected.put_nowait)
    two.workers[1].ready.set()
    two.become(READY, SILENT)
    async with asyncio.timeout(20):
        assert await rejected.get() is await rejected.get() is two.sockets[1]
    two.become(READY, READY)
    while not rejected.empty():
        rejected.get_nowait()
    await asyncio.sleep(0.05)
    assert rejected.empty()
    two.sockets.close()


async def test_closed_they_are_still_the_workers(tmp_path: Path) -> None:
    """Who has a descriptor of its own goes on accepting."""
    two = Two(tmp_path)
    kept = socket.socket(fileno=socket.dup(two.sockets[0].fileno()))
    two.sockets.close()
    with kept, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(two.sockets[0].path))
        kept.accept()[0].close()
