"""Whoever reads the log ends, stands still or has no room: streams and processes go on."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import wait_until
from tests.appliance.test_run import appliance, requests_counted
from tests.kills.stream_clients import StreamClients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.appliance.running import Running

SIZE = 6


@contextmanager
def ended() -> Iterator[int]:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def standing() -> Iterator[int]:
    """A pipe that is full, and whose reader takes nothing, like a paused terminal."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\n" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def full() -> Iterator[int]:
    """A disk without a byte left (null(4))."""
    with Path("/dev/full").open("wb", buffering=0) as disk:
        yield disk.fileno()


def is_ready(running: Running) -> bool:
    """Whether it says so by its admin port."""
    try:
        return running.get("/readyz", admin=True)[0] == 200
    except OSError:
        return False


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "reader",
    [
        ended,
        pytest.param(standing, marks=pytest.mark.kills),
        pytest.param(full, marks=pytest.mark.kills),
    ],
)
def test_nothing_ends_with_the_reader_of_the_log(reader: type, tmp_path: Path) -> None:
    """It starts, serves, restarts a worker and stops in order, all without a line."""
    started = appliance(tmp_path, SLUICE_WORKERS="1")
    with reader() as started.output, started as running:
        wait_until(lambda: is_ready(running), "ready")
        os.kill(running.status()["workers"][0]["pid"], signal.SIGKILL)
        wait_until(lambda: running.status()["workers"][0]["restarts"] != 0, "started again")
        wait_until(lambda: running.status()["state"] == "ready", "all are back")
        assert StreamClients(running.port, SIZE, model="demo-fast;tokens=9").wait() == {
            "complete": SIZE
        }
        wait_until(lambda: requests_counted(running, ended_by="complete") == SIZE, "counted")
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
