"""Active probes find out how an upstream is, so that no client has to."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.settings import Settings
from proxy.upstream.health import EjectionPolicy, Health, HealthState
from proxy.upstream.health_checks import HealthChecks
from proxy.upstream.pool import Member, Pool
from proxy.upstream.targets import targets_of
from proxy.upstream.transport import Transport
from tests.upstream.kit import BUSY
from tests.upstream.peer import DEADLINE, Connection, Peer, plain, says, serves


def probing(
    peer: Peer, transport: Transport, interval: float = 60.0
) -> tuple[HealthChecks, Member]:
    """Probe a peer at /health; two failures take it out for 0.2 s."""
    upstream = {"name": "a", "url": f"{peer.url}/v1", "probe_path": "/health", "api_key": "own"}
    targets = targets_of(Settings.model_validate({"upstreams": [upstream]}))
    pool = Pool(targets, EjectionPolicy(2, 1.0, 0.2), clock=time.monotonic, random=lambda: 0.0)
    return HealthChecks(pool, transport, interval), pool.member("a")


async def until(member: Member, state: HealthState) -> None:
    """Wait until the upstream is in a state."""
    async with asyncio.timeout(DEADLINE):
        while member.health.state is not state:
            await asyncio.sleep(0.01)


async def test_a_probe_asks_the_path_with_the_upstreams_key(transport: Transport) -> None:
    """A GET like any other call."""
    async with Peer(serves(plain())) as peer:
        probes, member = probing(peer, transport)
        await probes.probe(member)
        assert peer.heads[0].startswith(b"GET /health HTTP/1.1\r\n")
        assert b"Authorization: Bearer own\r\n" in peer.heads[0]
        assert member.health.state is HealthState.UP


@pytest.mark.parametrize("script", [serves(BUSY), serves(plain(b"", "400 No")), says(then="reset")])
async def test_probes_that_fail_take_an_upstream_out(transport: Transport, script: object) -> None:
    """Without any client having met the failure; while it is out it is left alone."""
    async with Peer(script) as peer:  # type: ignore[arg-type]
        probes, member = probing(peer, transport)
        for _ in range(5):
            await probes.probe(member)
        assert member.health.state is HealthState.EJECTED
        assert len(peer.heads) == 2


async def test_probes_go_on_by_themselves_and_bring_it_back(transport: Transport) -> None:
    """Out while it fails, back once it answers again."""
    well = False

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(plain() if well else BUSY)

    async with Peer(script) as peer:
        probes, member = probing(peer, transport, interval=0.02)
        probes.start()
        await until(member, HealthState.EJECTED)
        well = True
        await until(member, HealthState.UP)
        await probes.stop()


async def test_a_probe_that_hangs_ends_with_the_probes(transport: Transport) -> None:
    """Stopping waits for nothing and leaves no connection."""
    async with Peer(says()) as peer:
        probes, _ = probing(peer, transport, interval=0.01)
        probes.start()
        async with asyncio.timeout(DEADLINE):
            while not peer.heads:
                await asyncio.sleep(0.01)
        await probes.stop()
        assert all(task.done() for task in probes._tasks)
        await peer.all_closed()


async def test_a_probe_that_gets_no_answer_in_time_has_failed(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that hangs serves nobody."""
    monkeypatch.setattr("proxy.upstream.health_checks._LONGEST_PROBE_SECONDS", 0.01)
    async with Peer(says()) as peer:
        probes, member = probing(peer, transport)
        await probes.probe(member)
        assert member.health.failures_in_a_row == 1


async def test_a_probes_answer_is_read_to_its_end(transport: Transport) -> None:
    """A page that breaks off is no good one; one that ends leaves its connection for the next."""
    async with Peer(
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell", then="close")
    ) as peer:
        probes, member = probing(peer, transport)
        await probes.probe(member)
        assert member.health.failures_in_a_row == 1
    async with Peer(serves(plain(b"x" * 300_000), plain())) as peer:
        probes, member = probing(peer, transport)
        for _ in range(2):
            await probes.probe(member)
        assert (member.health.failures_in_a_row, peer.accepted) == (0, 1)


async def test_a_probe_that_is_called_off_decides_nothing(transport: Transport) -> None:
    """Its upstream may be asked by whoever comes next."""
    async with Peer(says()) as peer:
        probes, member = probing(peer, transport)
        member.health = Health(HealthState.EJECTED, ejections=1)
        asking = asyncio.create_task(probes.probe(member))
        async with asyncio.timeout(DEADLINE):
            while not peer.heads:
                await asyncio.sleep(0.01)
        assert member.health.open_at() == float("inf")
        asking.cancel()
        await asyncio.wait([asking])
        assert member.health.open_at() <= time.monotonic()


async def test_only_upstreams_with_a_probe_path_are_probed(transport: Transport) -> None:
    """No request is made to an API that was not told to expect it."""
    targets = targets_of(Settings.model_validate({"upstreams": [{"name": "a", "url": "http://a"}]}))
    pool = Pool(targets, EjectionPolicy(2, 1.0, 0.2), clock=time.monotonic, random=lambda: 0.0)
    probes = HealthChecks(pool, transport, 0.0)
    before = asyncio.all_tasks()
    probes.start()
    assert asyncio.all_tasks() == before
    await probes.stop()
