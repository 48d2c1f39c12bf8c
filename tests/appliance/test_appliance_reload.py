"""SIGHUP: upstreams, keys and prices are reloaded while streams run; by a worker alone as well."""

from __future__ import annotations

import json
import os
import signal
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.appliance.running import Running, commands_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.gateways import Upstream

WAYS = ("run", "worker")
FROZEN = "retries = 1\n"
QUICK = "demo;ttft=0;rate=1000;tokens=3"


@pytest.fixture(scope="module")
def demo(upstream: Upstream) -> Upstream:
    return upstream


@contextmanager
def running(folder: Path, way: str, toml: str) -> Iterator[Running]:
    """Sluice with this file of settings."""
    (folder / "sluice.toml").write_text(toml)
    command = ("-m", "proxy", way)
    with Running(
        folder,
        *command,
        SLUICE_UPSTREAM_URL="",
        SLUICE_CONFIG=str(folder / "sluice.toml"),
        SLUICE_WORKERS="2",
        SLUICE_LOG_FORMAT="json",
    ) as started:
        if way == "run":
            started.ready()
        wait_until(lambda: answers(started), "answers")
        yield started


class Reloadable:
    """One Sluice for all tests of a way; each begins with a file of its own, reloaded like any."""

    def __init__(self, started: Running, folder: Path, way: str) -> None:
        self.started = started
        self.supervised = way == "run"
        self._file = folder / "sluice.toml"

    def reload(self, toml: str, *, event: str = "reloaded", frozen: str = FROZEN) -> dict[str, Any]:
        """Write the file, send SIGHUP, and wait for what the log says of it."""
        before = len(self._lines(event))
        self._file.write_text(frozen + toml)
        self.started.signal(signal.SIGHUP)
        wait_until(lambda: len(self._lines(event)) > before, event)
        return self._lines(event)[-1]

    def _lines(self, event: str) -> list[dict[str, Any]]:
        """Those of the process that got the signal, not of a supervisor's workers."""
        return [
            line
            for line in self.started.logged(event)
            if not self.supervised or "nginx" in line.get("what", "nginx")
        ]

    def ask(self, name: str = "", model: str = QUICK) -> int:
        """The status of one short answer."""
        return httpx.post(
            f"http://127.0.0.1:{self.started.port}/v1/chat/completions",
            json=body(model),
            headers={"Authorization": f"Bearer secret-of-{name}"},
            timeout=20,
        ).status_code

    def stream(self, name: str = "") -> AbstractContextManager[httpx.Response]:
        """An answer that takes as long as a few reloads."""
        return httpx.stream(
            "POST",
            f"http://127.0.0.1:{self.started.port}/v1/chat/completions",
            json=body("demo;ttft=0;rate=20;tokens=30"),
            headers={"Authorization": f"Bearer secret-of-{name}"},
            timeout=20,
        )


@pytest.fixture(scope="module", params=WAYS)
def sluice(
    request: pytest.FixtureRequest, demo: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reloadable]:
    folder = tmp_path_factory.mktemp("reload")
    with running(
        folder, request.param, FROZEN + of_upstream("main", demo) + key("first")
    ) as started:
        yield Reloadable(started, folder, request.param)


def answers(started: Running) -> bool:
    try:
        return started.get("/readyz")[0] == 200
    except OSError:
        return False


def of_upstream(name: str, demo: Upstream, models: str = '["*"]') -> str:
    return f'[[upstreams]]\nname = "{name}"\nurl = "{demo.url}/v1"\nmodels = {models}\n'


def key(name: str) -> str:
    return f'[[keys]]\nname = "{name}"\nkey = "secret-of-{name}"\n'


def body(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def test_a_key_is_added_and_one_taken_away(sluice: Reloadable, demo: Upstream) -> None:
    """The new one is let in, the old one is not; a stream that it has started goes on."""
    ours = of_upstream("main", demo)
    sluice.reload(ours + key("old"))
    assert (sluice.ask("old"), sluice.ask("new")) == (200, 401)
    with sluice.stream("old") as stream:
        lines = stream.iter_lines()
        next(lines)
        sluice.reload(ours + key("new"))
        for _ in range(4):
            assert (sluice.ask("old"), sluice.ask("new")) == (401, 200)
        assert "data: [DONE]" in list(lines)


def test_an_upstream_is_added_and_one_taken_away(sluice: Reloadable, demo: Upstream) -> None:
    """A stream of one that is gone goes on to its end, and what is new serves from then on."""
    sluice.reload(of_upstream("first", demo, '["demo*"]'))
    assert (sluice.ask(), sluice.ask(model="other")) == (200, 404)
    with sluice.stream() as stream:
        lines = stream.iter_lines()
        next(lines)
        sluice.reload(of_upstream("second", demo, '["other*"]'))
        for _ in range(4):
            assert (sluice.ask(), sluice.ask(model="other")) == (404, 200)
        assert "data: [DONE]" in list(lines)
    assert sluice.ask(model="other") == 200


WRONG = {
    "[[upstreams]\n": "SLUICE_CONFIG",
    '[[upstreams]]\nname = "a"\nurl = "ftp://x"\n': "SLUICE_UPSTREAMS",
    'prices = "/nowhere/prices.toml"\n': "/nowhere/prices.toml",
}


def test_a_wrong_file_changes_nothing_and_says_why(sluice: Reloadable, demo: Upstream) -> None:
    """Not even for a worker that dies after it: it comes back with what holds."""
    ours = of_upstream("main", demo) + key("mine")
    sluice.reload(ours)
    for wrong, complaint in WRONG.items():
        toml = wrong + (ours if wrong.startswith("prices") else "")
        assert complaint in sluice.reload(toml, event="not_reloaded")["complaint"]
        assert (sluice.ask("mine"), sluice.ask("other")) == (200, 401)
    if sluice.supervised:
        status = sluice.started.status()
        assert status["reload"]["result"] == "refused"
        for worker in status["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        wait_until(lambda: sluice.ask("mine") == 200, "served again")
        wait_until(lambda: sluice.started.status()["state"] == "ready", "all are back")


def test_a_frozen_setting_is_named_and_keeps_its_value(sluice: Reloadable, demo: Upstream) -> None:
    """What can be reloaded beside it is."""
    before = len(sluice.started.logged("frozen_settings"))
    sluice.reload(of_upstream("main", demo) + key("new"), frozen="retries = 5\n")
    assert sluice.started.logged("frozen_settings")[before]["names"] == ["SLUICE_RETRIES"]
    assert sluice.ask("new") == 200
    if sluice.supervised:
        assert sluice.started.status()["reload"]["frozen"] == ["SLUICE_RETRIES"]


def test_no_secret_stands_in_a_command_or_on_a_disk(sluice: Reloadable, demo: Upstream) -> None:
    """Settings go to workers in memory that only they and the supervisor have."""
    sluice.reload(of_upstream("main", demo) + key("mine"))
    assert sluice.ask("mine") == 200
    assert "secret-of-" not in commands_of(sluice.started)
    if sluice.supervised:
        assert "proxy worker" in commands_of(sluice.started)
        (ready,) = sluice.started.logged("ready")
        files = [file for file in Path(ready["run"]).rglob("*") if file.is_file()]
        assert [file for file in files if b"secret-of-" in file.read_bytes()] == []
        assert "secret-of-" not in json.dumps(sluice.started.status())
