"""Ports: whether those that were asked for are free, and a free one where any will do."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

_WORDS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "may only be used by root, or with the capability NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "cannot be used: this machine does not have the address",
}


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
    """A port of the loopback address that nobody listens on just now."""
    with _bound("127.0.0.1", 0) as probe:
        port: int = probe.getsockname()[1]
        return port


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
