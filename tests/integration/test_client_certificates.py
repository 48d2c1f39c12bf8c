"""A whole appliance that asks its clients for certificates, and renews its own meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.fixtures.ports import free_port
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually
from tests.nginx.pem import ONE, TWO, Pair

STREAM = {"model": "demo;tokens=9", "stream": True, "messages": []}
LONG = STREAM | {"model": "demo;tokens=60;rate=20"}
RENEWED = Path(TWO.certificate).read_text(encoding="ascii")


@dataclass(frozen=True)
class Guarded:
    """The appliance, where TLS is, and the files of its certificate."""

    gateway: RunningGateway
    url: str
    files: Pair


@pytest.fixture(scope="module")
def guarded(
    upstream: gateways.Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    files = Pair(str(folder / "c.pem"), str(folder / "k.pem"))
    shutil.copy(ONE.certificate, files.certificate)
    shutil.copy(ONE.key, files.key)
    with (
        gateways.appliance(
            upstream,
            tls_port=port,
            tls_certificate=files.certificate,
            tls_key=files.key,
            tls_client_ca=TWO.certificate,
            hsts_seconds=300,
        ) as gateway,
    ):
        yield Guarded(gateway, f"https://localhost:{port}", files)


def client(own: Pair | None, *, trusts: Pair = ONE, http2: bool = False) -> httpx.AsyncClient:
    """A client with a certificate of its own, or without."""
    context = ssl.create_default_context(cafile=trusts.certificate)
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return httpx.AsyncClient(verify=context, http2=http2, timeout=20)


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
async def test_who_shows_a_good_one_is_served(guarded: Guarded, http2: bool) -> None:
    """A stream comes whole, and its browser is told to stay with TLS."""
    async with client(TWO, http2=http2) as session:
        answer = await session.post(guarded.url + "/v1/chat/completions", json=STREAM)
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.headers["Strict-Transport-Security"] == "max-age=300"


@pytest.mark.parametrize("own", [None, ONE], ids=["none", "of another CA"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/readyz"])
async def test_who_shows_none_or_another_is_told_so(
    guarded: Guarded, own: Pair | None, path: str
) -> None:
    """400 in the family's shape, that says what is missing; nothing reaches a worker."""
    async with client(own) as other:
        answer = await other.post(guarded.url + path, json=STREAM)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "client_certificate_required"
    assert "certificate" in error["message"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=300"
    # The worker logs in the order of what ends, so that a later request's line is the last.
    async with client(TWO) as known:
        later = await known.post(guarded.url + "/v1/chat/completions", json=STREAM)
    await guarded.gateway.outcome(later.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] not in guarded.gateway.process.ended


async def test_probes_need_none(guarded: Guarded) -> None:
    """An operator's probe asks the admin port; a machine's own the plain port."""
    async with httpx.AsyncClient() as plain:
        for url in (guarded.gateway.admin_url, guarded.gateway.url):
            for path in ("/healthz", "/readyz"):
                assert (await plain.get(url + path)).status_code == 200


async def test_refusals_are_counted(guarded: Guarded) -> None:
    """As rejected, like all else that is refused for what it is."""
    async with client(None) as session:
        assert (await session.get(guarded.url + "/v1/models")).status_code == 400

    async def is_counted() -> bool:
        async with httpx.AsyncClient() as plain:
            text = (await plain.get(guarded.gateway.admin_url + "/metrics")).text
        return any(
            'ended_by="rejected"' in line and 'status="400"' in line and "/v1/models" in line
            for line in text.splitlines()
        )

    await eventually(is_counted, "it is not counted")


async def test_a_new_certificate_cuts_no_stream(guarded: Guarded) -> None:
    """SIGHUP: the next handshake meets the new one, and a stream over the old one ends well."""
    url = guarded.url + "/v1/chat/completions"
    async with client(TWO) as before, before.stream("POST", url, json=LONG) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        await asyncio.to_thread(shutil.copy, TWO.certificate, guarded.files.certificate)
        await asyncio.to_thread(shutil.copy, TWO.key, guarded.files.key)
        os.kill(guarded.gateway.process.popen.pid, signal.SIGHUP)

        async def is_renewed() -> bool:
            port = int(guarded.url.rpartition(":")[2])
            shown = await asyncio.to_thread(ssl.get_server_certificate, ("localhost", port))
            return shown == RENEWED

        await eventually(is_renewed, "the old certificate is shown")
        assert "data: [DONE]" in [line async for line in lines]
    async with client(TWO, trusts=TWO) as after:
        assert (await after.get(guarded.url + "/v1/models")).status_code == 200
