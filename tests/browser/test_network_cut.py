"""The network of a real browser is cut, and comes back: exactly the upstream's text, once."""

from __future__ import annotations

import shlex
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Playwright

from tests.browser.conftest import CHROMIUM, FLAGS, Appliance, start, stop
from tests.browser.test_resume import READS_MS, WAYS, WORDS, read, text_of, upstreams_text
from tests.integration.resume import links

WHY_NOT = links.why_not()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.no_blockbuster,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]
CUT_SECONDS = 1.5


@pytest.fixture(scope="module")
def client() -> Iterator[links.Client]:
    with links.client(links=1) as client:
        yield client


@pytest.fixture(scope="module")
def beyond_the_link(client: links.Client) -> Iterator[Appliance]:
    """An appliance that the client reaches over its link only."""
    address = client.links[0].address
    process, running = start(SLUICE_LISTEN_ADDRESS=address, SLUICE_PLAYGROUND="on")
    yield replace(running, url=f"http://{address}:{urlsplit(running.url).port}")
    stop(process)


@contextmanager
def chromium_of(
    client: links.Client, playwright: Playwright, url: str, folder: Path
) -> Iterator[Browser]:
    """A browser whose network is the client's."""
    program = folder / "chromium"
    within = ["ip", "netns", "exec", client.namespace, CHROMIUM]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(within)} "$@"\n')
    program.chmod(0o755)
    # For `crypto.randomUUID`, which pages from an address without TLS do not get.
    flags = [*FLAGS, f"--unsafely-treat-insecure-origin-as-secure={url}"]
    chromium = playwright.chromium.launch(executable_path=program, args=flags)
    yield chromium
    chromium.close()


def resumed_reads(appliance: Appliance) -> float:
    """How often a reader came for a stream that had begun."""
    with urllib.request.urlopen(f"{appliance.admin}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line for line in lines if line.startswith("sluice_resumed_reads_total"))
    return sum(float(line.rpartition(" ")[2]) for line in samples)


@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_cut_twice(
    playwright: Playwright,
    client: links.Client,
    beyond_the_link: Appliance,
    tmp_path: Path,
    way: str,
) -> None:
    """As on a phone in a tunnel: the system ends the connections, and for a while makes no more."""
    url, before = beyond_the_link.url, resumed_reads(beyond_the_link)
    with chromium_of(client, playwright, url, tmp_path) as browser:
        page = browser.new_page()
        read(page, way, url, f"{WORDS};rate=8")
        for length in (20, 90):
            page.wait_for_function(f"() => window.text.length > {length}", timeout=READS_MS)
            client.links[0].cut()
            client.end_connections()
            time.sleep(CUT_SECONDS)
            client.links[0].mend()
        assert text_of(page) == upstreams_text(beyond_the_link)
    # An EventSource reads the stream from its beginning on; a fetch begins with its POST.
    reads = 3 if way == "eventsource" else 2
    assert resumed_reads(beyond_the_link) >= before + reads
