"""Streams whose connection breaks in a real browser: exactly the upstream's text, once."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.appliance.running import children_of
from tests.browser.conftest import Appliance, ask, start, stop
from tests.browser.cutting_proxy import CuttingProxy

pytestmark = [pytest.mark.browser, pytest.mark.no_blockbuster]

WORDS = "demo;seed=7;tokens=40;ttft=0"
READS_MS = 40_000
BY_EVENT_SOURCE = """
async ([url, model]) => {
  const query = new URLSearchParams({ model, q: "Hello", once: crypto.randomUUID() });
  const source = new EventSource(`${url}/v1/stream?${query}`);
  window.text = "";
  window.ids = [];
  source.onmessage = ({ data, lastEventId }) => {
    window.ids.push(lastEventId);
    if (data.startsWith("{")) window.text += JSON.parse(data).choices?.[0]?.delta?.content ?? "";
  };
  window.ended = new Promise((resolve) => {
    source.addEventListener("done", ({ data }) => {
      source.close();
      resolve(JSON.parse(data).ended_by);
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) resolve("closed");
    });
  });
}
"""
BY_FETCH = """
async ([url, model]) => {
  const { resumingFetch } = await import("/playground/resuming-fetch.js");
  window.text = "";
  window.raw = "";
  const ask = async () => {
    const response = await resumingFetch()(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Hello" }] }),
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read; !(read = await reader.read()).done; ) {
      window.raw += read.value;
      const lines = window.raw.split("\\n").filter((line) => line.startsWith("data: {"));
      const choices = lines.map((line) => JSON.parse(line.slice(6)).choices?.[0]);
      window.text = choices.map((choice) => choice?.delta?.content ?? "").join("");
    }
    return window.raw.includes("data: [DONE]") ? "complete" : "cut";
  };
  window.ended = ask().catch((error) => String(error));
}
"""
BY_TASK = """
async ([url, model]) => {
  const asked = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Prefer: "respond-async" },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Hello" }] }),
  });
  const source = new EventSource(`${url}${asked.headers.get("Location")}?progress=1`);
  window.text = "";
  window.percents = [];
  source.onmessage = ({ data }) => {
    if (data.startsWith("{")) window.text += JSON.parse(data).choices?.[0]?.delta?.content ?? "";
  };
  source.addEventListener("progress", ({ data }) => window.percents.push(JSON.parse(data).percent));
  window.ended = new Promise((resolve) => {
    // The page closes nothing: the browser itself must stop at the end.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) resolve("complete");
    });
  });
}
"""
WAYS = {"eventsource": BY_EVENT_SOURCE, "fetch": BY_FETCH}


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Appliance]:
    process, running = start(SLUICE_WORKERS="2")
    yield running
    stop(process)


@pytest.fixture
def own_workers() -> Iterator[Appliance]:
    """An appliance for one kill: after three short lives it would give a worker up."""
    process, running = start(SLUICE_WORKERS="2")
    yield running
    stop(process)


def read(page: Page, way: str, url: str, model: str) -> None:
    page.goto(f"{url}/playground/")
    page.evaluate({**WAYS, "task": BY_TASK}[way], [url, model])


def text_of(page: Page) -> str:
    """The whole text, once the stream has ended as it should."""
    page.set_default_timeout(READS_MS)
    assert page.evaluate("() => window.ended") == "complete"
    return str(page.evaluate("() => window.text"))


def upstreams_text(appliance: Appliance) -> str:
    """The text of the same answer, not streamed."""
    body = {"model": f"{WORDS};rate=0", "messages": [{"role": "user", "content": "Hello"}]}
    asking = urllib.request.Request(
        f"{appliance.url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asking, timeout=20) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def a_part_is_there(page: Page) -> None:
    page.wait_for_function("() => window.text.length > 20", timeout=READS_MS)


@pytest.mark.parametrize("way", WAYS)
def test_cut_at_many_points(page: Page, two_workers: Appliance, way: str) -> None:
    """The connection breaks now and now: nothing lost, nothing twice."""
    with CuttingProxy.before(two_workers.url) as proxy:
        read(page, way, proxy.url, f"{WORDS};rate=8")
        for length in (20, 60, 110):
            page.wait_for_function(f"() => window.text.length > {length}", timeout=READS_MS)
            proxy.cut()
        assert text_of(page) == upstreams_text(two_workers)
    if way == "eventsource":
        numbers = [int(id_.rpartition(":")[2]) for id_ in page.evaluate("() => window.ids")]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_task_first_and_its_location_then(page: Page, two_workers: Appliance) -> None:
    """With frames of progress, over breaks: the text once, 100 at the end, no more asking."""
    with CuttingProxy.before(two_workers.url) as proxy:
        read(page, "task", proxy.url, f"{WORDS};rate=8")
        for length in (20, 60):
            page.wait_for_function(f"() => window.text.length > {length}", timeout=READS_MS)
            proxy.cut()
        assert text_of(page) == upstreams_text(two_workers)
    assert page.evaluate("() => window.percents.at(-1)") == 100


def kill_worker(appliance: Appliance, *, producing: bool) -> None:
    """Kill the worker that produces the one stream there is, or the other."""
    with urllib.request.urlopen(f"{appliance.admin}/status", timeout=10) as answer:
        workers = json.load(answer)["workers"]
    [pid] = [worker["pid"] for worker in workers if bool(worker["streams"]) == producing]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_is_killed_that_only_reads(page: Page, own_workers: Appliance, way: str) -> None:
    """Whoever read there goes on with the other one: nothing lost, nothing twice."""
    with CuttingProxy.before(own_workers.url) as proxy:
        read(page, way, proxy.url, f"{WORDS};rate=8")
        a_part_is_there(page)
        # By now the reader may be with either.
        proxy.cut()
        page.wait_for_function("() => window.text.length > 60", timeout=READS_MS)
        kill_worker(own_workers, producing=False)
        assert text_of(page) == upstreams_text(own_workers)


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_is_killed_that_produces(page: Page, own_workers: Appliance, way: str) -> None:
    """The answer ends where it was, and not as if it were whole; nothing is asked again."""
    read(page, way, own_workers.url, f"{WORDS};rate=8")
    a_part_is_there(page)
    kill_worker(own_workers, producing=True)
    page.set_default_timeout(READS_MS)
    ended = page.evaluate("() => window.ended")
    text, whole = page.evaluate("() => window.text"), upstreams_text(own_workers)
    assert ended != "complete"
    assert way != "eventsource" or ended == "failed"
    assert whole.startswith(text)
    assert 20 < len(text) < len(whole)


@pytest.mark.parametrize("way", WAYS)
def test_nginx_is_restarted(page: Page, two_workers: Appliance, way: str) -> None:
    """It is killed and comes back: nothing lost, nothing twice."""
    read(page, way, two_workers.url, f"{WORDS};rate=6")
    a_part_is_there(page)
    masters = [pid for pid in children_of(two_workers.pid) if "nginx: master" in command_of(pid)]
    assert len(masters) == 1
    workers = children_of(masters[0])
    for pid in (*masters, *workers):
        os.kill(pid, signal.SIGKILL)
    assert text_of(page) == upstreams_text(two_workers)


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_pull_the_plug(playground: Page) -> None:
    """The playground's own button: the answer goes on where it was, to its end."""
    ask(playground, "Hello", model=f"{WORDS};rate=8")
    answer = playground.locator(".answer .markdown")
    expect(answer).to_contain_text(re.compile(".{30}"), timeout=15_000)
    playground.click("#unplug")
    expect(playground.locator(".ended")).to_contain_text("Finished", timeout=READS_MS)
