"""What the scrape says is what happened: over three workers, under load, after a death."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually, fetch, kill
from tests.integration.raw import BrokenOff, Line, post_json
from tests.integration.scraping import Scrape, scrape, watched

WORKERS = 3
REQUESTS = "sluice_requests_total"
OUTPUT = "gen_ai_client_token_usage_sum"
OF_WHOLE = {"gen_ai_token_type": "output", "gen_ai_request_model": "whole"}
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
_USAGE = re.compile(rb'"(?:completion|output)_tokens":\s*(\d+)')
_TEXT = re.compile(rb'"content":"[^"]|"text_delta"')


@dataclass
class Truth:
    """What the clients themselves counted."""

    ended: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Requests by route, status and outcome."""
    tokens: int = 0
    """Output tokens that the answers' own usage adds up to."""
    texts: int = 0
    """Events with text."""
    bytes_out: int = 0
    streams: int = 0

    def whole(self, path: str, body: bytes, *, streamed: bool) -> None:
        """An answer that came whole."""
        self.ended[path, "200", "complete"] += 1
        self.tokens += int(_USAGE.findall(body)[-1])
        self.bytes_out += len(body)
        if streamed:
            self.streams += 1
            self.texts += len(_TEXT.findall(body))


def a_request(path: str, words: str, model: str, *, stream: bool) -> bytes:
    """A request that asks for its usage to be told."""
    document = {"model": model, "stream": stream, "messages": [], "max_tokens": 10_000}
    if path == CHAT:
        document["stream_options"] = {"include_usage": True}
    return post_json(path, document, [("X-Demo", words)])


@pytest.fixture(scope="module")
def gateway(upstream: gateways.Upstream) -> Iterator[RunningGateway]:
    """An appliance whose metrics nobody else adds to."""
    with gateways.appliance(
        upstream, workers=WORKERS, retries=0, eject_after_failures=1000, drain_seconds=1
    ) as one:
        yield one


async def load(gateway: RunningGateway, truth: Truth, number: int) -> None:
    """One client: streamed or not, of either family, whole, cut, refused, mistaken or leaving."""
    path = (CHAT, MESSAGES)[number % 2]
    tokens = 5 + number % 40
    words = f"rate={random.choice((0, 400, 900))};tokens={tokens}"
    kind = number % 10
    async with await Line.open(gateway.url) as line:
        if kind == 0:
            await line.whole(post_json(path, "no object"))
            truth.ended[path, "400", "rejected"] += 1
        elif kind == 1:
            answer = await line.whole(a_request(path, "status=429", "refused", stream=True))
            assert answer.status == 429
            truth.ended[path, "429", "complete"] += 1
        elif kind == 2:
            with pytest.raises(BrokenOff) as broken:
                await line.whole(a_request(path, "cut=4", "cut", stream=True))
            assert b"error" in broken.value.body
            truth.ended[path, "200", "upstream_cut"] += 1
        elif kind == 3:
            await line.ask(a_request(path, "tokens=100000;rate=50", "left", stream=True))
            await line.part()
            truth.ended[path, "200", "client_left"] += 1
        else:
            streamed = kind != 4
            answer = await line.whole(a_request(path, words, "whole", stream=streamed))
            assert answer.status == 200
            truth.whole(path, answer.body, streamed=streamed)


async def agrees(gateway: RunningGateway, truth: Truth, since: Scrape) -> Scrape:
    """Wait until the scrape has as many requests as the clients; then all the rest must agree."""
    wanted = sum(truth.ended.values())
    scrapes: list[Scrape] = []

    async def all_counted() -> bool:
        scrapes[:] = [await scrape(gateway.admin_url)]
        return scrapes[0].sum(REQUESTS) - since.sum(REQUESTS) >= wanted

    await eventually(all_counted, "not every request was counted")
    (now,) = scrapes

    def grown(name: str, **labels: str) -> float:
        return now.sum(name, **labels) - since.sum(name, **labels)

    for (route, status, ended_by), count in truth.ended.items():
        expected = {"route": route, "status": status, "ended_by": ended_by}
        assert (expected, grown(REQUESTS, **expected)) == (expected, count)
    assert grown(REQUESTS) == wanted
    assert grown(OUTPUT, **OF_WHOLE) == truth.tokens
    assert grown("sluice_token_events_total", channel="text", model="whole") == truth.texts
    first = {"gen_ai_request_model": "whole"}
    tokens_seen = grown("gen_ai_server_time_to_first_token_seconds_count", **first)
    assert tokens_seen == truth.streams
    return now


