"""A connection to an upstream that rejects unsolicited data and bounds response heads.

An HTTP/1.1 server sends exactly one response per request (RFC 9112, 9.3). aiohttp queues whatever
it receives, so that an unsolicited response, such as the 408 that a load balancer sends on an idle
connection, would be taken for the response to the next request, and every later one be off by one.
Here an idle connection that receives data is closed, and is not reused.

Response heads are checked before aiohttp's parser sees them: their size and time are bounded, and
so is the number of interim responses (RFC 9110, 15.2), which are dropped.
"""

from __future__ import annotations

import asyncio
import re
import select
from typing import TYPE_CHECKING, Any

from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_HEAD = 256 * 1024
"""Bytes of all heads before a body, including interim ones."""
MOST_INTERIM = 64
LONGEST_HEAD_SECONDS = 30.0
"""Time from a head's first byte to its last."""

_BEGINS = b"HTTP/1."
_END = re.compile(rb"\r?\n\r?\n")
"""RFC 9112, 2.2: a line may end without its CR."""
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?:[ \t][\t\x20-\x7e\x80-\xff]*)?\r?\n")
"""RFC 9112, 4: the reason has no control characters; some servers omit the space before it."""
_STATUSES = range(100, 600)
"""RFC 9110, 15: others are invalid, and a gateway answers 502."""
_ANSWERS = range(200, 600)
_LINE_END = len(b"\r\n\r\n") - 1
_NO_STATUS = "sent an invalid status line"
_TOO_LONG = f"sent headers of more than {LONGEST_HEAD // 1024} KiB"


class BadHead(HttpProcessingError):
    """An invalid response head; the message follows the upstream's name in a sentence."""


class UpstreamConnection(ResponseHandler):
    """aiohttp's client protocol, extended by the checks above."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, longest_life: float = 0.0) -> None:
        """Take as `longest_life` the seconds after which it is not reused; 0.0: unlimited."""
        super().__init__(loop)
        self._retires_at = loop.time() + longest_life if longest_life else float("inf")
        self._head: bytearray | None = None
        """The incomplete head; None when it is complete."""
        self._head_bytes = 0
        self._interim = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_idle = True
        """Whether no request waits for a response."""
        self._receiving = False
        self._on_unsolicited: Callable[[float], None] | None = None
        self._idle_since = 0.0
        self._poll: select.poll | None = None

    def set_response_params(self, **params: Any) -> None:
        """Prepare for a request: the next bytes are its response's head."""
        self._is_idle = False
        self._head = bytearray()
        self._head_bytes = self._interim = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Process bytes of a response; close the connection if none is expected."""
        if self._is_idle:
            if data:
                self._close_unsolicited()
        else:
            self._take(data)

    def become_idle(self, on_unsolicited: Callable[[float], None]) -> None:
        """Note that the response is complete, and the connection waits for the next request.

        `on_unsolicited` is called if data arrives meanwhile, with the seconds that it was idle.
        """
        self._is_idle = True
        self._on_unsolicited = on_unsolicited
        self._idle_since = self._loop.time()
        if not self._receiving:
            # Not within the parser's own callback.
            self._check_for_leftovers()

    def is_connected(self) -> bool:
        """Whether a request can be sent on it."""
        if not super().is_connected():
            return False
        return not self._is_idle or (not self.is_old() and not self._has_unread_data())

    def is_old(self) -> bool:
        """Whether it has reached its maximum age."""
        return self._loop.time() >= self._retires_at

    def connection_lost(self, exc: BaseException | None) -> None:
        """Handle the loss of the connection."""
        self._stop_head_timer()
        if self._head:
            # Let the parser report the incomplete head.
            head, self._head = bytes(self._head), None
            super().data_received(head)
        super().connection_lost(exc)

    def _take(self, data: bytes) -> None:
        self._receiving = True
        try:
            self._receive(data)
        finally:
            self._receiving = False
        if self._is_idle:
            self._check_for_leftovers()

    def _receive(self, data: bytes) -> None:
        if self._head is None or not data:
            super().data_received(data)
        else:
            self._read_head(data)

    def _start_body(self, head: bytes, rest: bytes) -> None:
        """Pass on the complete head and `rest`, the bytes received with it."""
        super().data_received(head)
        if rest:
            super().data_received(rest)

    def _read_head(self, data: bytes) -> None:
        head = self._head
        assert head is not None
        seen = max(0, len(head) - _LINE_END)
        head += data
        while head_end := _END.search(head, seen):
            self._stop_head_timer()
            status = _status_of(head)
            self._head_bytes += head_end.end()
            if fault := self._fault(status):
                self._refuse(fault)
                return
            if status in _ANSWERS:
                self._head = None
                self._start_body(bytes(head[: head_end.end()]), bytes(head[head_end.end() :]))
                return
            self._interim += 1
            del head[: head_end.end()]
            seen = 0
        if fault := self._early_fault(head):
            self._refuse(fault)
        elif head:
            self._head_timer = self._head_timer or self._loop.call_later(
                LONGEST_HEAD_SECONDS, self._head_timed_out
            )

    def _fault(self, status: int) -> str:
        """Return what is wrong with a complete head; empty if nothing is."""
        if self._head_bytes > LONGEST_HEAD:
            return _TOO_LONG
        if status not in _STATUSES:
            return _NO_STATUS
        if status == 101:
            return "switched protocols without a request to"
        if status not in _ANSWERS and self._interim == MOST_INTERIM:
            return f"sent more than {MOST_INTERIM} interim responses"
        return ""

    def _early_fault(self, head: bytearray) -> str:
        """Return what is wrong with an incomplete head; empty if it may become valid."""
        if not head.startswith(_BEGINS[: len(head)]):
            return "sent data that is not HTTP"
        if b"\n" in head and _status_of(head) not in _STATUSES:
            return _NO_STATUS
        return _TOO_LONG if self._head_bytes + len(head) > LONGEST_HEAD else ""

    def _head_timed_out(self) -> None:
        self._head_timer = None
        self._refuse(f"took more than {LONGEST_HEAD_SECONDS:g} s for its headers")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, fault: str) -> None:
        self._stop_head_timer()
        self._head = None
        # Set before the connection is lost, which would set another exception.
        self.set_exception(BadHead(code=502, message=fault))
        if self.transport is not None:
            self.transport.abort()

    def _check_for_leftovers(self) -> None:
        """Close the connection if data follows the response, as the parser's state shows."""
        if self._buffer or self._exception is not None or self._parser_is_busy():
            self._close_unsolicited()

    def _close_unsolicited(self) -> None:
        self.abort()
        if self._on_unsolicited is not None:
            self._on_unsolicited(self._loop.time() - self._idle_since)

    def _parser_is_busy(self) -> bool:
        """Whether the parser has begun another message after the response."""
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except HttpProcessingError:
            return True

    def _has_unread_data(self) -> bool:
        """Whether the socket has unread data, or was closed by the peer."""
        transport = self.transport
        assert transport is not None
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))


def _status_of(head: bytearray) -> int:
    """Return the status of a head with a complete first line; 0 if that is invalid."""
    line = _STATUS_LINE.match(head)
    return int(line[1]) if line else 0
