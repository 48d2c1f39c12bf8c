from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.nginx.front import EVENTS, Front, Heard, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.appliance.nginx_program import NginxProgram

POST = "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"


async def test_a_dead_worker_is_passed_over(program: NginxProgram) -> None:
    """While one worker refuses connections, every request is answered by the other."""
    async with Front(program, workers=2) as front:
        await front.workers[0].stop()
        for _ in range(5):
            assert (await front.send(POST)).status == 200
        assert len(front.workers[1].heard) == 5


async def test_a_restarted_worker_is_found_with_the_next_request(program: NginxProgram) -> None:
    """No memory of earlier failures keeps requests from a worker that is back."""
    async with Front(program) as front:
        await front.worker.stop()
        assert (await front.send(POST)).status == 503
        await asyncio.to_thread(front.worker.path.unlink, missing_ok=True)
        await front.worker.start()
        assert (await front.send(POST)).status == 200


@pytest.mark.parametrize(
    "request_text",
    [POST, "GET /v1/stream?model=m&q=hi HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
    ids=["post", "a get that starts an answer"],
)
async def test_what_a_worker_may_have_begun_is_not_repeated(
    program: NginxProgram, request_text: str
) -> None:
    """A worker dies after it read the request: the client is told, no other worker sees it."""

    async def die(heard: Heard) -> None:
        heard.writer.transport.abort()

    async with Front(program, workers=2) as front:
        for worker in front.workers:
            worker.script = die
        got = await front.send(request_text)
        assert got.status == 502
        assert sum(len(worker.heard) for worker in front.workers) == 1


START = "GET /v1/stream?model=m&q=hi HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_a_get_that_starts_an_answer_finds_another_worker(program: NginxProgram) -> None:
    """While the socket of one is out of the way: an EventSource that is refused asks no more."""
    async with Front(program, workers=2) as front:
        front.run.worker_away.touch()
        await front.workers[0].stop()
        await asyncio.to_thread(front.workers[0].path.unlink, missing_ok=True)
        for _ in range(4):
            assert (await front.send(START)).status == 200
        assert {heard.line for heard in front.workers[1].heard} == {START.partition("\r\n")[0]}


async def test_a_get_that_starts_an_answer_and_no_worker_at_all(program: NginxProgram) -> None:
    """It is refused in the gateway's own words, with and without the way to another worker."""
    async with Front(program, workers=2) as front:
        for worker in front.workers:
            await worker.stop()
        for away in (False, True):
            if away:
                front.run.worker_away.touch()
            got = await front.send(START)
            assert got.status == 503
            assert "worker_unreachable" in got.body
            assert got.one("Retry-After")


async def test_a_stream_goes_to_the_worker_with_the_fewest(program: NginxProgram) -> None:
    """Streams last for minutes, so taking turns is not enough: whose streams end gets the next."""
    async with Front(program, workers=3) as front, contextlib.AsyncExitStack() as leaving:
        for index, worker in enumerate(front.workers):
            worker.script = _holding(index)

        async def begin() -> tuple[int, Wire]:
            wire = await front.connect()
            leaving.callback(wire.leave)
            await wire.say("GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n")
            await wire.until("data: ")
            return int(await wire.until("\n\n")), wire

        begun = [await begin() for _ in range(12)]
        assert Counter(index for index, _ in begun) == {0: 4, 1: 4, 2: 4}
        for heard in front.workers[1].heard:
            heard.writer.close()
        for index, wire in begun:
            if index == 1:
                await wire.rest()
        assert [(await begin())[0] for _ in range(4)] == [1, 1, 1, 1]


def _holding(index: int) -> Callable[[Heard], Awaitable[None]]:
    """A worker that says which one it is, and goes on for ever."""

    async def hold(heard: Heard) -> None:
        await heard.say(EVENTS + "\r\n")
        await heard.chunk(f"data: {index}\n\n")
        await heard.left()

    return hold


async def test_connections_to_workers_are_kept(program: NginxProgram) -> None:
    """One request after another goes over the same connection to the worker."""
    async with Front(program) as front:
        for _ in range(3):
            await front.get()
        assert len({id(heard.writer) for heard in front.worker.heard}) == 1
