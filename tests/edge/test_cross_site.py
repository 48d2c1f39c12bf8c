"""Requests that a page of somebody else makes a browser send."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.edge.cross_site import check
from proxy.request_errors import CrossSite
from tests.integration.conftest import StartWorker

PAGE = "https://app.example.com"


def refused(
    headers: dict[str, str], allowed: tuple[str, ...] = (), *, spends_key: bool = True
) -> bool:
    request = make_mocked_request("POST", "/v1/x", {"Host": "sluice.test:8080"} | headers)
    try:
        check(request, allowed, host="sluice.test:8080", spends_key=spends_key)
    except CrossSite:
        return True
    return False


@pytest.mark.parametrize("spends_key", [True, False])
def test_a_browser_says_that_it_is_another_site(spends_key: bool) -> None:
    """Whatever else is configured, no such page was let in."""
    for headers in ({}, {"Origin": PAGE}, {"Origin": "null"}):
        assert refused(headers | {"Sec-Fetch-Site": "cross-site"}, spends_key=spends_key)


@pytest.mark.parametrize("allowed", [(PAGE,), ("*",)])
def test_a_page_that_was_let_in(allowed: tuple[str, ...]) -> None:
    """That is what the setting is for."""
    assert not refused({"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}, allowed)
    assert not refused({"Origin": PAGE.upper()}, allowed)


def test_the_gateways_own_pages() -> None:
    """The playground, and what an operator types into the address bar."""
    assert not refused({"Origin": "https://sluice.test:8080", "Sec-Fetch-Site": "same-origin"})
    assert not refused({"Origin": "http://sluice.test:8080"})
    assert not refused({"Sec-Fetch-Site": "none"})


def test_an_older_browser_sends_only_its_origin() -> None:
    """Enough to refuse where the operator's key would be spent, and not where it is not."""
    for origin in (PAGE, "null", "http://sluice.test:8081"):
        assert refused({"Origin": origin})
        assert refused({"Origin": origin, "Sec-Fetch-Site": "same-site"})
        assert not refused({"Origin": origin}, spends_key=False)


def test_programs_say_nothing_of_it() -> None:
    """They are not asked."""
    assert not refused({})


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.1", 200), ("192.0.2.1", 403)])
async def test_a_page_behind_a_proxy_that_renames_the_host(
    trusted: str, status: int, start_worker: StartWorker
) -> None:
    """The host that the browser asked is a trusted proxy's to tell, and nobody else's."""
    worker = await start_worker(trusted_proxies=trusted, upstream_api_key="sk-operator")
    body = {"model": "demo;tokens=1", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Origin": PAGE, "X-Forwarded-Host": "app.example.com"}
    async with (
        aiohttp.ClientSession(worker.url, headers=headers) as client,
        client.post("/v1/chat/completions", json=body) as answer,
    ):
        assert answer.status == status
