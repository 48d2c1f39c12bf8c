"""A marked secret in every place where a key can stand, searched for in all that comes out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from proxy.__main__ import BAD_SETTINGS, main
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.faults import gateways
from tests.integration.raw import BrokenOff, Fields, Line, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.gateways import RunningGateway

MARK = "tell-nobody-4711"
VALID = f"sk-valid-{MARK}"
EXPIRED = f"sk-expired-{MARK}"
WRONG = f"sk-wrong-{MARK}"
TOKEN = f"admin-{MARK}"
PASSWORD = f"store-{MARK}"
UPSTREAM = f"sk-upstream-{MARK}"
CHAT = "/v1/chat/completions"
LIMITS = {"requests_per_minute": 10_000, "tokens_per_minute": 10**9, "budget_usd": 10}
KEYS = [
    {"name": "valid", "key": VALID, **LIMITS},
    {"name": "expired", "key": EXPIRED, "expires": "2020-01-01T00:00:00Z"},
]


def places(key: str) -> dict[str, tuple[str, Fields]]:
    """Where a key can stand: a query and header fields."""
    return {
        "bearer": ("", [("Authorization", f"Bearer {key}")]),
        "x-api-key": ("", [("x-api-key", key)]),
        "api-key": ("", [("api-key", key)]),
        "x-goog-api-key": ("", [("x-goog-api-key", key)]),
        "query": (f"?key={key}", []),
        "twice": ("", [("x-api-key", key), ("Authorization", f"Bearer {key}")]),
        "two that differ": ("", [("x-api-key", key), ("api-key", f"{key}-other")]),
        "no bearer": ("", [("Authorization", f"Basic {key}")]),
        "control character": ("", [("x-api-key", f"{key}\x01")]),
        "huge": ("", [("x-api-key", key * 4000)]),
    }


def chat(words: str, query: str, fields: Fields, *, stream: bool = True) -> bytes:
    body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    return request("POST", CHAT + query, json.dumps(body).encode(), [("X-Demo", words), *fields])


def asked() -> list[bytes]:
    """Every place with every kind of key, and every kind of ending."""
    requests = [
        chat("tokens=3", query, fields)
        for key in (VALID, EXPIRED, WRONG)
        for query, fields in places(key).values()
    ]
    query, fields = places(VALID)["bearer"]
    for words in ("refuse", "status=401", "garbage", "tokens=9;cut=5", "tokens=9;error=5", "reset"):
        requests += [chat(words, query, fields), chat(words, query, fields, stream=False)]
    requests.append(request("GET", f"/v1/models?key={VALID}", fields=fields))
    requests.append(request("GET", f"/nowhere?key={VALID}", fields=fields))
    requests.append(request("GET", f"/v1/unknown?api_key={VALID}", fields=fields))
    requests.append(request("POST", CHAT, f'{{"model": "{VALID}'.encode(), fields))
    return requests


@dataclass(frozen=True)
class Guarded:
    """An appliance full of secrets, and where its files are."""

    gateway: RunningGateway
    store: StoreServer
    folder: Path
    settings: dict[str, str]


@pytest.fixture(scope="module", params=["json", "console"])
def guarded(request: pytest.FixtureRequest, upstream: gateways.Upstream) -> Iterator[Guarded]:
    """At the most talkative level, with a log-in at its store."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="s-"))
        # Where root's nginx can get to.
        Path(folder).chmod(0o711)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TMPDIR", folder)
        store = stack.enter_context(store_server("--rdbcompression", "no", tcp=True))
        store.command("ACL", "SETUSER", "sluice", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        given: dict[str, Any] = {
            "keys": KEYS,
            "upstream_api_key": UPSTREAM,
            "store_url": f"redis://sluice:{PASSWORD}@127.0.0.1:{store.port}",
            "admin_token": TOKEN,
            "log_level": "debug",
            "log_format": request.param,
        }
        gateway = stack.enter_context(gateways.appliance(upstream, **given))
        settings = {
            f"SLUICE_{name.upper()}": text if isinstance(text, str) else json.dumps(text)
            for name, text in {**given, "upstream_url": f"{upstream.url}/v1"}.items()
        }
        yield Guarded(gateway, store, Path(folder), settings)


async def answers(gateway: RunningGateway) -> list[bytes]:
    """All that clients are told."""
    texts = []
    for sent in asked():
        async with await Line.open(gateway.url) as line:
            with contextlib.suppress(BrokenOff):
                answer = await line.whole(sent)
                texts.append(repr(answer.headers).encode() + answer.body)
    return texts


def fetched(gateway: RunningGateway, path: str, accept: str = "*/*") -> bytes:
    """What the admin port says to somebody who has the token."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
    asking = urllib.request.Request(gateway.admin_url + path, headers=headers)
    with urllib.request.urlopen(asking, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def said_by(settings: dict[str, str], *arguments: str) -> bytes:
    """All that a command of `sluice` writes."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SLUICE_")}
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        env=clean | settings,
        capture_output=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr


