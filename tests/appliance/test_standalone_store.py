"""A worker alone brings its store along, and takes it with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from proxy.appliance import store_program
from proxy.appliance.standalone_store import with_store
from proxy.settings import Settings
from tests.fixtures.stores import until

KEYS: Any = ({"name": "a", "key": "sk-a", "requests_per_minute": 5},)


def _socket(settings: Settings) -> Path:
    assert settings.store_url is not None
    return Path(settings.store_url.get_secret_value().removeprefix("unix://"))


def _pid(socket: Path) -> int | None:
    """The process whose command line names the socket."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                command_line = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if str(socket).encode() in command_line:
                return int(path.name)
    return None


def test_it_runs_as_long_as_the_worker() -> None:
    """Where a key has a limit; killed, it is there again; nothing is left afterwards."""
    with with_store(Settings(keys=KEYS)) as settings:
        socket = _socket(settings)
        until(socket.exists)
        pid = _pid(socket)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: _pid(socket) not in {None, pid})
        until(socket.exists)
    assert not socket.parent.exists()
    until(lambda: _pid(socket) is None)


def test_nothing_is_started_in_vain() -> None:
    """No key with a limit, or a store that is named: the settings stay as they are."""
    without = Settings(resumable="off")
    for settings in (without, Settings(keys=KEYS, store_url=SecretStr("off"))):
        with with_store(settings) as same:
            assert same is settings


def test_no_program_for_one(monkeypatch: Any) -> None:
    """The worker starts all the same, and says what that means."""
    monkeypatch.setattr(store_program, "candidates", lambda: iter(()))
    settings = Settings(keys=KEYS)
    began = time.monotonic()
    with with_store(settings) as same:
        assert same is settings
    assert time.monotonic() - began < 10
