"""The client's network is cut, not its connection: no packet tells anybody, on either side."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from proxy.relay.event_cutter import EventCutter
from tests.fixtures.stores import store_server
from tests.integration.faults import gateways
from tests.integration.resume import links
from tests.integration.resume.asking import CHAT, RESUMABLE, ask, chat, ended
from tests.integration.resume.machines import machine

if TYPE_CHECKING:
    from tests.integration.faults.gateways import RunningGateway

WHY_NOT = links.why_not()
pytestmark = [
    pytest.mark.resume,
    pytest.mark.no_blockbuster,
    pytest.mark.timeout(120, method="thread"),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]
HEADERS = json.dumps({**RESUMABLE, "Content-Type": "application/json"})


def on_link(of: RunningGateway, link: links.Link) -> str:
    """Where the client finds an appliance."""
    return f"http://{link.address}:{urlsplit(of.url).port}"


def read_until(reading: subprocess.Popen[bytes], events: int) -> tuple[str, bytes]:
    """The stream's id, and what has come by its so many first events."""
    assert reading.stdout is not None
    head = json.loads(reading.stdout.readline())
    body = b""
    while len(EventCutter().feed(body)) < events:
        part = reading.stdout.read1(65536)  # type: ignore[attr-defined]
        assert part, "it ended before that"
        body += part
    return head["Sluice-Stream-Id"], body


async def test_a_client_goes_on_over_another_link_and_another_machine() -> None:
    """Its first link is dead: it notices only that nothing comes. The rest is on the other one."""
    with (
        gateways.upstream() as upstream,
        store_server() as store,
        links.client(links=2) as client,
        machine(upstream, store.url, listen_address=client.links[0].address) as a,
        machine(upstream, store.url, listen_address=client.links[1].address) as b,
    ):
        model = "demo;seed=5;tokens=120;rate=20;run=cut"
        url = on_link(a, client.links[0]) + CHAT
        reading = client.reading(url, json.dumps(chat(model)), HEADERS)
        stream, seen = await asyncio.to_thread(read_until, reading, 10)
        client.links[0].cut()
        more, error = await asyncio.to_thread(reading.communicate, timeout=60)
        assert reading.returncode, "it did not notice"
        assert b"timed out" in error
        events = EventCutter().feed(seen + more)
        other = on_link(b, client.links[1])
        after = f"{other}/v1/streams/{stream}?after={len(events)}"
        rest, error = await asyncio.to_thread(client.reading(after).communicate, timeout=60)
        assert not error
        everything = b"".join(events) + rest.partition(b"\n")[2]
        assert everything.endswith(b"data: [DONE]\n\n")
        # As this host sees it, which is on no link that was cut.
        assert (await ask(f"{other}/v1/streams/{stream}")).body == everything
        assert (await ended(other, stream))["ended_by"] == "complete"
        # It asked once, and the upstream's answer was never cut.
        assert [call["ended_by"] for call in await upstream.over("cut")] == ["finished"]
