"""Where a client's path lies at an upstream."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.upstream.upstream_url import BaseUrl, locate


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("", "/v1/chat/completions", "/v1/chat/completions"),
        ("/", "/v1/chat/completions", "/v1/chat/completions"),
        ("", "/v1beta/models/g:streamGenerateContent", "/v1beta/models/g:streamGenerateContent"),
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/api/paas/v4", "/v1/chat/completions", "/api/paas/v4/chat/completions"),
        ("/inference", "/v1/chat/completions", "/inference/chat/completions"),
        ("/openai/v1", "/v1", "/openai/v1"),
        ("/openai/v1", "/v1/", "/openai/v1/"),
        ("/openai/v1", "/v1?a=1", "/openai/v1?a=1"),
        ("/openai/v1", "/v1beta/models", "/openai/v1beta/models"),
        ("/v1", "/v1beta/models", "/v1beta/models"),
        ("/v1beta", "/v1beta/models", "/v1beta/models"),
        ("/v1beta", "/v1beta", "/v1beta"),
        ("/v1beta", "/v1/models", "/v1/models"),
        ("/google/v1beta", "/v1/models", "/google/v1/models"),
        ("/v1beta/openai", "/v1/chat/completions", "/v1beta/openai/chat/completions"),
        ("/v1beta/openai", "/v1beta/models", "/v1beta/models"),
        ("/gemini", "/v1beta/models", "/gemini/v1beta/models"),
        ("/openai/v1", "/health", "/health"),
        ("/openai/v1", "/v1x/models", "/v1x/models"),
        ("/v1", "/v1/files/a%2Fb%3Fc//d?x=%41+b&&y?z", "/v1/files/a%2Fb%3Fc//d?x=%41+b&&y?z"),
        ("", "/v1/files/.hidden/a..b/...", "/v1/files/.hidden/a..b/..."),
        ("", "/v1/\u00e9/\udcff?q=\u00e9", "/v1/%C3%A9/%FF?q=%C3%A9"),
    ],
)
def test_a_path_finds_its_place(base: str, path: str, expected: str) -> None:
    """The base's path stands for the client's version; everything else stays as written."""
    assert locate(BaseUrl.of(f"https://h{base}"), path) == f"https://h{expected}"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/..",
        "/v1/../admin",
        "/v1/./models",
        "/v1/%2e%2E/admin",
        "/v1/.%2e/admin",
        "/v1/a%2f..%2fadmin",
        "/v1/a%5C..%5Cadmin",
        "/v1/a\\..\\admin",
        "/../v1",
        "v1/models",
        "",
        "*",
        "/v1/a b",
        "/v1/a\r\nHost: x",
        "/v1/a#b",
        "/v1/a?b#c",
    ],
)
def test_a_path_that_could_leave_the_base_is_refused(path: str) -> None:
    """Dot segments in any spelling, and what no request line can hold, never reach an upstream."""
    with pytest.raises(BadRequest):
        locate(BaseUrl.of("https://h/v1"), path)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://h", BaseUrl("https://h", "")),
        ("https://h:8443/v1/", BaseUrl("https://h:8443", "/v1")),
        ("http://[::1]:80/a/b", BaseUrl("http://[::1]:80", "/a/b")),
        ("https://user:pw@h/v1", BaseUrl("https://h", "/v1")),
    ],
)
def test_a_base_url_is_taken_apart(url: str, base: BaseUrl) -> None:
    """Origin and path; a password in it goes nowhere."""
    assert BaseUrl.of(url) == base
