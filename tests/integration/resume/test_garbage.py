"""What a request leaves behind is freed at once, not by the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import until
from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, chat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker, Worker

QUICK = chat("demo;ttft=0;rate=0;tokens=5")
SLOW = chat("demo;ttft=0;rate=40;tokens=20")


async def plain(url: str) -> None:
    """A stream that nobody wants to resume."""
    assert (await ask(url + CHAT, "POST", QUICK)).status == 200


async def refused(url: str) -> None:
    """An upstream's error."""
    answer = await ask(url + CHAT, "POST", chat("demo;status=400"), **RESUMABLE)
    assert answer.status == 400


async def kept(url: str) -> None:
    """A resumable stream that its client reads to the end."""
    assert (await ask(url + CHAT, "POST", QUICK, **RESUMABLE)).status == 200


async def resumed(url: str) -> None:
    """One whose client leaves, and comes back for the rest."""
    async with asked(url + CHAT, "POST", SLOW, **RESUMABLE) as answer:
        stream = answer.headers["Sluice-Stream-Id"]
        await answer.content.readany()
        answer.close()
    assert (await ask(f"{url}/v1/streams/{stream}?after=1")).body.endswith(b"[DONE]\n\n")


async def detached(url: str) -> None:
    """One without a client from the start."""
    answer = await ask(url + CHAT, "POST", QUICK, Prefer="respond-async")
    assert answer.status == 202
    assert (await ask(url + answer.headers["Location"])).body.endswith(b"[DONE]\n\n")


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The garbage collector runs only when it is asked to, and on what this test makes."""
    gc.collect()
    # The modules and fixtures of all tests: each of three collections would take 0.3 s for them.
    gc.freeze()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("request_of", [plain, refused, kept, resumed, detached])
async def test_nothing_waits_for_the_garbage_collector(
    start_worker: StartWorker, store: StoreServer, request_of: Callable[[str], Awaitable[None]]
) -> None:
    """It rarely looks at objects as old as a stream: a worker would grow until then."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5)
    await request_of(worker.url)
    await freed(worker)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await request_of(worker.url)
        await freed(worker)
        gc.collect()
        left = Counter(type(garbage) for garbage in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not [kind for kind in left if kind.__module__.startswith("proxy.")], left


async def freed(worker: Worker) -> None:
    """Wait until the last request's log is written and its connection is closed."""
    resumables = worker.state.resumables
    assert resumables is not None
    running = resumables.logs.writer.running
    await until(lambda: not running and not worker.server.connections, "it has not ended")
    await asyncio.sleep(0.1)
