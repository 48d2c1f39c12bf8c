"""A worker's beats reach its supervisor through a pipe."""

from __future__ import annotations

import asyncio
import os

import pytest

from proxy.appliance import heartbeat_reader as felt
from proxy.edge import heartbeat


async def until_beats(reader: felt.HeartbeatReader, count: int) -> None:
    """Wait until so many have come."""
    async with asyncio.timeout(10):
        while reader.beats < count:
            await asyncio.sleep(0.005)


async def test_beats_are_counted_from_the_first_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at once, and more as the time goes by; none after the end."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    reader = felt.HeartbeatReader()
    beating = heartbeat.Heartbeat(os.dup(reader.writing))
    reader.close_writing_end()
    await until_beats(reader, 3)
    beating.close()
    beating.close()
    reader.close()


async def test_the_end_of_a_worker_does_not_keep_the_supervisor_busy() -> None:
    """The closed pipe is read once."""
    reader = felt.HeartbeatReader()
    reader.close_writing_end()
    await asyncio.sleep(0.02)
    assert not asyncio.get_running_loop().remove_reader(reader._reading)
    reader.close()
