from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from proxy.appliance.banner import banner_text, curl_line, uses_demo
from proxy.settings import Settings

UPSTREAM: dict[str, Any] = {"upstream_url": "https://api.example.com/v1"}


def test_the_urls_can_be_followed_from_this_machine() -> None:
    """Where Sluice listens on all addresses, the URL is one that works here."""
    text = banner_text(Settings(listen_port=8080, admin_port=9464, listen_address="::"))
    assert "http://[::1]:8080" in text
    assert "http://127.0.0.1:9464" in text


def test_the_curl_line_streams_from_the_demo_as_it_stands() -> None:
    """Pasted into a shell it is a whole command: no key, no placeholder."""
    arguments = shlex.split(curl_line(Settings()))
    assert arguments[:2] == ["curl", "-N"]
    assert arguments[2] == "http://127.0.0.1:8080/v1/chat/completions"
    body = json.loads(arguments[arguments.index("-d") + 1])
    assert body["stream"] is True
    assert "$" not in curl_line(Settings())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (UPSTREAM, "$OPENAI_API_KEY"),
        ({**UPSTREAM, "upstream_api_key": "sk-secret"}, None),
        ({**UPSTREAM, "client_keys": {"ann": "k-secret"}}, "$SLUICE_KEY"),
        ({"client_keys": {"ann": "k-secret"}}, "$SLUICE_KEY"),
    ],
)
def test_a_key_is_asked_for_where_one_is_needed(settings: dict[str, Any], key: str | None) -> None:
    """The line names the variable that holds the key, and never a key."""
    line = curl_line(Settings(**settings))
    assert ("Authorization" in line) is (key is not None)
    assert key is None or key in line
    assert "secret" not in line


def test_the_model_is_one_that_an_upstream_names() -> None:
    """A glob is no name; the first whole name is used."""
    upstreams: Any = ({"name": "a", "url": "http://a", "models": ("gpt-*", "llama-3")},)
    assert '"llama-3"' in curl_line(Settings(upstreams=upstreams))


def test_the_demo_is_announced_as_what_it_is() -> None:
    """Only without an upstream, and then in capitals."""
    assert uses_demo(Settings())
    assert "ONLY THE DEMO" in banner_text(Settings())
    assert "DEMO" not in banner_text(Settings(**UPSTREAM))


def test_tls_has_its_own_line() -> None:
    """With a certificate the HTTPS URL is there too."""
    settings = Settings(tls_certificate="/c.pem", tls_key="/k.pem", tls_port=8443)
    assert "https://127.0.0.1:8443" in banner_text(settings)


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"upstream_api_key": "sk-1"}, True),
        ({"upstream_api_key": "sk-1", "listen_address": "127.0.0.1"}, False),
        ({"upstream_api_key": "sk-1", "client_keys": {"shop": "sk-client-1"}}, False),
        ({}, False),
    ],
)
def test_a_key_that_anybody_can_spend(given: dict[str, Any], warned: bool) -> None:
    """It is said loudly, and only where it is so."""
    settings = Settings(upstream_url="https://api.example.com/v1", **given)
    assert ("ANYONE" in banner_text(settings)) is warned
    assert "sk-1" not in banner_text(settings)
