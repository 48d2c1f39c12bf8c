"""Further path prefixes: passed on as they are where a setting lists them, and nowhere else."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from proxy.settings import Settings
from tests.fixtures.sdks import anthropic, openai
from tests.integration.conftest import StartWorker, Worker

PATHS = ("/openai/v1", "/openai/deployments", "/v1alpha")


async def get(url: str, method: str = "GET", **more: object) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.request(method, url, **more)  # type: ignore[arg-type]


async def test_a_prefix_that_is_listed(start_front: StartWorker) -> None:
    """Its requests go on, whatever stands in the upstream's own base."""
    front = await start_front(paths=PATHS)
    for path in ("/openai/v1/anything?a=%2F", "/openai/deployments/d/x", "/v1alpha/models"):
        answer = await get(front.url + path)
        assert answer.headers.get("Server-Timing") or answer.status_code == 404
        assert "what is passed on begins with" not in answer.text


@pytest.mark.parametrize(
    "path", ["/openai/v1/models", "/openai/v1x/models", "/openai", "/admin", "/v1beta1/models"]
)
async def test_what_is_not_listed(front: Worker, path: str) -> None:
    """404 that says which prefixes there are, and what a base URL wants."""
    answer = await get(front.url + path)
    assert answer.status_code == 404
    assert "/v1, /v1beta" in answer.json()["error"]["message"]
    assert "base URL" in answer.json()["error"]["message"]


async def test_whole_segments(start_front: StartWorker) -> None:
    """`/openai/v1` is no leave for `/openai/v1x`."""
    front = await start_front(paths=PATHS)
    answer = await get(front.url + "/openai/v1x/models")
    assert answer.status_code == 404
    assert "/openai/v1, /openai/deployments" in answer.json()["error"]["message"]


async def test_sluices_own_routes_stay_its_own() -> None:
    """No prefix hides a health check or opens what is internal."""
    for bad in ("/internal", "/healthz", "/metrics/x", "/selftest", "/", "v1", "/a/../b", "/a/"):
        with pytest.raises(ValidationError):
            Settings(paths=(bad,))
    assert Settings.model_validate({"paths": "/openai/v1, /v2"}).paths == ("/openai/v1", "/v2")


async def test_errors_in_the_familys_shape(start_front: StartWorker) -> None:
    """An SDK finds its request id, and Google's find code and status."""
    front = await start_front(client_keys={"a": "secret"}, paths=PATHS)
    for path in ("/v1beta/models/m:generateContent", "/v1alpha/models/m:streamGenerateContent"):
        answer = await get(front.url + path, "POST", json={"contents": []})
        error = answer.json()["error"]
        assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["X-Request-ID"] in error["message"]
    async with anthropic.AsyncAnthropic(base_url=front.url, api_key="wrong", max_retries=0) as sdk:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await sdk.messages.create(model="demo", max_tokens=9, messages=[])
        assert caught.value.request_id == caught.value.response.headers["X-Request-ID"]
    async with anthropic.AsyncAnthropic(base_url=front.url, api_key="secret") as sdk:
        messages = [{"role": "user", "content": "hello"}]
        whole = await sdk.messages.create(model="demo", max_tokens=9, messages=messages)  # type: ignore[arg-type]
        assert whole._request_id


async def test_azures_sdk(start_front: StartWorker) -> None:
    """Its path names a deployment: without the prefix it is told what there is."""
    front = await start_front()
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=front.url, api_key="k", api_version="2024-10-21", max_retries=0
    ) as sdk:
        with pytest.raises(openai.NotFoundError, match="/v1, /v1beta"):
            await sdk.chat.completions.create(model="demo", messages=[])


async def test_credentials_for_named_origins(start_front: StartWorker) -> None:
    """With the setting, cookies; and the figures of `Server-Timing` for whoever may read."""
    origin = "https://app.example.com"
    front = await start_front(cors_origins=(origin,), cors_credentials=True)
    answer = await get(front.url + "/v1/models", headers={"Origin": origin})
    assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]
    assert answer.headers.get_list("Timing-Allow-Origin") == [origin]
    other = await get(front.url + "/v1/models", headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Credentials" not in other.headers
    assert "Timing-Allow-Origin" not in other.headers


async def test_no_credentials_unless_said(start_front: StartWorker) -> None:
    """Off by default, and never together with `*`."""
    origin = "https://app.example.com"
    front = await start_front(cors_origins=(origin,))
    answer = await get(front.url + "/v1/models", headers={"Origin": origin})
    assert "Access-Control-Allow-Credentials" not in answer.headers
    with pytest.raises(ValidationError, match="CORS_CREDENTIALS"):
        Settings(cors_origins=("*",), cors_credentials=True)
