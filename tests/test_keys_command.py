"""`sluice keys`, as people use it."""

from __future__ import annotations

import json
import re
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from proxy.__main__ import main
from proxy.config import load


def test_a_new_key_and_the_lines_that_let_it_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is printed can be stored as it stands, holds no key, and lets that key in."""
    assert main(["keys", "new", 'the "web" team']) == 0
    output = capsys.readouterr().out
    (key,) = re.findall(r"^  (sk-\S{40,})$", output, re.MULTILINE)
    assert output.count(key) == 1
    toml = output[output.index("[[keys]]") : output.index("Or in")]
    entry = json.loads(output.splitlines()[-1])
    assert tomllib.loads(toml)["keys"] == [entry]
    path = tmp_path / "sluice.toml"
    path.write_text(toml)
    monkeypatch.setenv("SLUICE_CONFIG", str(path))
    (stored,) = load().all_keys
    monkeypatch.setenv("SLUICE_KEYS", json.dumps([{"name": "a", "key": key}]))
    monkeypatch.delenv("SLUICE_CONFIG")
    assert load().all_keys[0].digest == stored.digest


def test_every_new_key_is_another(capsys: pytest.CaptureFixture[str]) -> None:
    """They are random."""
    main(["keys", "new", "a"])
    main(["keys", "new", "a"])
    secrets = re.findall(r"^  (sk-\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert len(set(secrets)) == 2


def test_a_name_that_cannot_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    """No key is made that could not be stored."""
    assert main(["keys", "new", "a{b}"]) == 2
    output = capsys.readouterr()
    assert "not a valid name for a key" in output.err
    assert "sk-" not in output.out


def test_the_list_of_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its limits, defaults included; never a key."""
    monkeypatch.setenv("SLUICE_CLIENT_KEYS", '{"old": "sk-secret-1"}')
    monkeypatch.setenv("SLUICE_KEY_DEFAULTS", '{"requests_per_minute": 60}')
    monkeypatch.setenv(
        "SLUICE_KEYS",
        '[{"name": "web", "key": "sk-secret-2", "budget_usd": 2.5, "models": ["gpt-*"]}]',
    )
    assert main(["keys", "list"]) == 0
    output = capsys.readouterr().out
    _, web, old = (line.split() for line in output.splitlines())
    assert web == ["web", "gpt-*", "60", "-", "-", "2.5", "USD/month", "-"]
    assert old[:3] == ["old", "*", "-"]
    assert "secret" not in output


def test_what_a_running_sluice_says_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked on the admin port; without one, the limits alone are shown, and that is said."""
    limits = {"requests_per_minute": {"limit": 60, "used": 2, "left": 58}}
    body = json.dumps({"keys": {"web": limits}}).encode()
    asked: list[str | None] = []

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("SLUICE_KEYS", '[{"name": "web", "key": "s-1", "requests_per_minute": 60}]')
    with HTTPServer(("127.0.0.1", 0), Status) as server:
        monkeypatch.setenv("SLUICE_ADMIN_PORT", str(server.server_port))
        monkeypatch.setenv("SLUICE_ADMIN_ADDRESS", "127.0.0.1")
        monkeypatch.setenv("SLUICE_ADMIN_TOKEN", "a-token-of-the-operators")
        serving = Thread(target=server.handle_request)
        serving.start()
        assert main(["keys", "list"]) == 0
        serving.join()
    assert "2 used, 58 left of 60" in capsys.readouterr().out
    assert asked == ["Bearer a-token-of-the-operators"]
    assert main(["keys", "list"]) == 0
    assert "the usage of keys is unknown" in " ".join(capsys.readouterr().err.split())


def test_no_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what that means."""
    assert main(["keys", "list"]) == 0
    assert "any client is let in" in capsys.readouterr().out
