"""Who asks and leaves is counted, and costs no more than that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from proxy.edge.app import create_runner
from proxy.edge.early_disconnect import HEAD_BYTES, has_left, path_in, request_of
from proxy.edge.listener import PacedListener
from proxy.edge.protocol_errors import LONGEST_TARGET_BYTES
from proxy.edge.worker_state import open_worker_state
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

ASK = b"POST %s/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
ELSEWHERE = "/openai/v1"


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client and the connection that a server has accepted from it."""
    if request.param == "unix":
        client, server = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            server = listening.accept()[0]
    with client, server:
        yield client, server


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (b"GET /v1/x?key=secret HTTP/1.1\r\n", "/v1/x"),
        (b"\r\nPOST /v1/messages HTTP/9.9\r\n", "/v1/messages"),
        (b"POST /v1/caf\xe9", "/v1/caf\xe9"),
        (b"GET http://a/v1/x HTTP/1.1\r\n", ""),
        (b"Referer: /v1/messages\r\n", ""),
        (b"/v1/messages HTTP/1.1\r\n", ""),
        (b"\x16\x03\x01", ""),
        (b"", ""),
    ],
)
def test_the_path_of_what_is_no_request(head: bytes, path: str) -> None:
    """It is found where a method stands before it, without its query."""
    assert path_in(head) == path


def test_whether_a_client_has_left(pair: tuple[socket.socket, socket.socket]) -> None:
    """One that waits has not, whether or not it has asked; one that has closed has."""
    client, accepted = pair
    assert not has_left(accepted)
    client.sendall(ASK % b"/v1")
    assert not has_left(accepted)
    client.close()
    assert has_left(accepted)


def left_in(registry: CollectorRegistry) -> float:
    """How many clients are counted as having left before their answer."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "sluice_requests_total"
        and sample.labels["ended_by"] == "client_left"
        and sample.labels["status"] == "499"
    )


async def become(registry: CollectorRegistry, expected: float) -> None:
    """Wait until so many are counted."""
    async with asyncio.timeout(10):
        while left_in(registry) < expected:
            await asyncio.sleep(0.01)


async def test_what_a_connection_still_held_is_counted() -> None:
    """A client sends three requests in one go and leaves while the first is being served."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        upstreams = (UpstreamSettings.model_validate({"name": "a", "url": url}),)
        async with open_worker_state(Settings(upstreams=upstreams)) as state:
            runner = create_runner(state)
            await runner.setup()
            listening = socket.create_server(("127.0.0.1", 0))
            await PacedListener(runner, listening, backlog=9).start()
            with socket.create_connection(listening.getsockname()) as client:
                client.sendall(ASK % b"/v1" * 3 + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                async with asyncio.timeout(10):
                    while state.admission.taken < 1:
                        await asyncio.sleep(0.01)
            await become(state.telemetry.registry, 3)
            await asyncio.sleep(0.05)
            assert left_in(state.telemetry.registry) == 3
            await runner.cleanup()


def test_a_request_keeps_the_id_that_nginx_gave_it() -> None:
    """By which the supervisor knows that it has been counted."""
    head = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nX-Request-ID: r-1\r\n\r\n"
    record = request_of(head, ())
    assert record is not None
    assert record.request_id == "r-1"
    assert record.own_id == ""
    own = b"0123456789abcdef" * 2
    parsed = request_of(head[:-2] + b"X-Sluice-Request-ID: %s\r\n\r\n" % own, ())
    assert parsed is not None
    assert (parsed.request_id, parsed.own_id) == ("r-1", own.decode())
    other = request_of(head.replace(b"r-1", b"r 1"), ())
    assert other is not None
    assert len(other.request_id) == 32


def test_the_id_behind_the_longest_target(pair: tuple[socket.socket, socket.socket]) -> None:
    """All of the head that may stand before it is looked at."""
    client, accepted = pair
    target = b"/v1/models?" + b"a" * (LONGEST_TARGET_BYTES - 11)
    client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: r-1\r\n\r\n" % target)
    record = request_of(accepted.recv(HEAD_BYTES), ())
    assert record is not None
    assert record.request_id == "r-1"


async def test_they_are_counted_and_never_begun_with() -> None:
    """Ninety that left are ninety in the metrics, and the upstream hears of none.

    Those under a prefix of `SLUICE_PATHS` as well; not those under one that is not relayed.
    """
    upstreams = (UpstreamSettings.model_validate({"name": "a", "url": "http://127.0.0.1:9"}),)
    async with open_worker_state(Settings(upstreams=upstreams, paths=(ELSEWHERE,))) as state:
        runner = create_runner(state)
        await runner.setup()
        listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        prefixes = (b"/v1", ELSEWHERE.encode(), b"/v1beta", b"/openai", b"/admin")
        for number in range(150):
            with socket.create_connection(listening.getsockname()) as client:
                client.sendall(ASK % prefixes[number % 5] if number else b"POST /v1")
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(ASK % b"/v1")
        socket.create_connection(listening.getsockname()).close()
        site = PacedListener(runner, listening, backlog=200)
        await site.start()
        registry = state.telemetry.registry

        await become(registry, 90)
        await asyncio.sleep(0.05)
        assert runner.server is not None
        assert runner.server.requests_count == 0
        assert left_in(registry) == 90
        await runner.cleanup()
