"""Certificates of upstreams: verified, whoever signed them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from aiohttp import web

from proxy.errors import SluiceError
from proxy.settings import Settings
from proxy.upstream.trust import tls_context
from proxy.upstream.upstreams import Upstreams
from tests.nginx.pem import ONE, TWO
from tests.upstream.kit import ask, whole


@pytest.mark.parametrize(
    ("added", "accepted"), [(ONE.certificate, True), (TWO.certificate, False), (None, False)]
)
async def test_an_upstream_with_a_certificate_of_a_private_ca(
    added: str | None, accepted: bool
) -> None:
    """It is asked once its CA is named, and never otherwise."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ONE.certificate, ONE.key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    given = {"upstream_url": f"https://localhost:{site.port}", "upstream_ca": added, "retries": 0}
    try:
        async with Upstreams(Settings.model_validate(given)) as upstreams:
            if accepted:
                assert await whole(await ask(upstreams)) == b"{}"
            else:
                with pytest.raises(SluiceError):
                    await ask(upstreams)
    finally:
        await runner.cleanup()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """With the setting and what is wrong with it."""
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path, words in ((empty, "no certificate"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(ValueError, match=words) as raised:
            tls_context(str(path))
        assert "SLUICE_UPSTREAM_CA" in str(raised.value)
