"""A real Chromium in front of a real appliance with its demo upstream."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Request,
    sync_playwright,
)

from tests.fixtures.ports import free_port

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STARTS_WITHIN_SECONDS = 40.0
_TOLD_BYTES = 4096


@dataclass(frozen=True)
class Appliance:
    """A running `sluice run`."""

    url: str
    admin: str
    pid: int


def start(**settings: str) -> tuple[subprocess.Popen[bytes], Appliance]:
    """Start an appliance and wait until it is ready."""
    port, admin = free_port(), free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    environment = own | {
        "SLUICE_LISTEN_ADDRESS": "127.0.0.1",
        "SLUICE_LISTEN_PORT": str(port),
        "SLUICE_ADMIN_ADDRESS": "127.0.0.1",
        "SLUICE_ADMIN_PORT": str(admin),
        "SLUICE_WORKERS": "1",
        "SLUICE_DRAIN_SECONDS": "1",
        # On a busy machine the store may be late, and a stream would be none that survives.
        "SLUICE_STORE_TIMEOUT_SECONDS": "5",
        **settings,
    }
    # Not a pipe: nobody reads it, but after a failure.
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "proxy", "run"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            running = Appliance(
                f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", process.pid
            )
            _wait_until_ready(process, running)
        except AssertionError:
            stop(process)
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-_TOLD_BYTES:])
            raise
    return process, running


def _wait_until_ready(process: subprocess.Popen[bytes], running: Appliance) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while not _ready(running.admin):
        assert process.poll() is None, "the appliance ended"
        assert time.monotonic() < deadline, "the appliance is not ready"
        time.sleep(0.1)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop it with SIGTERM, or with SIGKILL if that takes too long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


@pytest.fixture(scope="session")
def appliance() -> Iterator[Appliance]:
    process, running = start()
    yield running
    stop(process)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
    yield chromium
    chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, appliance: Appliance) -> Iterator[Page]:
    """An empty page; fails on a script's error and on a request to another host."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _note_foreign(request, errors))
    yield page
    assert not errors


@pytest.fixture
def playground(page: Page, appliance: Appliance) -> Page:
    """The playground, with its models loaded."""
    page.goto(f"{appliance.url}/playground/")
    page.wait_for_function("() => document.getElementById('model').value")
    return page


def ask(page: Page, question: str, *, model: str = "demo-fast") -> None:
    """Ask a question as a person does: model, question, Enter."""
    page.fill("#model", model)
    page.fill("#question", question)
    page.press("#question", "Enter")


def answer_with(page: Page, *events: object, path: str = "**/v1/chat/completions") -> None:
    """Answer the page's next question with these events instead of the demo's."""
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    body = "".join(f"data: {line}\n\n" for line in lines)
    page.route(
        path, lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body)
    )


def chat_text(text: str) -> list[object]:
    """A chat stream with this text."""
    return [
        {"choices": [{"index": 0, "delta": {"content": text}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        "[DONE]",
    ]


def _note_foreign(request: Request, errors: list[str]) -> None:
    if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
        errors.append(f"a request left for {request.url}")


def _ready(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{admin}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
