"""Readers that lose their connection anywhere: inside events, inside characters, again at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.relay.event_cutter import EventCutter
from tests.fixtures.stores import store_server
from tests.integration.faults import gateways
from tests.integration.resume.asking import CHAT, ask, asked, chat

if TYPE_CHECKING:
    from collections.abc import Iterator

BREAKS = st.lists(
    st.tuples(
        st.booleans(),
        st.one_of(st.just(0), st.integers(1, 12), st.integers(13, 600), st.integers(601, 6000)),
    ),
    max_size=14,
)
"""Of each connection: to which machine it goes, and after how many bytes it breaks; after none,
before anything has come. The last one stays."""
READERS = st.lists(BREAKS, min_size=1, max_size=4)
pytestmark = pytest.mark.no_blockbuster


@pytest.fixture(scope="module")
def urls(upstream: gateways.Upstream) -> Iterator[list[str]]:
    """Two workers that share nothing but a store."""
    with (
        store_server() as store,
        gateways.worker(upstream, store_url=store.url, store_timeout_seconds=5) as gateway,
        gateways.worker(upstream, store_url=store.url, store_timeout_seconds=5) as other,
    ):
        yield [gateway.url, other.url]


async def read_with_breaks(
    urls: list[str], path: str, breaks: list[tuple[bool, int]]
) -> list[bytes]:
    """All events, over as many connections as it takes."""
    events: list[bytes] = []
    for which, max_events in breaks:
        async with asked(f"{urls[which]}{path}?after={len(events)}") as answer:
            if answer.status == 204:
                return events
            assert answer.status == 200
            cutter, left = EventCutter(), max_events
            while left > 0 and (part := await answer.content.read(left)):
                events += cutter.feed(part)
                left -= len(part)
    rest = await ask(f"{urls[0]}{path}?after={len(events)}")
    assert rest.status in {200, 204}
    return events + rest.events


async def every_event_once(
    urls: list[str], seed: int, readers: list[list[tuple[bool, int]]]
) -> bytes:
    """The stream runs while they read; what each has at the end is the same, byte for byte.

    Returns that.
    """
    model = f"demo;seed={seed};tokens=30;rate=100;ttft=0"
    made = await ask(urls[0] + CHAT, "POST", chat(model), Prefer="respond-async")
    path = f"/v1/streams/{made.stream}"
    readings = await asyncio.gather(*(read_with_breaks(urls, path, breaks) for breaks in readers))
    everything = await ask(urls[1] + path)
    assert everything.body.endswith(b"data: [DONE]\n\n")
    assert readings == [everything.events] * len(readers)
    return everything.body


def hold(urls: list[str], examples: int) -> None:
    """The same examples each time; shrinking would take minutes, and few breaks are easily read."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 50), READERS)
    def check(seed: int, readers: list[list[tuple[bool, int]]]) -> None:
        asyncio.run(every_event_once(urls, seed, readers))

    check()


def test_every_event_once(urls: list[str]) -> None:
    """Several readers on two machines, each with breaks of its own."""
    hold(urls, 6)


@pytest.mark.resume
@pytest.mark.timeout(300)
def test_every_event_once_at_length(urls: list[str]) -> None:
    """The same in many more forms."""
    hold(urls, 100)


@pytest.mark.parametrize("seed", range(3))
def test_characters_of_several_bytes(urls: list[str], seed: int) -> None:
    """Connections that break one byte later each time break inside of them as well."""
    breaks = [(bool(number % 2), 250 + number) for number in range(100)]
    body = asyncio.run(every_event_once(urls, seed, [breaks]))
    assert not body.isascii()
