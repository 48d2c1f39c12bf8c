"""Certificates of upstreams: verified, whoever signed them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.errors import ConnectFailed
from proxy.settings import Settings
from proxy.upstream.tls_trust import TrustStores
from proxy.upstream.upstreams import Upstreams
from tests.nginx.pem import ONE, TWO, Pair, ending
from tests.upstream.kit import ask, call, new_record, whole


@asynccontextmanager
async def serving(pair: Pair, host: str = "localhost") -> AsyncIterator[int]:
    """The port of an upstream that shows this certificate."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    site = web.TCPSite(runner, host.replace("localhost", "127.0.0.1"), 0, ssl_context=context)
    await site.start()
    try:
        yield site.port
    finally:
        await runner.cleanup()


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


@pytest.mark.parametrize(
    ("common", "own", "accepted"),
    [
        (ONE, None, True),
        (TWO, None, False),
        (None, None, False),
        (None, ONE, True),
        (TWO, ONE, True),
        (ONE, TWO, False),
    ],
)
async def test_an_upstream_with_a_certificate_of_a_private_ca(
    common: Pair | None, own: Pair | None, accepted: bool
) -> None:
    """It is asked once its CA is named, by itself or else for all, and never otherwise."""
    async with serving(ONE) as port:
        upstream = {"name": "a", "url": f"https://localhost:{port}"}
        upstream |= {"ca": own.certificate} if own else {}
        given = settings(upstreams=[upstream], upstream_ca=common and common.certificate, retries=0)
        async with Upstreams(given) as upstreams:
            if accepted:
                assert await whole(await ask(upstreams)) == b"{}"
            else:
                with pytest.raises(ConnectFailed, match="by TLS: self.signed certificate"):
                    await ask(upstreams)


async def test_one_ca_of_two_upstreams_opens_the_other_to_nobody() -> None:
    """Each is verified by its own file, also over one pool of connections."""
    async with serving(ONE) as one, serving(TWO) as two:
        upstreams = [
            {
                "name": "a",
                "url": f"https://localhost:{one}",
                "models": ["a"],
                "ca": ONE.certificate,
            },
            {
                "name": "b",
                "url": f"https://localhost:{two}",
                "models": ["b"],
                "ca": ONE.certificate,
            },
        ]
        async with Upstreams(settings(upstreams=upstreams, retries=0)) as asked:
            assert await whole(await ask(asked, call("a"))) == b"{}"
            with pytest.raises(ConnectFailed):
                await ask(asked, call("b"))


@pytest.mark.parametrize(
    ("host", "date", "reason"),
    [
        ("localhost", b"20010101000000Z", "certificate has expired"),
        ("127.0.0.2", b"21010101000000Z", "ip address mismatch"),
    ],
)
async def test_what_is_wrong_with_it_is_said_and_nothing_else(
    tmp_path: Path, host: str, date: bytes, reason: str
) -> None:
    """Its reason without the address; tried as often as any refused connection, and no more."""
    pair = Pair(ending(ONE, tmp_path, date), ONE.key)
    async with serving(pair, host) as port:
        url = f"https://{host}:{port}"
        given = settings(upstream_url=url, upstream_ca=pair.certificate, retries=2)
        record = new_record()
        async with Upstreams(given) as upstreams:
            with pytest.raises(ConnectFailed) as raised:
                await ask(upstreams, record=record)
    assert raised.value.happened == f"Upstream default cannot be reached by TLS: {reason}."
    assert raised.value.fault.status == 502
    assert [attempt.error for attempt in record.tries] == ["upstream_unreachable"] * 3


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """With the setting and what is wrong with it."""
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path, message in ((empty, "no PEM certificate"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(ValueError, match=message) as raised:
            TrustStores().context("SLUICE_UPSTREAM_CA", str(path))
        assert "SLUICE_UPSTREAM_CA" in str(raised.value)


def test_a_file_that_has_not_changed_keeps_the_connections(tmp_path: Path) -> None:
    """Connections are kept by their context: the same one, until another CA stands in the file."""
    stores, path = TrustStores(), tmp_path / "ca.pem"
    path.write_bytes(Path(ONE.certificate).read_bytes())
    first = stores.context("ca", str(path))
    assert stores.context("ca", str(path)) is first
    path.write_bytes(Path(TWO.certificate).read_bytes())
    assert stores.context("ca", str(path)) is not first
    assert stores.context("ca", None) is None
