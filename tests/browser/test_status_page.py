"""The status page by what an operator sees in a real browser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Appliance, ask, start, stop

pytestmark = [pytest.mark.browser, pytest.mark.no_blockbuster]


@pytest.fixture(scope="module")
def with_a_dead_upstream() -> Iterator[Appliance]:
    dead = {"name": "dead", "url": "http://127.0.0.1:9/v1"}
    process, running = start(
        SLUICE_UPSTREAMS=json.dumps([dead]), SLUICE_RETRIES="0", SLUICE_EJECT_AFTER_FAILURES="1"
    )
    yield running
    stop(process)


def test_what_runs(context: BrowserContext, appliance: Appliance) -> None:
    """Streams against slots, the three times, outcomes, processes: live, without a reload."""
    status, asking = context.new_page(), context.new_page()
    status.goto(f"{appliance.admin}/")
    expect(status.locator("#state")).to_contain_text("ready")
    asking.goto(f"{appliance.url}/playground/")
    asking.wait_for_function("() => document.getElementById('model').value")
    ask(asking, "Hello", model="demo;rate=20;tokens=150")
    expect(status.locator("#levels")).to_contain_text("1 of 1000 slots", timeout=15_000)
    expect(asking.locator(".ended")).to_contain_text("Finished", timeout=20_000)
    expect(status.locator("#ended")).to_contain_text("complete", timeout=15_000)
    expect(status.locator("#latencies")).to_contain_text("p95")
    expect(status.locator("#processes")).to_contain_text("nginx")


def test_an_upstream_that_is_out_and_why(page: Page, with_a_dead_upstream: Appliance) -> None:
    """Within five seconds of its failure, in words beside the colour."""
    page.goto(f"{with_a_dead_upstream.admin}/")
    expect(page.locator("#state")).to_contain_text("ready")
    body = json.dumps({"model": "m", "messages": []}).encode()
    request = urllib.request.Request(
        f"{with_a_dead_upstream.url}/v1/chat/completions",
        body,
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10)
    row = page.locator("#upstreams tr", has_text="dead")
    expect(row).to_contain_text("upstream_unreachable", timeout=5_000)
    expect(row).to_contain_text("■")
    expect(page.locator("#warnings")).to_contain_text("upstream_unreachable")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_serious_for_accessibility(
    browser: Browser, appliance: Appliance, scheme: str, width: int
) -> None:
    """axe-core finds nothing serious, wide and narrow, light and dark."""
    context = browser.new_context(
        viewport={"width": width, "height": 850},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,
    )
    page = context.new_page()
    page.goto(f"{appliance.admin}/")
    expect(page.locator("#state")).to_contain_text("ready")
    violations = Axe().run(page).response["violations"]
    assert not [
        violation["id"]
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
    ]
    context.close()


def test_without_an_answer_it_says_so(page: Page) -> None:
    """Old figures never pass for new ones."""
    process, running = start()
    page.goto(f"{running.admin}/")
    expect(page.locator("#fresh")).to_contain_text("as of")
    stop(process)
    expect(page.locator("#fresh")).to_contain_text("no news", timeout=15_000)


@pytest.fixture(scope="module")
def with_a_limited_key() -> Iterator[Appliance]:
    key = {"name": "shop", "key": "sk-shop-1", "requests_per_minute": 10}
    process, running = start(SLUICE_KEYS=json.dumps([key]))
    yield running
    stop(process)


def test_what_a_key_has_left(page: Page, with_a_limited_key: Appliance) -> None:
    """Its name, its limit, what it used and what is left; never the key."""
    body = json.dumps({"model": "demo;tokens=3;rate=0;ttft=0", "messages": []}).encode()
    fields = {"Content-Type": "application/json", "Authorization": "Bearer sk-shop-1"}
    url = f"{with_a_limited_key.url}/v1/chat/completions"
    urllib.request.urlopen(urllib.request.Request(url, body, fields), timeout=10).read()
    page.goto(f"{with_a_limited_key.admin}/")
    row = page.locator("#keys tr", has_text="shop")
    expect(row).to_contain_text("requests_per_minute: 10", timeout=10_000)
    expect(row).to_contain_text("9", timeout=10_000)
    assert "sk-shop-1" not in page.content()
