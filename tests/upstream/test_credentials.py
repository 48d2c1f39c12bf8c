"""What can be a client's key."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.upstream.credentials import (
    is_credential,
    key_in_path,
    without_credentials,
    without_key_parameter,
)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "X-Api-Key",
        "x_api_key",
        "X-API_KEY",
        "X.Api.Key",
        "api-key",
        "api_key",
        "ApiKey",
        "x-goog-api-key",
        "X_Goog_Api_Key",
        "Ocp-Apim-Subscription-Key",
        "ocp_apim_subscription_key",
        "xi-api-key",
        "X-RapidAPI-Key",
        "x-litellm-api-key",
        "x-portkey-api-key",
        "Helicone-Auth",
        "cf-aig-authorization",
        "X-Authorization",
        "X-Auth-Token",
        "X-Auth-Key",
        "X-Access-Token",
        "X-Amz-Security-Token",
        "x-functions-key",
        "X-Subscription-Token",
        "Cookie",
        "Set-Cookie",
        "Bearer",
        "X-Secret",
        "Cf-Access-Jwt-Assertion",
        "x-portkey-virtual-key",
    ],
)
def test_a_field_that_can_be_a_key(name: str) -> None:
    """To some upstream, whatever its server makes of underscores and dots."""
    assert is_credential(name)
    headers = CIMultiDict([(name, "client"), ("X-Kept", "1")])
    assert list(without_credentials(headers).items()) == [("X-Kept", "1")]


@pytest.mark.parametrize(
    "name",
    [
        "Idempotency-Key",
        "Anthropic-Version",
        "anthropic-beta",
        "OpenAI-Organization",
        "OpenAI-Project",
        "x-goog-user-project",
        "Content-Type",
        "Accept",
        "Authority",
        "X-Request-ID",
        "Sec-WebSocket-Key",
        "X-Monkey",
        "max-tokens",
    ],
)
def test_a_field_that_is_none(name: str) -> None:
    """It passes."""
    assert not is_credential(name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/x", "/v1/x"),
        ("/v1/x?", "/v1/x?"),
        ("/v1/x?key=s", "/v1/x"),
        ("/v1/x?alt=sse&key=s&a=%20", "/v1/x?alt=sse&a=%20"),
        ("/v1/x?k%65y=s&keys=2&akey=3", "/v1/x?keys=2&akey=3"),
        ("/v1/x?key", "/v1/x"),
        ("/v1/x?a=key=s", "/v1/x?a=key=s"),
        ("/v1/x?a=b;key=s", "/v1/x?a=b"),
        ("/v1/x?key=s;a=b", "/v1/x?a=b"),
        ("/v1/x?a=b;key=s&c=d;e", "/v1/x?a=b&c=d;e"),
        ("/v1/x?a;b;c", "/v1/x?a;b;c"),
        ("/v1/x?KEY=s&Api-Key=s&api_key=s&apikey=s", "/v1/x"),
        ("/v1/x?access_token=s&subscription-key=s&a=1", "/v1/x?a=1"),
        ("/v1/x?api%5Fkey=s&api%2Dkey=s&%61pi.key=s&a=1", "/v1/x?a=1"),
        ("/v1/x?key[]=s&key%5B0%5D=s&+key=s&key%00=s&a=1", "/v1/x?a=1"),
        ("/v1/x?x-goog-api-key=s&sig=s&token=s&code=s", "/v1/x"),
        ("/v1/x?&&a=1&", "/v1/x?&&a=1&"),
        ("/v1/x?%256Bey=s&key%3Ds&a=1", "/v1/x?a=1"),
        ("/v1/x?a=1%26key=s&pageToken=2", "/v1/x?a=1%26key=s&pageToken=2"),
        ("/v1/x?max_tokens=1&sort_key=2", "/v1/x?max_tokens=1&sort_key=2"),
    ],
)
def test_a_key_in_the_query_stays_behind(path: str, expected: str) -> None:
    """However its name is written; the rest of the query keeps its raw form."""
    assert without_key_parameter(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/x;key=s", True),
        ("/v1/x;a=b;api-key=s/y", True),
        ("/v1/x%3Bk%65y=s", True),
        ("/v1/x%3fkey=s", True),
        ("/v1/x%253Fkey=s", True),
        ("/v1/x%26access_token=s", True),
        ("/v1/x;a=b", False),
        ("/v1/key=s", False),
        ("/v1/files/a%2Fb%3Fc", False),
        ("/v1/models/ft:gpt;key", False),
    ],
)
def test_a_key_in_the_path(path: str, expected: bool) -> None:
    """As a parameter of a segment, or of a query that only some server finds."""
    assert key_in_path(path) is expected
