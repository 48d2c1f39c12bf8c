"""One connection to an upstream: what it may say, and when.

An HTTP/1.1 connection says nothing but answers, one for each request (RFC 9112, 9.3). aiohttp reads
whatever comes into a queue, so that an answer to nobody, such as the 408 that a balancer sends to
a connection at rest, would be the answer to the next request, and each later one be off by one.
Here a connection that speaks unasked is closed, and one that has said anything is not handed out.

The heads of answers are looked at before aiohttp's parser sees them: a head has a bound in size
and in time, interim answers (RFC 9110, 15.2) have one in number, and none is handed on.
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
"""Bytes of all heads that come before a body, interim ones included."""
MOST_INTERIM = 64
LONGEST_HEAD_SECONDS = 30.0
"""From a head's first byte to its last."""

_BEGINS = b"HTTP/1."
_END = re.compile(rb"\r?\n\r?\n")
"""RFC 9112, 2.2: a line may end without its CR."""
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?:[ \t][\t\x20-\x7e\x80-\xff]*)?\r?\n")
"""RFC 9112, 4: the reason has no control characters; some servers leave out its space as well."""
_STATUSES = range(100, 600)
"""RFC 9110, 15: others are invalid, and 502 is what a gateway makes of them."""
_ANSWERS = range(200, 600)
_LINE_END = len(b"\r\n\r\n") - 1
_NO_STATUS = "answered with a status line that is none"
_TOO_LONG = f"sent headers of more than {LONGEST_HEAD // 1024} KiB"


class BadHead(HttpProcessingError):
    """The head of an answer that is none; the message goes on after the upstream's name."""


class Connection(ResponseHandler):
    """aiohttp's protocol of one connection, which lets only answers to requests through."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, longest_life: float = 0.0) -> None:
        """`longest_life`: seconds after which no request begins on it; 0.0: none."""
        super().__init__(loop)
        self._retires_at = loop.time() + longest_life if longest_life else float("inf")
        self._head: bytearray | None = None
        """The answer's head as far as it has come; None once it is whole."""
        self._head_bytes = 0
        self._interim = 0
        self._late: asyncio.TimerHandle | None = None
        self._at_rest = True
        """Whether no request waits for an answer."""
        self._receiving = False
        self._unasked: Callable[[float], None] | None = None
        self._rests_since = 0.0
        self._poll: select.poll | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent: the next bytes are its answer's head."""
        self._at_rest = False
        self._head = bytearray()
        self._head_bytes = self._interim = 0
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take in what answers a request; anything else costs the connection."""
        if self._at_rest:
            if data:
                self._has_spoken_unasked()
        else:
            self._take(data)

    def rest(self, unasked: Callable[[float], None]) -> None:
        """The answer is whole, and the connection waits for the next request.

        `unasked` is told after how many seconds of rest it said something.
        """
        self._at_rest = True
        self._unasked = unasked
        self._rests_since = self._loop.time()
        if not self._receiving:
            # In the parser's own callback it cannot be asked.
            self._look_for_rests()

    def is_connected(self) -> bool:
        """Whether a request can go out on it."""
        if not super().is_connected():
            return False
        return not self._at_rest or (not self.is_old() and not self._has_spoken())

    def is_old(self) -> bool:
        """Whether it has lived for its time."""
        return self._loop.time() >= self._retires_at

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._in_time()
        if self._head:
            # Half a head: the parser knows what to call it.
            head, self._head = bytes(self._head), None
            super().data_received(head)
        super().connection_lost(exc)

    def _take(self, data: bytes) -> None:
        self._receiving = True
        try:
            self._receive(data)
        finally:
            self._receiving = False
        if self._at_rest:
            self._look_for_rests()

    def _receive(self, data: bytes) -> None:
        if self._head is None or not data:
            super().data_received(data)
        else:
            self._look(data)

    def _body_begins(self, head: bytes, rest: bytes) -> None:
        """The head is whole; `rest` came with it."""
        super().data_received(head)
        if rest:
            super().data_received(rest)

    def _look(self, data: bytes) -> None:
        head = self._head
        assert head is not None
        seen = max(0, len(head) - _LINE_END)
        head += data
        while found := _END.search(head, seen):
            self._in_time()
            status = _status_of(head)
            self._head_bytes += found.end()
            if why := self._fault(status):
                self._refuse(why)
                return
            if status in _ANSWERS:
                self._head = None
                self._body_begins(bytes(head[: found.end()]), bytes(head[found.end() :]))
                return
            self._interim += 1
            del head[: found.end()]
            seen = 0
        if why := self._early_fault(head):
            self._refuse(why)
        elif head:
            self._late = self._late or self._loop.call_later(LONGEST_HEAD_SECONDS, self._is_late)

    def _fault(self, status: int) -> str:
        """What is wrong with a whole head; empty if nothing is."""
        if self._head_bytes > LONGEST_HEAD:
            return _TOO_LONG
        if status not in _STATUSES:
            return _NO_STATUS
        if status == 101:
            return "switched protocols without being asked"
        if status not in _ANSWERS and self._interim == MOST_INTERIM:
            return f"sent more than {MOST_INTERIM} interim answers"
        return ""

    def _early_fault(self, head: bytearray) -> str:
        """What is wrong with the beginning of a head; empty if it can become one."""
        if not head.startswith(_BEGINS[: len(head)]):
            return "sent no HTTP answer"
        if b"\n" in head and _status_of(head) not in _STATUSES:
            return _NO_STATUS
        return _TOO_LONG if self._head_bytes + len(head) > LONGEST_HEAD else ""

    def _is_late(self) -> None:
        self._late = None
        self._refuse(f"took more than {LONGEST_HEAD_SECONDS:g} s for its headers")

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, why: str) -> None:
        self._in_time()
        self._head = None
        # Before the loss of the connection, which would have it named otherwise.
        self.set_exception(BadHead(code=502, message=why))
        if self.transport is not None:
            self.transport.abort()

    def _look_for_rests(self) -> None:
        """Close it if more came than the answer: the parser tells what it has begun to read."""
        if self._buffer or self._exception is not None or self._has_begun():
            self._has_spoken_unasked()

    def _has_spoken_unasked(self) -> None:
        self.abort()
        if self._unasked is not None:
            self._unasked(self._loop.time() - self._rests_since)

    def _has_begun(self) -> bool:
        """Whether the parser is within something, having read the answer."""
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except HttpProcessingError:
            return True

    def _has_spoken(self) -> bool:
        """Whether the system holds bytes, or the end, that the loop has not come to read."""
        transport = self.transport
        assert transport is not None
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))


def _status_of(head: bytearray) -> int:
    """The status of a head whose first line is whole; 0 where that line is none."""
    line = _STATUS_LINE.match(head)
    return int(line[1]) if line else 0
