"""SIGHUP: upstreams, keys and prices are reloaded while streams run; by a worker alone as well."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.appliance.running import Running, wait_until
from tests.integration.faults import gateways

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.gateways import Upstream

WAYS = ("run", "worker")
QUICK = "demo;ttft=0;rate=1000;tokens=3"


@pytest.fixture(scope="module")
def demo() -> Iterator[Upstream]:
    with gateways.upstream() as running:
        yield running


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


def answers(started: Running) -> bool:
    try:
        return started.get("/readyz")[0] == 200
    except OSError:
        return False


def upstream(name: str, demo: Upstream, models: str = '["*"]') -> str:
    return f'[[upstreams]]\nname = "{name}"\nurl = "{demo.url}/v1"\nmodels = {models}\n'


def key(name: str) -> str:
    return f'[[keys]]\nname = "{name}"\nkey = "secret-of-{name}"\n'


def ask(started: Running, name: str = "", model: str = QUICK) -> int:
    return httpx.post(
        f"http://127.0.0.1:{started.port}/v1/chat/completions",
        json=body(model),
        headers={"Authorization": f"Bearer secret-of-{name}"},
        timeout=20,
    ).status_code


def body(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


def reload(started: Running, toml: str, folder: Path, *, event: str = "reloaded") -> dict[str, Any]:
    """Write the file, send SIGHUP, and wait for what the log says of it."""
    before = len(main_lines(started, event))
    (folder / "sluice.toml").write_text(toml)
    started.signal(signal.SIGHUP)
    wait_until(lambda: len(main_lines(started, event)) > before, event)
    return main_lines(started, event)[-1]


def main_lines(started: Running, event: str) -> list[dict[str, Any]]:
    """Those of the process that got the signal, not of a supervisor's workers."""
    lines = started.logged(event)
    supervised = bool(started.logged("ready"))
    return [one for one in lines if not supervised or "nginx" in one.get("what", "nginx")]


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_added_and_one_taken_away(way: str, demo: Upstream, tmp_path: Path) -> None:
    """The new one is let in, the old one is not; a stream that it has started goes on."""
    ours = upstream("main", demo)
    with running(tmp_path, way, ours + key("old")) as started:
        assert (ask(started, "old"), ask(started, "new")) == (200, 401)
        with httpx.stream(
            "POST",
            f"http://127.0.0.1:{started.port}/v1/chat/completions",
            json=body("demo;ttft=0;rate=10;tokens=30"),
            headers={"Authorization": "Bearer secret-of-old"},
            timeout=20,
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            reload(started, ours + key("new"), tmp_path)
            for _ in range(4):
                assert (ask(started, "old"), ask(started, "new")) == (401, 200)
            assert "data: [DONE]" in list(lines)


@pytest.mark.parametrize("way", WAYS)
def test_an_upstream_is_added_and_one_taken_away(way: str, demo: Upstream, tmp_path: Path) -> None:
    """A stream of one that is gone goes on to its end, and what is new serves from then on."""
    with running(tmp_path, way, upstream("first", demo, '["demo*"]')) as started:
        assert (ask(started), ask(started, model="other")) == (200, 404)
        with httpx.stream(
            "POST",
            f"http://127.0.0.1:{started.port}/v1/chat/completions",
            json=body("demo;ttft=0;rate=10;tokens=30"),
            timeout=20,
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            reload(started, upstream("second", demo, '["other*"]'), tmp_path)
            for _ in range(4):
                assert (ask(started), ask(started, model="other")) == (404, 200)
            assert "data: [DONE]" in list(lines)
        assert ask(started, model="other") == 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[[upstreams]\n", "SLUICE_CONFIG"),
        ('[[upstreams]]\nname = "a"\nurl = "ftp://x"\n', "SLUICE_UPSTREAMS"),
        ('prices = "/nowhere/prices.toml"\n', "/nowhere/prices.toml"),
    ],
)
def test_a_wrong_file_changes_nothing_and_says_why(
    way: str, wrong: str, says: str, demo: Upstream, tmp_path: Path
) -> None:
    """Not even for a worker that dies after it: it comes back with what holds."""
    ours = upstream("main", demo) + key("mine")
    with running(tmp_path, way, ours) as started:
        wrong = wrong + (ours if wrong.startswith("prices") else "")
        said = reload(started, wrong, tmp_path, event="not_reloaded")
        assert says in said["complaint"]
        assert (ask(started, "mine"), ask(started, "other")) == (200, 401)
        if way == "run":
            status = started.status()
            assert status["reload"]["result"] == "refused"
            for one in status["workers"]:
                os.kill(one["pid"], signal.SIGKILL)
            wait_until(lambda: ask(started, "mine") == 200, "served again")


@pytest.mark.parametrize("way", WAYS)
def test_a_frozen_setting_is_named_and_keeps_its_value(
    way: str, demo: Upstream, tmp_path: Path
) -> None:
    """What can be reloaded beside it is."""
    ours = upstream("main", demo)
    with running(tmp_path, way, "retries = 1\n" + ours + key("old")) as started:
        reload(started, "retries = 5\n" + ours + key("new"), tmp_path)
        assert started.logged("frozen_settings")[0]["names"] == ["SLUICE_RETRIES"]
        assert ask(started, "new") == 200
        if way == "run":
            assert started.status()["reload"]["frozen"] == ["SLUICE_RETRIES"]


def test_no_secret_stands_in_a_command_or_on_a_disk(demo: Upstream, tmp_path: Path) -> None:
    """Settings go to workers in memory that only they and the supervisor have."""
    with running(tmp_path, "run", upstream("main", demo) + key("mine")) as started:
        (ready,) = started.logged("ready")
        files = [file for file in Path(ready["run"]).rglob("*") if file.is_file()]
        found = [file for file in files if b"secret-of-mine" in file.read_bytes()]
        assert found == []
        assert "secret-of-mine" not in json.dumps(started.status())
