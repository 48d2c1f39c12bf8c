"""The whole appliance in front of three real model servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.fixtures.sdks import anthropic, openai
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway
from tests.real import model_servers
from tests.real.model_servers import ModelServer


@dataclass(frozen=True)
class Real:
    """The gateway and the model servers behind it."""

    gateway: RunningGateway
    servers: dict[str, ModelServer]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Run `sluice run` with two workers; a model's name selects its server."""
    if reason := model_servers.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("models")
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(model_servers.running(name, folder))
            for name in model_servers.MODELS
        }
        upstreams = [
            {"name": name, "url": f"{server.url}/v1", "models": [name]}
            for name, server in servers.items()
        ]
        nobody = gateways.Upstream(gateways.Process(None, ""))  # type: ignore[arg-type]
        gateway = stack.enter_context(
            gateways.appliance(nobody, workers=2, upstreams=upstreams, retries=0, drain_seconds=1)
        )
        yield Real(gateway, servers)


@pytest.fixture
def oai(real: Real) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK."""
    with openai.OpenAI(base_url=f"{real.gateway.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(real: Real) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK."""
    with anthropic.Anthropic(base_url=real.gateway.url, api_key="any", max_retries=0) as client:
        yield client
