"""The pages of examples/browser/ over the backends of examples/, by what a person sees."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Appliance
from tests.browser.cutting_proxy import CuttingProxy
from tests.examples.conftest import node_folder
from tests.fixtures.ports import free_port

__all__ = ["node_folder"]

pytestmark = [pytest.mark.browser, pytest.mark.no_blockbuster]

EXAMPLES = Path(__file__).parents[2] / "examples"
STARTS_WITHIN_SECONDS = 30.0
SAME = "seed=7;tokens=40;ttft=0"
PAGES = ["eventsource", "task", "prompt", "vue"]
EVENT_SOURCES = ["eventsource", "task"]
FETCHES = ["prompt", "vue"]


AIOHTTP = (sys.executable, str(EXAMPLES / "backend" / "aiohttp_backend.py"))


@contextmanager
def backend(sluice: str, model: str, program: tuple[str, str] = AIOHTTP) -> Iterator[str]:
    """A backend of the examples as its file stands."""
    port = free_port()
    command = [*program, str(port)]
    process = subprocess.Popen(
        command, env={**os.environ, "SLUICE_URL": sluice, "SLUICE_MODEL": model}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while not _answers(f"{url}/prompt.html"):
            assert process.poll() is None, "the backend ended"
            assert time.monotonic() < deadline, "the backend is not ready"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(15)


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def ask(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/{name}.html")
    page.click("text=Ask")


def answer_of(page: Page) -> str:
    return page.locator("#answer").text_content() or ""


def undisturbed(page: Page, appliance: Appliance) -> str:
    """What the page of a plain fetch shows of the same answer."""
    with backend(appliance.url, f"demo;{SAME};rate=0") as url:
        ask(page, url, "prompt")
        expect(page.locator("#state")).to_have_text("Finished", timeout=15_000)
        return answer_of(page)


def test_a_whole_answer(page: Page, appliance: Appliance) -> None:
    """Every page shows all of it, and says that it is whole."""
    text = undisturbed(page, appliance)
    assert len(text) > 100
    with backend(appliance.url, f"demo;{SAME};rate=0") as url:
        for name in PAGES:
            ask(page, url, name)
            expect(page.locator("#state")).to_have_text("Finished", timeout=15_000)
            assert answer_of(page) == text, name


def test_a_cut(page: Page, appliance: Appliance) -> None:
    """Every page keeps what came, and says that it is not whole."""
    with backend(appliance.url, f"demo;{SAME};rate=20;cut=12") as url:
        for name in PAGES:
            ask(page, url, name)
            expect(page.locator("#state")).to_contain_text("Not whole", timeout=15_000)
            assert answer_of(page), name


@pytest.mark.parametrize("name", EVENT_SOURCES)
def test_a_lost_connection_goes_on(page: Page, appliance: Appliance, name: str) -> None:
    """The connection to the page breaks in the middle: all of the text, once."""
    text = undisturbed(page, appliance)
    with (
        backend(appliance.url, f"demo;{SAME};rate=15") as url,
        CuttingProxy.before(url) as proxy,
    ):
        ask(page, proxy.url, name)
        page.wait_for_function("() => document.getElementById('answer').textContent.length > 20")
        proxy.cut()
        expect(page.locator("#state")).to_have_text("Finished", timeout=30_000)
        assert answer_of(page) == text
        assert proxy.cuts >= 1


@pytest.mark.parametrize("name", FETCHES)
def test_a_lost_connection_is_seen(page: Page, appliance: Appliance, name: str) -> None:
    """A plain fetch cannot go on; it says so and shows no half answer as whole."""
    with (
        backend(appliance.url, f"demo;{SAME};rate=10") as url,
        CuttingProxy.before(url) as proxy,
    ):
        ask(page, proxy.url, name)
        page.wait_for_function("() => document.getElementById('answer').textContent.length > 20")
        proxy.cut()
        expect(page.locator("#state")).to_contain_text("Not whole", timeout=15_000)


@pytest.mark.parametrize("name", ["task", "prompt", "vue"])
def test_stop(page: Page, appliance: Appliance, name: str) -> None:
    """A person who stops it sees that, and nothing more comes."""
    with backend(appliance.url, "demo;rate=10;tokens=3000;ttft=0") as url:
        ask(page, url, name)
        page.wait_for_function("() => document.getElementById('answer').textContent.length > 20")
        page.click("#stop")
        expect(page.locator("#state")).to_have_text("Stopped by you", timeout=15_000)


def test_the_ring(page: Page, appliance: Appliance) -> None:
    """It moves while the answer comes, and is at a hundred when it has ended."""
    with backend(appliance.url, f"demo;{SAME};rate=20") as url:
        ask(page, url, "task")
        expect(page.locator("#ring")).not_to_be_empty(timeout=15_000)
        expect(page.locator("#state")).to_have_text("Finished", timeout=30_000)
        expect(page.locator("#ring")).to_have_text("100 %")


@pytest.mark.timeout(300)
def test_express(page: Page, appliance: Appliance, node_folder: Path) -> None:
    """The backend on node serves the same pages: a whole answer, a cut, a lost connection."""
    express = ("node", str(node_folder / "express-backend.js"))
    text = undisturbed(page, appliance)
    with (
        backend(appliance.url, f"demo;{SAME};rate=20", express) as url,
        CuttingProxy.before(url) as proxy,
    ):
        for name in PAGES:
            ask(page, url, name)
            expect(page.locator("#state")).to_have_text("Finished", timeout=30_000)
            assert answer_of(page) == text, name
        ask(page, proxy.url, "task")
        page.wait_for_function("() => document.getElementById('answer').textContent.length > 20")
        proxy.cut()
        expect(page.locator("#state")).to_have_text("Finished", timeout=30_000)
        assert answer_of(page) == text
    with backend(appliance.url, f"demo;{SAME};rate=20;cut=12", express) as url:
        for name in PAGES:
            ask(page, url, name)
            expect(page.locator("#state")).to_contain_text("Not whole", timeout=15_000)


def test_text_stays_text(page: Page, appliance: Appliance) -> None:
    """Nothing in an answer becomes markup."""
    body = 'data: {"choices":[{"delta":{"content":"<b>x</b>"},"finish_reason":"stop"}]}\n\n'
    page.route(
        "**/api/chat", lambda route: route.fulfill(content_type="text/event-stream", body=body)
    )
    with backend(appliance.url, "demo") as url:
        for name in FETCHES:
            ask(page, url, name)
            expect(page.locator("#state")).to_have_text("Finished")
            assert answer_of(page) == "<b>x</b>"
            assert page.locator("#answer b").count() == 0
