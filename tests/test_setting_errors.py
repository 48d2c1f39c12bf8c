from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from proxy.key_settings import KeyDefaults, KeySettings
from proxy.setting_errors import explain, nearest, without_secrets
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

PYTHON = re.compile(
    r"Input|tuple|dict|string|integer|boolean|Field required|Extra inputs|without a base|parse|None"
)
UPSTREAM = {"name": "a", "url": "http://a"}


def complaints(**given: Any) -> list[str]:
    """What is said of these settings."""
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    return [explain(error) for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"upstreams": {"a": 1}}, "SLUICE_UPSTREAMS: this table is wrong: it must be a list ("),
        ({"upstreams": [{"url": "http://a"}]}, "SLUICE_UPSTREAMS[0][name] is missing ("),
        ({"upstreams": [{**UPSTREAM, "models": "m"}]}, "this text is wrong: it must be a list"),
        ({"upstreams": [{**UPSTREAM, "rename": []}]}, "it must be a table of names and values"),
        ({"upstreams": [{**UPSTREAM, "weight": 0}]}, "0 is wrong: it must be more than 0"),
        ({"upstreams": [{**UPSTREAM, "probe_path": "x"}]}, "it must be a path that begins with /"),
        ({"upstream_url": "a.example"}, "an address that begins with http:// or https://"),
        ({"upstream_url": "ftp://a"}, "an address that begins with http:// or https://"),
        ({"workers": "many"}, "SLUICE_WORKERS: 'many' is wrong: it must be a whole number ("),
        ({"workers": "1.5"}, "it must be a whole number"),
        ({"listen_port": 99_999}, "it must be at most 65535"),
        ({"retry_on_500": "perhaps"}, "it must be true or false"),
        ({"idle_timeout_seconds": "x"}, "it must be a number"),
        ({"listen_address": "here"}, "it must be an IPv4 or IPv6 address"),
        ({"on_client_left": "shrug"}, "it must be 'cancel', 'drain' or 'grace'"),
        ({"client_keys": [1]}, "it must be a table of names and values"),
        ({"keys": 3}, "it must be a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_a_mistake_is_explained_in_plain_words(given: dict[str, Any], message: str) -> None:
    """What an operator would say, and no Python."""
    (line,) = complaints(**given)
    assert message in line
    assert not PYTHON.search(line.partition(" (")[0])


def test_a_misspelt_field_of_an_upstream_gets_its_right_name() -> None:
    """A weight with a typing error must not be a weight of 1."""
    (line,) = complaints(upstreams=[{**UPSTREAM, "wieght": 2}])
    assert line == "SLUICE_UPSTREAMS[0][wieght] is no setting; the nearest is weight."


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@a.example/v1",
        "https://hunter2@a.example/v1",
        "https://a.example/v1?key=hunter2",
        "https://a.example/v1?a=hunter2&key=hunter2#x",
        "user:hunter2@a.example?key=hunter2",
        "http://user:hun/hunter2@a.example/",
        "http://user:hun?hunter2@a.example/",
        "http://user:hun@hunter2@a.example/",
        "https://a.example/v1#key=hunter2",
    ],
)
def test_an_address_never_tells_its_password(url: str) -> None:
    """However wrong it is otherwise."""
    assert "hunter2" not in without_secrets(url)
    for given in ({"upstream_url": url}, {"upstreams": [{"name": "a", "url": url}]}):
        (line,) = complaints(**given)
        assert "hunter2" not in line
        assert "a.example" in line


def test_an_address_without_secrets_is_said_as_it_is() -> None:
    """So that the mistake can be seen."""
    assert without_secrets("htps://a.example:80/v1/x") == "htps://a.example:80/v1/x"


def test_the_nearest_name_is_found_however_far_it_is() -> None:
    """There always is one."""
    assert nearest("zzz", ["alpha"]) == "alpha"


KEY = "sk-proj-hunter2-0123456789"


@pytest.mark.parametrize("value", [KEY, int("4" * 12), [KEY], {KEY: KEY}])
@pytest.mark.parametrize(
    ("setting", "model"),
    [("keys", KeySettings), ("key_defaults", KeyDefaults), ("upstreams", UpstreamSettings)],
)
def test_a_key_in_a_wrong_place(setting: str, model: type[BaseModel], value: Any) -> None:
    """It is told nowhere, whichever field it was put in by mistake."""
    rights = {"keys": {"name": "a", "key": "sk-a"}, "upstreams": UPSTREAM}
    for field in (*model.model_fields, KEY):
        wrong = rights.get(setting, {}) | {field: value}
        given: dict[str, Any] = {setting: wrong if setting == "key_defaults" else [wrong]}
        try:
            Settings(**given)
        except ValidationError as error:
            for line in map(explain, error.errors()):
                assert setting.upper() in line
                assert "hunter2" not in line
                assert "4" * 12 not in line


@pytest.mark.parametrize("given", [{KEY: "a b"}, {KEY * 4: "a"}, {KEY: ""}])
def test_a_key_in_the_place_of_its_name(given: dict[str, str]) -> None:
    """The short form has both beside each other."""
    (line,) = complaints(client_keys=given)
    assert line.startswith("SLUICE_CLIENT_KEYS[********]: ******** is wrong: ")
    assert "hunter2" not in line


def test_a_key_in_the_place_of_its_upstream() -> None:
    """There is no such upstream, and what it is called is not told."""
    keys = [{"name": "a", "key": "sk-a", "upstream": KEY}]
    (line,) = complaints(keys=keys, upstreams=[UPSTREAM])
    assert line == ("SLUICE_KEYS: 'a' names the upstream '********'; SLUICE_UPSTREAMS has a.")
