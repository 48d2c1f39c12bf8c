"""Ports: whether those that were asked for are free, and a free one where any will do."""

from __future__ import annotations

import errno
import ipaddress
import os
import random
import socket

_WORDS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "may only be used by root, or with the capability NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "cannot be used: this machine does not have the address",
}

_QUIET_PORTS = (20_000, 32_000)
_ATTEMPTS = 1000


def complaint(name: str, address: str, port: int) -> str | None:
    """Why nothing can listen there, in one sentence; None if all is well.

    nginx would find out too, but only after asking for several seconds.
    """
    try:
        _bound(address, port).close()
    except OSError as error:
        words = _WORDS.get(error.errno or 0, f"cannot be used: {os.strerror(error.errno or 0)}")
        return f"{name}: {address} port {port} {words}."
    return None


def free_port() -> int:
    """A port of the loopback address that nobody listens on just now.

    Not one of those that the kernel deals out to outgoing connections (32768 and up): one of these
    could take it before it is used. Raises `OSError` when none is to be had.
    """
    for _ in range(_ATTEMPTS):
        port = random.randint(*_QUIET_PORTS)  # noqa: S311 no secret
        if complaint("", "127.0.0.1", port) is None:
            return port
    raise OSError(errno.EADDRINUSE, "no free port on 127.0.0.1")


def _bound(address: str, port: int) -> socket.socket:
    six = ipaddress.ip_address(address).version == 6
    probe = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    try:
        # As servers do: old connections in TIME_WAIT are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
    except OSError:
        probe.close()
        raise
    return probe
