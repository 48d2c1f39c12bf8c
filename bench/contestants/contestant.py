"""What a contestant declares: how it is found, configured and started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
PEERS_VARIABLE = "BENCH_PEERS"


def peers_directory() -> Path:
    """Where peers are installed: `BENCH_PEERS`, or a directory that git ignores."""
    return Path(os.environ.get(PEERS_VARIABLE) or BENCH / ".peers")


@dataclass(frozen=True, slots=True)
class Place:
    """What a contestant is given.

    An empty directory, ports on 127.0.0.1, the upstream's port, and how many cores' worth of
    processes or threads to start.
    """

    directory: Path
    port: int
    second_port: int
    upstream_port: int
    cores: int

    @property
    def upstream(self) -> str:
        """The upstream as host and port."""
        return f"127.0.0.1:{self.upstream_port}"

    def write(self, name: str, text: str) -> str:
        """Writes a configuration file; returns its path."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@dataclass(frozen=True, slots=True)
class Launch:
    """The command that stays in the foreground, and how to talk to what it starts.

    `port_file` is for those that choose their port themselves and write it down.
    """

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    model: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    port_file: Path | None = None


class AbsentError(Exception):
    """The contestant cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One gateway in its best reasonable configuration.

    `find` returns its version or raises AbsentError; `launch` writes the configuration and returns
    None where there is no process at all; `skips` names scenarios that it does not run, and why;
    `open_streams` is how many it holds where memory per stream is measured.
    """

    name: str
    title: str
    configuration: str
    find: Callable[[], str]
    launch: Callable[[Place], Launch | None]
    skips: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 20.0
    open_streams: int = 4000
