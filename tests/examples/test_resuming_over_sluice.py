"""The resuming clients over the real thing: nginx, a worker, a store, and a proxy that cuts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import openai
import pytest

from tests.browser.cutting_proxy import CuttingProxy
from tests.examples.conftest import EXAMPLES
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