async def test_the_scrape_equals_the_clients_count(gateway: RunningGateway) -> None:
    """To the last token; and no counter ever went down while three workers wrote and one read."""
    since, earlier = await scrape(gateway.admin_url), set(gateway.process.ended)
    truth = Truth()
    async with watched(gateway.admin_url) as scrapes:
        for start in range(0, 200, 50):
            await asyncio.gather(*(load(gateway, truth, n) for n in range(start, start + 50)))
        now = await agrees(gateway, truth, since)
    assert len(scrapes) >= 3
    assert len([*now.by("sluice_process_up")]) == WORKERS + len(["nginx", "store"])
    lines = await logged(gateway, earlier, truth.ended.total())
    assert {line["worker"] for line in lines} == set(range(WORKERS))
    in_log = Counter((line["route"], str(line["status"]), line["ended_by"]) for line in lines)
    assert in_log == truth.ended


async def logged(gateway: RunningGateway, earlier: set[str], wanted: int) -> list[dict[str, Any]]:
    """So many log lines of requests that have ended since; they come by a pipe."""
    lines: list[dict[str, Any]] = []

    async def all_read() -> bool:
        ended = dict(gateway.process.ended)
        lines[:] = [line for request_id, line in ended.items() if request_id not in earlier]
        return len(lines) >= wanted

    await eventually(all_read, "not every request was logged")
    return lines


async def test_levels_are_what_is_there(gateway: RunningGateway) -> None:
    """So many streams as run now, over all workers, and none when they have ended."""
    async with AsyncExitStack() as clients:
        for _ in range(10):
            line = await clients.enter_async_context(await Line.open(gateway.url))
            await line.ask(a_request(CHAT, "hang=2", "hangs", stream=True))
        await in_flight(gateway, 10)
    await in_flight(gateway, 0)


async def test_a_killed_worker_loses_nothing_that_had_been_counted(gateway: RunningGateway) -> None:
    """It goes on where it stopped; what it had in flight is forgotten; the others serve on."""
    truth, since = Truth(), await scrape(gateway.admin_url)
    await asyncio.gather(*(load(gateway, truth, n) for n in range(40)))
    before = await agrees(gateway, truth, since)
    more = Truth()
    async with watched(gateway.admin_url):
        async with await Line.open(gateway.url) as first, await Line.open(gateway.url) as second:
            for line in (first, second):
                await line.ask(a_request(CHAT, "hang=2", "hangs", stream=True))
            await kill(gateway, worker=1)
        after = await scrape(gateway.admin_url)
        after.never_went_down_since(before)
        await asyncio.gather(*(load(gateway, more, n) for n in range(40)))
    wanted = truth.tokens + more.tokens
    scrapes: list[Scrape] = []

    async def all_counted() -> bool:
        scrapes[:] = [await scrape(gateway.admin_url)]
        return scrapes[0].sum(OUTPUT, **OF_WHOLE) - since.sum(OUTPUT, **OF_WHOLE) >= wanted

    await eventually(all_counted, "not every token was counted")
    now = await in_flight(gateway, 0)
    now.never_went_down_since(after)
    assert now.sum("sluice_process_restarts_total", process="worker-1") == 1
    assert now.sum(OUTPUT, **OF_WHOLE) - since.sum(OUTPUT, **OF_WHOLE) == wanted


async def test_a_cut_by_a_dying_worker_is_seen(gateway: RunningGateway) -> None:
    """A stream whose worker is killed does not look finished to its client."""
    status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
    async with AsyncExitStack() as clients:
        reading = []
        for _ in range(2 * WORKERS):
            line = await clients.enter_async_context(await Line.open(gateway.url))
            await line.ask(a_request(CHAT, "hang=2", "hangs", stream=True))
            await line.part()
            reading.append(asyncio.create_task(line.body()))
        os.kill(status["workers"][2]["pid"], signal.SIGKILL)
        done, others = await asyncio.wait(reading, timeout=5, return_when="FIRST_COMPLETED")
        assert done
        assert all(isinstance(task.exception(), BrokenOff) for task in done)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    await in_flight(gateway, 0)


async def in_flight(gateway: RunningGateway, streams: int) -> Scrape:
    """A scrape that has so many streams in flight; levels are told once a second."""
    scrapes: list[Scrape] = []

    async def so_many() -> bool:
        scrapes[:] = [await scrape(gateway.admin_url)]
        return scrapes[0].sum("sluice_streams_in_flight") == streams

    await eventually(so_many, f"there are not {streams} streams in flight")
    return scrapes[0]