def in_store(store: StoreServer) -> bytes:
    """Every key of the store with all that it holds."""
    with redis.Redis(unix_socket_path=str(store.path)) as client:
        names = list(client.scan_iter(count=1000))
        return b"\n".join(name + b" " + (client.dump(name) or b"") for name in names)


def command_lines(gateway: RunningGateway) -> bytes:
    """What everybody on the machine can see of its processes."""
    return b"\n".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in gateway.pids())


@pytest.mark.no_blockbuster
async def test_nothing_that_comes_out_has_a_key(guarded: Guarded) -> None:
    """Logs, answers, metrics, status, store, command lines, and a worker's crash."""
    gateway = guarded.gateway
    texts = await answers(gateway)
    assert len(texts) > len(asked()) // 2
    assert not [text for text in texts if MARK.encode() in text]
    outputs = {path: fetched(gateway, path) for path in ("/metrics", "/status")}
    outputs["the page"] = fetched(gateway, "/", "text/html")
    outputs["the store"] = in_store(guarded.store)
    outputs["the command lines"] = command_lines(gateway)
    outputs["sluice check"] = said_by(guarded.settings, "check")
    outputs["sluice keys list"] = said_by(
        {**guarded.settings, "SLUICE_ADMIN_PORT": gateway.admin_url.rpartition(":")[2]},
        *("keys", "list"),
    )
    assert b"valid" in outputs["/status"]
    assert b"valid" in outputs["sluice keys list"]
    assert b"{valid}" in outputs["the store"]
    worker = json.loads(outputs["/status"])["workers"][0]["pid"]
    os.kill(worker, signal.SIGABRT)

    async def noticed() -> bool:
        return json.loads(fetched(gateway, "/status"))["workers"][0]["pid"] not in {None, worker}

    await gateways.eventually(noticed, "the worker is not started again", seconds=30)
    outputs["the logs"] = "\n".join(gateway.process.lines).encode()
    assert outputs["the logs"].count(b"\n") > len(asked())
    for name, output in outputs.items():
        at = output.find(MARK.encode())
        assert at < 0, f"{name}: {output[max(0, at - 200) : at + 100]!r}"


def test_files_are_nobody_elses(guarded: Guarded) -> None:
    """What is written down lies in a folder that others cannot enter, and has no key in it."""
    [run] = guarded.folder.glob("sluice-*")
    assert run.stat().st_mode & 0o077 & ~0o011 == 0, oct(run.stat().st_mode)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert any(path.name == "nginx.conf" for path in files)
    for path in files:
        if MARK.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path}"


BAD: dict[str, dict[str, str]] = {
    "a store's address": {"SLUICE_STORE_URL": f"http://user:{PASSWORD}@host"},
    "a port of a store": {"SLUICE_STORE_URL": f"redis://user:{PASSWORD}@host:port"},
    "keys that are no JSON": {"SLUICE_KEYS": f'[{{"name": "one", "key": "{VALID}"'},
    "two keys of one name": {"SLUICE_KEYS": json.dumps([KEYS[0], KEYS[0]])},
    "a key with a line feed": {"SLUICE_KEYS": json.dumps([{"name": "one", "key": VALID + "\n"}])},
    "a name that is a key": {"SLUICE_CLIENT_KEYS": json.dumps({"a b\n": VALID})},
    "an upstream's key": {"SLUICE_UPSTREAM_API_KEY": UPSTREAM + "\n"},
    "an upstream's key in its address": {"SLUICE_UPSTREAM_URL": f"http://u:{UPSTREAM}@host/v1"},
    "a query in its address": {"SLUICE_UPSTREAM_URL": f"http://host/v1?key={UPSTREAM}"},
    "the token": {"SLUICE_ADMIN_TOKEN": TOKEN + "\x01"},
}


@pytest.mark.parametrize("mistake", BAD)
def test_no_complaint_repeats_a_key(
    mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is wrong is named, and not shown where it may hold a secret."""
    for name in [name for name in os.environ if name.startswith("SLUICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLUICE_UPSTREAM_URL", "http://127.0.0.1:9/v1")
    for name, value in BAD[mistake].items():
        monkeypatch.setenv(name, value)
    assert main(["check"]) == BAD_SETTINGS
    output = "".join(capsys.readouterr())
    assert next(iter(BAD[mistake])) in output
    assert MARK not in output, output
