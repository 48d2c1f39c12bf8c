from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from proxy.config import BadSettings, as_json, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests counts."""
    for name in [name for name in os.environ if name.startswith("SLUICE_")]:
        monkeypatch.delenv(name)


def complaint() -> str:
    """What is wrong with the environment."""
    with pytest.raises(BadSettings) as caught:
        load()
    return str(caught.value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is its setting, lists and tables as JSON."""
    monkeypatch.setenv("SLUICE_LISTEN_PORT", "8000")
    monkeypatch.setenv("SLUICE_UPSTREAMS", '[{"name": "a", "url": "http://a"}]')
    monkeypatch.setenv("SLUICE_CLIENT_KEYS", '{"ann": "k"}')
    settings = load()
    assert settings.listen_port == 8000
    assert settings.upstreams[0].name == "a"
    assert settings.client_keys["ann"].get_secret_value() == "k"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CLIENT_KEYS", '{"ann": "sk-1", "bob": "sk-2", "ann": "sk-3"}'),
        ("UPSTREAMS", '[{"name": "a", "url": "http://a", "api_key": "sk-1", "api_key": "sk-2"}]'),
    ],
)
def test_a_name_that_stands_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    """One of two keys would be lost in silence; the complaint tells neither."""
    monkeypatch.setenv(f"SLUICE_{name}", text)
    assert f"SLUICE_{name}: a name is used twice" in complaint()
    assert "sk-" not in complaint()
    monkeypatch.delenv(f"SLUICE_{name}")
    (tmp_path / "keys").write_text(text)
    monkeypatch.setenv(f"SLUICE_{name}_FILE", str(tmp_path / "keys"))
    assert "a name is used twice" in complaint()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files and charts often pass a variable on that nobody has set."""
    monkeypatch.setenv("SLUICE_LISTEN_PORT", "")
    assert load().listen_port == 8080


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_secret_may_lie_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str
) -> None:
    """`_FILE` names a file that holds the value, with or without a line end."""
    secret = tmp_path / "key"
    secret.write_text(f"sk-1{ending}")
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY_FILE", str(secret))
    key = load().upstream_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


def test_any_setting_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numbers, lists and JSON from files are read like those from the environment."""
    for name, text in {
        "LISTEN_PORT": "8001\n",
        "CORS_ORIGINS": "http://a.example,http://b.example\n",
        "CLIENT_KEYS": '{"ann": "k"}\n',
    }.items():
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setenv(f"SLUICE_{name}_FILE", str(path))
    settings = load()
    assert settings.listen_port == 8001
    assert settings.cors_origins == ("http://a.example", "http://b.example")
    assert set(settings.client_keys) == {"ann"}


def test_a_toml_file_holds_upstreams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is awkward in a variable has its file; the environment goes before it."""
    toml = tmp_path / "sluice.toml"
    toml.write_text(
        "listen_port = 8002\nadmin_port = 9000\n"
        '[[upstreams]]\nname = "a"\nurl = "http://a/v1"\n'
        '[[upstreams]]\nname = "b"\nurl = "http://b"\nmodels = ["llama-*"]\n'
        '[client_keys]\nann = "k"\n'
    )
    monkeypatch.setenv("SLUICE_CONFIG", str(toml))
    monkeypatch.setenv("SLUICE_LISTEN_PORT", "8003")
    settings = load()
    assert (settings.listen_port, settings.admin_port) == (8003, 9000)
    assert [upstream.name for upstream in settings.upstreams] == ["a", "b"]
    assert settings.upstreams[1].models == ("llama-*",)


def test_several_mistakes_are_all_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a line with the key, the value, and what would be right."""
    monkeypatch.setenv("SLUICE_LISTEN_PORT", "99999")
    monkeypatch.setenv("SLUICE_ON_CLIENT_LEFT", "shrug")
    lines = complaint().splitlines()
    assert len(lines) == 2
    port, left = lines
    assert port.startswith("SLUICE_LISTEN_PORT: '99999' is wrong")
    assert "65535" in port
    assert left.startswith("SLUICE_ON_CLIENT_LEFT: 'shrug' is wrong")
    assert "drain" in left


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SLUICE_LISTENPORT", "SLUICE_LISTEN_PORT"),
        ("SLUICE_UPSTREAM_KEY", "SLUICE_UPSTREAM_API_KEY"),
        ("SLUICE_UPSTREM_API_KEY_FILE", "SLUICE_UPSTREAM_API_KEY"),
        ("SLUICE_CONFIGURATION", "SLUICE_CONFIG"),
    ],
)
def test_an_unknown_name_gets_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    """A typing mistake is not silently ignored."""
    monkeypatch.setenv(name, "1")
    assert complaint() == f"{name} is no setting; the nearest is {nearest}."


