"""A client that leaves ends what was done for it, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.raw import DEADLINE, Line, ask_chat, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain

AT_ONCE_SECONDS = 0.1
TRIES = 4
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
BINARY = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"


class Silent:
    """An upstream that says its part and then only watches for the other side to go."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.left_at: asyncio.Queue[float] = asyncio.Queue()
        self.asked: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, connection: Connection) -> None:
        await connection.request()
        self.asked.put_nowait(None)
        await connection.say(*self._parts)
        self.left_at.put_nowait(await connection.left())


async def ends_at_once(leave: Callable[[], Awaitable[float]], left: asyncio.Queue[float]) -> None:
    """The upstream's connection ends so soon after the client's.

    Other programs may hold the machine up: one of a few tries must keep the time, and none may
    fail to end.
    """
    delays = []
    for _ in range(TRIES):
        at = await leave()
        async with asyncio.timeout(DEADLINE):
            delays.append(await left.get() - at)
        if delays[-1] < AT_ONCE_SECONDS:
            return
    pytest.fail(f"the upstream's work went on for {delays} s")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_leaving_in_mid_stream_ends_the_upstreams_work(
    start_every: StartWorker, how: str
) -> None:
    """Within a tenth of a second: every token after that would be paid for and read by nobody."""
    upstream = Silent(EVENTS + chunk(FIRST))
    async with Peer(upstream) as peer:
        front = await start_every(upstream_url=peer.url)

        async def leave() -> float:
            line = await Line.open(front.url)
            await line.ask(ask_chat())
            await line.until(b"hi")
            if how == "close":
                return line.leave()
            line.reset()
            return asyncio.get_running_loop().time()

        await ends_at_once(leave, upstream.left_at)


async def test_leaving_before_the_answer_ends_the_upstreams_work(start_every: StartWorker) -> None:
    """A model may think for minutes before its first token."""
    upstream = Silent()
    async with Peer(upstream) as peer:
        front = await start_every(upstream_url=peer.url)

        async def leave() -> float:
            asked = len(peer.heads)
            line = await Line.open(front.url)
            await line.send(ask_chat())
            await until(lambda: len(peer.heads) > asked, "the upstream was not asked")
            return line.leave()

        await ends_at_once(leave, upstream.left_at)


async def test_leaving_between_pings_ends_the_upstreams_work(start_every: StartWorker) -> None:
    """Also where the 200 went out before the upstream had said anything."""
    upstream = Silent()
    async with Peer(upstream) as peer:
        front = await start_every(
            upstream_url=peer.url, commit_after_seconds=0.02, ping_interval_seconds=0.02
        )

        async def leave() -> float:
            line = await Line.open(front.url)
            await line.ask(ask_chat())
            await line.until(b": ping\n\n")
            # The 200 may go out before there is a connection to the upstream.
            await upstream.asked.get()
            return line.leave()

        await ends_at_once(leave, upstream.left_at)


async def test_leaving_a_binary_answer_ends_the_upstreams_work(start_every: StartWorker) -> None:
    """What is not looked into is not fetched for nobody either."""
    upstream = Silent(BINARY + chunk(b"sound"))
    async with Peer(upstream) as peer:
        front = await start_every(upstream_url=peer.url)

        async def leave() -> float:
            line = await Line.open(front.url)
            await line.ask(request("POST", "/v1/audio/speech", b"{}"))
            await line.until(b"sound")
            return line.leave()

        await ends_at_once(leave, upstream.left_at)


async def test_leaving_the_line_makes_room_in_it(start_front: StartWorker) -> None:
    """Who waited for a slot and left is never asked for."""
    upstream = Silent(EVENTS + chunk(FIRST))
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1, queue_size=1)
        async with await Line.open(front.url) as running:
            await running.ask(ask_chat())
            for _ in range(3):
                waiting = await Line.open(front.url)
                await waiting.send(ask_chat())
                await until(lambda: front.state.admission.waiting == 1, "nobody waits")
                waiting.leave()
                await until(lambda: front.state.admission.waiting == 0, "still in line")
            assert peer.accepted == 1
            assert front.state.admission.taken == 1


async def test_leaving_between_two_attempts_ends_them(start_front: StartWorker) -> None:
    """Nobody is asked again for a client that has gone."""
    busy = plain(b"{}", "503 Service Unavailable", {"Retry-After": "5"})
    async with Peer(Silent(busy)) as peer:
        front = await start_front(upstream_url=peer.url, retries=5)
        line = await Line.open(front.url)
        await line.send(ask_chat())
        await until(lambda: _pauses(front, peer), "there is no second attempt to wait for")
        line.leave()
        await until(lambda: front.state.admission.taken == 0, "its slot is still held")
        assert len(peer.heads) == 1


