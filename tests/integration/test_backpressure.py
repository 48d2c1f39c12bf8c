"""A reader that is slow slows its upstream down, in little memory, and loses nothing."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from proxy.relay.client_writer import BUFFERED_BYTES
from tests.integration.conftest import StartWorker, Worker, until
from tests.integration.faults import gateways
from tests.integration.raw import BrokenOff, Line, ask_chat, exchange, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk

SMALL = 16 * 1024
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 50_000)
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
# What one read may bring before anybody can say that it is enough: a receive buffer, which Linux
# makes twice as large as it was asked for (socket(7)).
READ_BYTES = 2 * 64 * 1024
# A hundred megabytes: more than all buffers on the way can hold, and no harm if nothing stops it.
ENDLESS = 2_000
QUIET_LOOKS = 25


class Torrent:
    """An upstream that says so many events as fast as they are taken."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.sent = 0

    async def __call__(self, connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(EVENTS)
            for _ in range(self.events):
                await connection.say(chunk(EVENT))
                self.sent += 1
            await connection.say(chunk(DONE), LAST_CHUNK)

    async def stalls(self) -> None:
        """Wait until nothing more is taken."""
        before, looks = -1, 0
        async with asyncio.timeout(20):
            while looks < QUIET_LOOKS:
                looks = looks + 1 if self.sent == before else 0
                before = self.sent
                await asyncio.sleep(0.01)


async def stalled(url: str) -> Line:
    """A client that has its answer's head and reads no further."""
    line = await Line.open(url, receive_buffer=SMALL)
    await line.ask(ask_chat())
    line.stop_reading()
    return line


async def test_a_slow_reader_slows_the_upstream(start_every: StartWorker) -> None:
    """A huge answer comes to a halt, while the worker holds what one read brings and a little."""
    torrent = Torrent(ENDLESS)
    async with Peer(torrent) as peer:
        front = await start_every(upstream_url=peer.url)
        line = await stalled(front.url)
        await torrent.stalls()
        assert torrent.sent < torrent.events
        assert held(front) <= BUFFERED_BYTES + READ_BYTES
        line.reset()
        await peer.all_closed()


async def test_a_slow_reader_loses_nothing(start_every: StartWorker) -> None:
    """When it reads on, all comes, in order."""
    torrent = Torrent(200)
    async with Peer(torrent) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await stalled(front.url) as line:
            body = b""
            for _ in range(3):
                await until(lambda: lags(front), "it does not lag")
                line.read_on()
                while len(body) % (20 * len(EVENT)) < 15 * len(EVENT):
                    body += await line.part()
                line.stop_reading()
            line.read_on()
            body += await line.body()
    assert body == EVENT * torrent.events + DONE


async def test_a_slow_reader_slows_nobody_else(start_every: StartWorker) -> None:
    """Beside a stalled stream, others start and end as ever."""
    torrent = Torrent(150)
    async with Peer(torrent) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await stalled(front.url):
            await until(lambda: lags(front), "it does not lag")
            answer = await exchange(front.url, ask_chat())
    assert answer.body == EVENT * torrent.events + DONE


async def test_leaving_while_it_lags_ends_the_upstreams_work(start_every: StartWorker) -> None:
    """A stalled client that goes away is seen to go, though nobody writes to it any more."""
    async with Peer(Torrent(ENDLESS)) as peer:
        front = await start_every(upstream_url=peer.url)
        line = await stalled(front.url)
        await until(lambda: lags(front), "it does not lag")
        line.reset()
        await until(lambda: front.state.admission.taken == 0, "its slot is still held")
        await peer.all_closed()


async def test_a_client_that_takes_nothing_for_too_long_is_cut_off(
    start_every: StartWorker,
) -> None:
    """What still waits for it is dropped with its connection, not kept until it reads on."""
    async with Peer(Torrent(ENDLESS)) as peer:
        front = await start_every(upstream_url=peer.url, slow_client_timeout_seconds=0.1)
        line = await stalled(front.url)
        await peer.all_closed()
        await until(lambda: not front.server.connections, "its connection is still there")
        line.read_on()
        with pytest.raises(BrokenOff):
            await line.body()
        line.leave()


async def test_a_slow_upstream_slows_the_upload(start_front: StartWorker) -> None:
    """What it has not taken waits, and arrives whole."""
    front = await start_front()
    body = bytes(1024) * 600
    sent = request("POST", "/v1/echo", body, [("X-Demo", "slow-read=2MiB")])
    answer = await exchange(front.url, sent)
    assert answer.json()["body"]["sha256"] == hashlib.sha256(body).hexdigest()


async def test_stalled_readers_take_little_memory() -> None:
    """Much less than the upstream has to say to each."""
    readers = 30
    torrent = Torrent(60)
    async with Peer(torrent) as peer:
        behind = gateways.Upstream(gateways.Process(None, peer.url))  # type: ignore[arg-type]
        with gateways.worker(behind, drain_seconds=0) as worker:
            await exchange(worker.url, ask_chat())
            before = resident(worker.process.popen.pid)
            lines = [await stalled(worker.url) for _ in range(readers)]
            await torrent.stalls()
            grown = resident(worker.process.popen.pid) - before
            for line in lines:
                line.reset()
    assert grown / readers < torrent.events * len(EVENT) / 3


def lags(front: Worker) -> bool:
    """Whether a client has more waiting for it than the worker likes to hold."""
    return held(front) > BUFFERED_BYTES


def held(front: Worker) -> int:
    """Bytes that the worker itself keeps for its clients."""
    return sum(watchdog._client.waiting for watchdog in front.state.watchdogs)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