def test_an_unknown_name_in_the_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The TOML file is held to the same names."""
    toml = tmp_path / "sluice.toml"
    toml.write_text("listen_prot = 1\n")
    monkeypatch.setenv("SLUICE_CONFIG", str(toml))
    assert "listen_prot in SLUICE_CONFIG is no setting" in complaint()
    assert "listen_port" in complaint()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_CLIENT_KEYS", '{"ann": ["k-secret"]}'),
        ("SLUICE_CLIENT_KEYS", '["k-secret"]'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k-secret'),
        ("SLUICE_UPSTREAMS", '[{"name": "a", "url": "http://a", "api_key": ["u-secret"]}]'),
        ("SLUICE_UPSTREAMS", '[{"name": "a", "api_key": "u-secret"}]'),
        ("SLUICE_KEYS", '[{"name": "a", "key": "k secret"}]'),
        ("SLUICE_KEYS", '[{"name": "a", "sha256": "k-secret"}]'),
        ("SLUICE_KEYS", '[{"name": "a", "kye": "k-secret"}]'),
        ("SLUICE_KEYS", '["k-secret"]'),
        ("SLUICE_KEYS", '[{"name": "a", "key": "k-secret"}, {"name": "b", "key": "k-secret"}]'),
        ("SLUICE_STORE_URL", "redis://:k-secret@a/b"),
    ],
)
def test_a_wrong_secret_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The complaint goes to a log that others read: it names the key and hides the value."""
    monkeypatch.setenv(name, value)
    message = complaint()
    assert name in message
    assert "secret" not in message


def test_a_misspelt_field_of_a_key_gets_its_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit with a typing error must not be a key without a limit."""
    monkeypatch.setenv("SLUICE_KEYS", '[{"name": "a", "key": "k", "request_per_minute": 9}]')
    assert "SLUICE_KEYS[0][request_per_minute]" in complaint()
    assert "requests_per_minute" in complaint()


def test_keys_and_their_defaults_in_toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As an operator keeps them: one table for each key, one for all."""
    toml = tmp_path / "sluice.toml"
    toml.write_text(
        '[key_defaults]\nrequests_per_minute = 60\n[[keys]]\nname = "web"\nkey = "sk-web"\n'
        '[[keys]]\nname = "batch"\nkey = "sk-batch"\nrequests_per_minute = "none"\n'
        "expires = 2027-01-01T00:00:00Z\n"
    )
    monkeypatch.setenv("SLUICE_CONFIG", str(toml))
    limits = {key.name: key.requests_per_minute for key in load().all_keys}
    assert limits == {"web": 60, "batch": None}


def test_a_key_of_an_upstream_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default has to be one of those that are configured."""
    monkeypatch.setenv("SLUICE_UPSTREAMS", '[{"name": "a", "url": "http://a"}]')
    monkeypatch.setenv("SLUICE_KEYS", '[{"name": "web", "key": "k", "upstream": "b"}]')
    assert "'b'" in complaint()


def test_a_variable_and_its_file_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Which of the two counts would be a guess."""
    path = tmp_path / "key"
    path.write_text("sk-2")
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY", "sk-1")
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY_FILE", str(path))
    assert "both set" in complaint()


