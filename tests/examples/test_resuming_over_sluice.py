"""The resuming clients over the real thing: nginx, a worker, a store, and a proxy that cuts."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.browser.cutting_proxy import CuttingProxy
from tests.examples.conftest import EXAMPLES
from tests.fixtures.sdks import anthropic, openai
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway

pytestmark = [pytest.mark.examples, pytest.mark.no_blockbuster, pytest.mark.timeout(120)]
MODEL = "demo;seed=7;tokens=40;ttft=0;rate=0"
QUESTION: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def appliance() -> Iterator[RunningGateway]:
    with gateways.upstream() as upstream, gateways.appliance(upstream, retries=0) as gateway:
        yield gateway


def text_of(client: openai.OpenAI) -> str:
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


@pytest.mark.parametrize("every", [1500, 2222, 4001])
def test_the_transport(
    appliance: RunningGateway, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Each connection breaks after so many bytes: exactly the upstream's text, once."""
    monkeypatch.syspath_prepend(EXAMPLES / "python")
    transport = importlib.import_module("resuming_transport")
    with closing(openai.OpenAI(base_url=f"{appliance.url}/v1", api_key="x")) as plain:
        whole = text_of(plain)
    http = transport.httpx.Client(transport=transport.ResumingTransport())
    with (
        CuttingProxy.before(appliance.url, every) as proxy,
        closing(
            openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="x", http_client=http, max_retries=0)
        ) as client,
    ):
        assert text_of(client) == whole
        assert proxy.cuts >= 1


def said_by_the_upstream(appliance: RunningGateway, kind: str) -> str:
    """The same answer, as it comes over a connection that holds."""
    if kind != "anthropic":
        with closing(openai.OpenAI(base_url=f"{appliance.url}/v1", api_key="x")) as plain:
            return text_of(plain)
    with closing(anthropic.Anthropic(base_url=appliance.url, api_key="x")) as client:
        answer = client.messages.create(model=MODEL, max_tokens=999, messages=QUESTION)
    return "".join(block.text for block in answer.content if block.type == "text")


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ai"])
@pytest.mark.parametrize("every", [1500, 2222, 4001])
def test_the_fetch(appliance: RunningGateway, node_folder: Path, kind: str, every: int) -> None:
    """The same under each package on node: exactly the upstream's text, once."""
    asks = Path(__file__).with_name("resume.js")
    shutil.copy(asks, node_folder)
    with CuttingProxy.before(appliance.url, every) as proxy:
        ran = subprocess.run(
            ["node", asks.name, kind, proxy.url],
            cwd=node_folder,
            env={**os.environ, "MODEL": MODEL},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.stdout, ran.stderr) == (said_by_the_upstream(appliance, kind), "")
    assert proxy.cuts >= 1
