"""The parts of one worker."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.edge.request_context import RequestContext
from proxy.edge.worker_state import WorkerState, open_worker_state
from proxy.errors import Drained
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings
from tests.edge.asking import ask, ask_in_vain, chat
from tests.integration.conftest import StartWorker, Worker, until


def upstream(name: str, **more: object) -> UpstreamSettings:
    return UpstreamSettings.model_validate({"name": name, "url": "http://127.0.0.1:9", **more})


async def test_an_upstream_with_clocks_of_its_own() -> None:
    """Its answers are watched by them, all others by the common ones."""
    settings = Settings(upstreams=(upstream("a", idle_timeout_seconds=3), upstream("b")))
    async with open_worker_state(settings) as state:
        assert state.timeouts_for("a").idle == 3
        assert state.timeouts_for("b").idle == settings.idle_timeout_seconds


async def test_behind_nginx_its_word_on_the_connection_is_taken() -> None:
    """Alone the connection itself is looked at, whatever the request says."""
    headers = {"Host": "h.example", "X-Sluice-Peer": "192.0.2.7", "X-Sluice-Scheme": "https"}
    transport = mock.Mock()
    transport.get_extra_info.side_effect = {"peername": ("127.0.0.9", 1)}.get
    settings = Settings(upstreams=(upstream("a"),))
    for behind, address, scheme in ((True, "192.0.2.7", "https"), (False, "127.0.0.9", "http")):
        async with open_worker_state(settings, behind_nginx=behind) as state:
            request = make_mocked_request("GET", "/", headers=headers, transport=transport)
            assert state.client_of(request)[:4] == (address, address, scheme, "h.example")


async def test_all_running_streams_are_cut(worker: Worker) -> None:
    """Each says so to its client, and their number is known."""
    state: WorkerState = worker.state
    asking = [
        asyncio.create_task(ask_in_vain(worker.url, chat("demo;tokens=500;rate=20")))
        for _ in range(3)
    ]
    await until(lambda: len(state.watchdogs) == 3, "not all run")
    assert state.cut_all(Drained("The gateway is stopping.")) == 3
    for _, _, body in await asyncio.gather(*asking):
        assert b'"code": "gateway_stopped"' in body


async def test_what_still_waits_is_told_as_well(start_worker: StartWorker) -> None:
    """Who waits for an upstream or for a slot when the gateway stops gets a 503 that says so."""
    worker = await start_worker(max_streams=1)
    state = worker.state
    silent = asyncio.create_task(ask(worker.url, chat("demo;hang-before")))
    await until(lambda: len(state.pending_timeouts) == 1, "no upstream is called")
    waiting = asyncio.create_task(ask(worker.url, chat()))
    await until(lambda: state.admission.waiting == 1, "nobody waits")
    assert state.cut_all(Drained("The gateway is stopping.")) == 2
    for status, _, body in await asyncio.gather(silent, waiting):
        assert status == 503
        assert b"gateway_stopped" in body


@pytest.mark.parametrize(
    ("behind", "peer", "queue_key"),
    [
        (True, "192.0.2.1", "192.0.2.1"),
        (True, "2001:db8:1:2:3::4", "2001:0db8:0001:0002"),
        (True, "::ffff:192.0.2.1", "192.0.2.1"),
        (True, "unix:", "unix:"),
        (False, "192.0.2.1", "127.0.0.9"),
    ],
)
async def test_whose_turn_it_is_where_there_are_no_keys(
    behind: bool, peer: str, queue_key: str
) -> None:
    """The client's address by nginx's word, or of the connection; all of a /64 is one client."""
    headers = {"X-Sluice-Peer": peer, "X-Forwarded-For": "203.0.113.1"}
    transport = mock.Mock()
    transport.get_extra_info.side_effect = {"peername": ("127.0.0.9", 1)}.get
    async with open_worker_state(
        Settings(upstreams=(upstream("a"),)), behind_nginx=behind
    ) as state:
        request = make_mocked_request("GET", "/v1/models", headers=headers, transport=transport)
        context = RequestContext.of(request)
        state.identify(context)
        assert state.queue_key(context) == queue_key
        context.record.client_key = "team-a"
        assert state.queue_key(context) == "team-a"


async def test_the_workers_share_the_cap() -> None:
    """Their slots and their places in line add up to the settings."""
    settings = Settings(upstream_url="http://127.0.0.1:9", max_streams=10, queue_size=5)
    slots = 0
    for index in range(3):
        async with open_worker_state(settings, index=index, workers=3) as state:
            slots += state.admission.slots
    assert slots == 10


async def test_nothing_is_left_running() -> None:
    """After the last part is down no task of theirs is left."""
    before = asyncio.all_tasks()
    async with open_worker_state(Settings(upstream_url="http://127.0.0.1:9")):
        assert len(asyncio.all_tasks()) > len(before)
    assert asyncio.all_tasks() == before