async def test_leaving_in_mid_upload_reaches_nobody(start_front: StartWorker) -> None:
    """Half a request is no request."""
    async with Peer(Silent()) as peer:
        front = await start_front(upstream_url=peer.url)
        whole = request("POST", "/v1/files", b"x" * 200_000)
        line = await Line.open(front.url)
        await line.send(whole[:100_000])
        await until(lambda: front.server.requests_count == 1, "the request did not begin")
        line.leave()
        await until(lambda: not front.server.connections, "it is still waited for")
        assert peer.accepted == 0


async def test_leaving_while_a_connection_is_made_ends_the_wait(start_front: StartWorker) -> None:
    """An upstream that does not even accept holds no slot for a client that has gone."""
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        front = await start_front(upstream_url=f"http://127.0.0.1:{deaf.getsockname()[1]}")
        line = await Line.open(front.url)
        await line.send(ask_chat())
        await until(lambda: front.state.admission.taken == 1, "it has no slot")
        line.leave()
        await until(lambda: front.state.admission.taken == 0, "its slot is still held")


class Generation:
    """An upstream that goes on when it is told to, and knows whether anybody heard the end."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(FIRST))
        await self.go_on.wait()
        await connection.say(chunk(DONE), LAST_CHUNK)
        self.ended.set()
        await connection.left()


@pytest.mark.parametrize("policy", ["drain", "grace"])
async def test_an_answer_can_be_read_to_its_end_for_nobody(
    start_every: StartWorker, policy: str
) -> None:
    """For its usage: the slot is held until then, and free after it; the connection is kept."""
    upstream = Generation()
    async with Peer(upstream) as peer:
        front = await start_every(upstream_url=peer.url, on_client_left=policy)
        line = await Line.open(front.url)
        await line.ask(ask_chat())
        await line.until(b"hi")
        line.leave()
        await until(lambda: _has_left(front), "nobody noticed")
        assert front.state.admission.taken == 1
        upstream.go_on.set()
        await until(lambda: front.state.admission.taken == 0, "its slot is still held")
        assert upstream.ended.is_set()
        assert front.state.upstreams.connections() == (0, 1)


async def test_grace_ends(start_every: StartWorker) -> None:
    """An answer that goes on for longer than it is ended like any other."""
    upstream = Silent(EVENTS + chunk(FIRST))
    async with Peer(upstream) as peer:
        front = await start_every(upstream_url=peer.url, on_client_left="grace", grace_seconds=0.15)
        line = await Line.open(front.url)
        await line.ask(ask_chat())
        await line.until(b"hi")
        left = line.leave()
        async with asyncio.timeout(5):
            assert await upstream.left_at.get() - left > 0.1


async def test_draining_for_nobody_has_an_end(start_every: StartWorker) -> None:
    """The total clock runs on without a client."""
    upstream = Silent(EVENTS + chunk(FIRST))
    async with Peer(upstream) as peer:
        front = await start_every(
            upstream_url=peer.url, on_client_left="drain", total_timeout_seconds=0.3
        )
        line = await Line.open(front.url)
        await line.ask(ask_chat())
        await line.until(b"hi")
        line.leave()
        async with asyncio.timeout(5):
            await upstream.left_at.get()


@pytest.mark.parametrize("policy", ["drain", "grace"])
async def test_nothing_is_begun_for_nobody(start_front: StartWorker, policy: str) -> None:
    """Who leaves while waiting for a slot leaves the line, under every policy."""
    upstream = Generation()
    async with Peer(upstream) as peer:
        front = await start_front(
            upstream_url=peer.url, max_streams=1, on_client_left=policy, grace_seconds=0.1
        )
        async with await Line.open(front.url) as running:
            await running.ask(ask_chat())
            waiting = await Line.open(front.url)
            await waiting.send(ask_chat())
            await until(lambda: front.state.admission.waiting == 1, "nobody waits")
            waiting.leave()
            await until(lambda: front.state.admission.waiting == 0, "still in line")
            assert peer.accepted == 1
            upstream.go_on.set()
            assert (await running.body()).endswith(DONE)


async def test_an_upstream_outlives_many_clients_that_leave(
    start_every: StartWorker, demo: Demo
) -> None:
    """A hundred in a row, at every moment of their streams; the demo sees each of them go."""
    front = await start_every()

    async def one(number: int) -> None:
        line = await Line.open(front.url)
        await line.send(ask_chat("tokens=100000;rate=500"))
        if number % 3:
            await line.head()
        for _ in range(number % 7 if number % 3 else 0):
            await line.part()
        line.leave()

    for start in range(0, 100, 20):
        await asyncio.gather(*map(one, range(start, start + 20)))
    await demo.state.until(lambda state: not state.open)
    assert demo.state.finished == 0


def _pauses(front: Worker, peer: Peer) -> bool:
    used, _ = front.state.upstreams.connections()
    return len(peer.heads) == 1 and front.state.admission.taken == 1 and not used


def _has_left(front: Worker) -> bool:
    return any(watchdog._client.left for watchdog in front.state.watchdogs)
