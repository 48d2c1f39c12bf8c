"""Checks whether ports are free, opens listening sockets, and finds a free port."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import random
import socket

from proxy.appliance.http_probe import reachable

_REASONS = {
    errno.EADDRINUSE: "is in use by another program",
    errno.EACCES: "may only be used by root, or with the capability NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "cannot be used: this machine does not have the address",
}

_QUIET_PORTS = (20_000, 32_000)
_ATTEMPTS = 1000
_BACKLOG = 128
_REACHED_SECONDS = 1.0


def complaint(name: str, address: str, port: int) -> str | None:
    """Return why the port cannot be used, in one sentence; None if it can.

    nginx would find out, too, but only after several seconds.
    """
    try:
        with _bound(address, port) as probe:
            probe.listen(1)
            reached = _can_be_reached(probe)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"cannot be used: {os.strerror(error.errno or 0)}")
        return f"{name}: {address} port {port} {reason}."
    if not reached:
        return f"{name}: {address} port {port} {_REASONS[errno.EADDRNOTAVAIL]}."
    return None


def listening(address: str, port: int) -> socket.socket:
    """Open a listening socket; `::` means all addresses, including IPv4's.

    Raises `OSError`.
    """
    return socket.create_server(
        (address, port),
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        dualstack_ipv6=address == "::" and socket.has_dualstack_ipv6(),
        backlog=_BACKLOG,
    )


def free_port() -> int:
    """Return a free port of the loopback address.

    It is below the kernel's ephemeral ports (32768 and up), so that no outgoing connection takes
    it before it is used. Raises `OSError` if none is free.
    """
    for _ in range(_ATTEMPTS):
        port = random.randint(*_QUIET_PORTS)  # noqa: S311 no secret
        with contextlib.suppress(OSError):
            _bound("127.0.0.1", port).close()
            return port
    raise OSError(errno.EADDRINUSE, "no free port on 127.0.0.1")


def _can_be_reached(listening: socket.socket) -> bool:
    """Whether this machine can connect to the socket.

    The kernel may bind foreign (`ip_nonlocal_bind`) and multicast addresses.
    """
    address, port = listening.getsockname()[:2]
    with socket.socket(listening.family) as probe:
        probe.settimeout(_REACHED_SECONDS)
        try:
            probe.connect((reachable(address), port))
        except OSError:
            return False
    return True


def _bound(address: str, port: int) -> socket.socket:
    six = ipaddress.ip_address(address).version == 6
    probe = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
    try:
        # As servers do: connections in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
    except OSError:
        probe.close()
        raise
    return probe
