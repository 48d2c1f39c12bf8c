"""A client on a network of its own, with links that can really be cut; Linux, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 10
_READ = """
import json, sys, urllib.request

url, body, headers, seconds = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, json.loads(headers))
with urllib.request.urlopen(request, timeout=float(seconds)) as answer:
    print(json.dumps(dict(answer.headers)), flush=True)
    while part := answer.read1(65536):
        sys.stdout.buffer.write(part)
        sys.stdout.flush()
"""
"""Writes the headers as a line and then the body; gives up when nothing comes for so long."""


def why_not() -> str:
    """Why there can be no such network here; empty if there can."""
    if os.geteuid() or shutil.which("ip") is None:
        return "needs root, and `ip` of iproute2"
    name = f"sluice-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.decode(errors='replace').strip()}"
    _ip("netns", "delete", name)
    return ""


@dataclass(frozen=True)
class Link:
    """One cable between this host and the client."""

    device: str
    """Its end at this host."""
    address: str
    """This host's address on it: nothing else reaches what listens there."""

    def cut(self) -> None:
        """Pull it out: not a packet passes, and nobody is told."""
        _ip("link", "set", self.device, "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.device, "up")


@dataclass(frozen=True)
class Client:
    """Programs in a namespace that has these links and nothing else."""

    namespace: str
    links: tuple[Link, ...]

    def end_connections(self) -> None:
        """End them at the client only, as the system of a phone does when its network is gone.

        No packet tells the other side, if the link is cut.
        """
        _ip("netns", "exec", self.namespace, "ss", "--tcp", "--kill", "state", "established")

    def reading(
        self, url: str, body: str = "", headers: str = "{}", seconds: float = 3.0
    ) -> subprocess.Popen[bytes]:
        """A program that reads an answer; see `_READ`."""
        command = [sys.executable, "-c", _READ, url, body, headers, str(seconds)]
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@contextmanager
def client(links: int) -> Iterator[Client]:
    """A client with so many links; all gone with the block."""
    number = os.getpid() % 10_000
    namespace = f"sluice-{number}"
    with ExitStack() as stack:
        _ip("netns", "add", namespace)
        # The devices go with it: each is one end of a pair.
        stack.callback(_ip, "netns", "delete", namespace)
        made = tuple(_link(namespace, number, which) for which in range(links))
        yield Client(namespace, made)


def _link(namespace: str, number: int, which: int) -> Link:
    here, there = f"sl{number}h{which}", f"sl{number}c{which}"
    # The range for tests of network devices (RFC 2544): no other network has it.
    net = f"198.{18 + which}.{number // 100}"
    ours, theirs = (f"{net}.{number % 60 * 4 + end}" for end in (1, 2))
    _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", namespace)
    _ip("address", "add", f"{ours}/30", "dev", here)
    _ip("link", "set", here, "up")
    inside = ("-n", namespace)
    _ip(*inside, "address", "add", f"{theirs}/30", "dev", there)
    _ip(*inside, "link", "set", there, "up")
    return Link(here, ours)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, timeout=_SECONDS, check=False)
    assert not done.returncode, f"ip {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