@pytest.mark.parametrize("name", ["SLUICE_UPSTREAM_API_KEY_FILE", "SLUICE_CONFIG"])
def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The setting and the path, not a traceback."""
    monkeypatch.setenv(name, "/no/such/file")
    message = complaint()
    assert name in message
    assert "/no/such/file" in message


def test_a_file_that_is_no_toml_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the place of the mistake."""
    toml = tmp_path / "sluice.toml"
    toml.write_text("port: 1")
    monkeypatch.setenv("SLUICE_CONFIG", str(toml))
    assert "line 1" in complaint()


def test_what_is_effective_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting by the name that sets it, every secret masked."""
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY", "sk-secret")
    monkeypatch.setenv("SLUICE_CLIENT_KEYS", '{"ann": "k-secret"}')
    monkeypatch.setenv("SLUICE_UPSTREAM_URL", "https://api.example.com/v1")
    shown = as_json(load())
    document = json.loads(shown)
    assert "secret" not in shown
    assert document["SLUICE_UPSTREAM_API_KEY"] == "********"
    assert document["SLUICE_CLIENT_KEYS"] == {"ann": "********"}
    assert document["SLUICE_UPSTREAM_URL"] == "https://api.example.com/v1"
    assert document["SLUICE_LISTEN_PORT"] == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_CLIENT_KEYS", "{}"),
        ("SLUICE_CLIENT_KEYS", ""),
        ("SLUICE_KEYS", "[]"),
        ("SLUICE_UPSTREAM_API_KEY", ""),
        ("SLUICE_UPSTREAM_API_KEY", " "),
        ("SLUICE_UPSTREAM_API_KEY", "k-secret\n"),
        ("SLUICE_UPSTREAM_API_KEY", "k-secret-\u0444"),
        ("SLUICE_UPSTREAMS", '[{"name": "a", "url": "http://a", "api_key": ""}]'),
        ("SLUICE_UPSTREAMS", '[{"name": "a", "url": "http://a", "api_key": "k-secret\\n"}]'),
        ("SLUICE_CLIENT_KEYS", '{"ann": ""}'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k-secret\\n"}'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k secret"}'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k-secret\\u0001"}'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k-secret-\u0444"}'),
        ("SLUICE_CLIENT_KEYS", '{"ann": "k-secret", "bob": "k-secret"}'),
    ],
)
def test_a_key_that_would_fail_open_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The setting and the key's name are said, and never the key."""
    monkeypatch.setenv(name, value)
    message = complaint()
    assert name in message
    assert "secret" not in message
    assert ("ann" in value) is ("ann" in message)


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
@pytest.mark.parametrize("name", ["SLUICE_UPSTREAM_API_KEY_FILE", "SLUICE_WORKERS_FILE"])
def test_a_file_with_nothing_in_it_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    """A secret that failed to arrive is not the same as none."""
    path = tmp_path / "empty"
    path.write_text(text)
    monkeypatch.setenv(name, str(path))
    assert complaint() == f"{name}: {str(path)!r} is empty; it must hold the value, or be unset."


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["a directory", "no text"])
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    """With the setting that names it."""
    path = tmp_path / "key"
    path.mkdir() if content is None else path.write_bytes(content)
    monkeypatch.setenv("SLUICE_UPSTREAM_API_KEY_FILE", str(path))
    assert complaint().startswith(f"SLUICE_UPSTREAM_API_KEY_FILE: {str(path)!r}")


def test_the_configuration_is_a_file_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that would be read by nobody is not accepted."""
    monkeypatch.setenv("SLUICE_CONFIG_FILE", "/etc/sluice.toml")
    assert "the nearest is SLUICE_CONFIG." in complaint()
