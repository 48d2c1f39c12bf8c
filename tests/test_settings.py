from __future__ import annotations

import json
import os
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from proxy.settings import Settings


def made(**given: Any) -> Settings:
    """Settings without looking at the environment."""
    return Settings(**given)


def test_they_are_frozen() -> None:
    """Nobody changes a setting after the start."""
    with pytest.raises(ValidationError, match="frozen"):
        made().workers = 3  # type: ignore[misc]


def test_without_any_the_promised_defaults_hold() -> None:
    """Ports, ping interval and workers are those that operators are told."""
    settings = made()
    assert (settings.listen_port, settings.tls_port, settings.admin_port) == (8080, 8443, 9464)
    assert settings.ping_interval_seconds == 15
    assert settings.commit_after_seconds == 15
    assert settings.workers == len(os.sched_getaffinity(0))
    assert settings.upstream_url is None


@pytest.mark.parametrize(
    "given",
    [
        {"listen_port": 0},
        {"admin_port": 65_536},
        {"listen_address": "example.com"},
        {"listen_address": "1.2.3.4; include /etc/passwd"},
        {"workers": 0},
        {"max_streams": 0},
        {"queue_timeout_seconds": 0},
        {"idle_timeout_seconds": -1},
        {"max_body_bytes": 10},
        {"upstream_url": "api.example.com"},
        {"upstream_url": "ftp://api.example.com"},
        {"upstream_url": "https://api.example.com/v1?key=1"},
        {"on_client_left": "shrug"},
        {"log_format": "xml"},
        {"access_log": "some"},
        {"cors_origins": "https://app.example/path"},
        {"cors_origins": "app.example"},
        {"cors_origins": 'https://a"; add_header X 1; #'},
        {"upstreams": [{"name": "no spaces", "url": "http://a"}]},
        {"upstreams": [{"name": "a", "url": "http://a", "colour": "red"}]},
        {"upstreams": [{"name": "a", "url": "http://a", "weight": 0}]},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(given: dict[str, Any]) -> None:
    """A value out of its bounds, or a name that is none, never gets through."""
    with pytest.raises(ValidationError):
        made(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tls_certificate": "/c.pem"}, "go together"),
        ({"tls_key": "/k.pem"}, "go together"),
        ({"upstream_url": "http://a", "upstreams": [{"name": "a", "url": "http://a"}]}, "not both"),
        ({"upstreams": [{"name": "a", "url": "http://a"}] * 2}, "same name"),
    ],
)
def test_what_does_not_belong_together_is_said(given: dict[str, Any], message: str) -> None:
    """Two settings that contradict each other are named together."""
    with pytest.raises(ValidationError, match=message):
        made(**given)


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        (
            "https://a.example, http://localhost:3000/",
            ("https://a.example", "http://localhost:3000"),
        ),
        ("HTTPS://App.Example", ("https://app.example",)),
        ("null", ("null",)),
        ("http://[::1]:8080", ("http://[::1]:8080",)),
        (" , ", ()),
    ],
)
def test_origins_are_a_list_with_commas(text: str, origins: tuple[str, ...]) -> None:
    """Spaces, a slash at the end and capitals make no difference: browsers send none of them."""
    assert made(cors_origins=text).cors_origins == origins


@pytest.mark.parametrize("given", ["::", "[::1]", "127.0.0.1"])
def test_an_address_may_be_of_either_kind(given: str) -> None:
    """IPv6 with or without its brackets."""
    assert made(listen_address=given).listen_address == given.strip("[]")


def test_a_secret_does_not_show() -> None:
    """Keys are not in the representation, which ends up in logs and tracebacks."""
    settings = made(
        upstream_api_key="sk-secret",
        client_keys={"ann": "k-secret"},
        upstreams=[{"name": "a", "url": "http://a", "api_key": "u-secret"}],
    )
    assert "secret" not in repr(settings)
    assert "secret" not in json.dumps(settings.model_dump(mode="json"))
    assert isinstance(settings.client_keys["ann"], SecretStr)
